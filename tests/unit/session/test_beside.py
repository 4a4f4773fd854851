"""Oracle: which process holds a socket, and what is installed for it."""

from __future__ import annotations

import os

import pytest

from tests.unit.builders import accepted, connection
from tracer.model.connection import Holder
from tracer.session import beside
from tracer.session.beside import Beside


def test_packages_of_the_holder_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that a program opened get its packages; accepted ones, and those that nobody holds, get none."""
    asked = []

    def installed(pid: int, names: tuple[str, ...]) -> tuple[str, ...]:
        asked.append(pid)
        assert "requests" in names
        return ("requests",)

    monkeypatch.setattr(beside, "installed", installed)
    mine = (Holder(os.getpid(), 5, "python3"),)
    several = [connection(1, holders=mine), connection(2, holders=()), accepted(holders=mine)]
    both = Beside()
    for _ in range(2):
        assert [c.packages for c in both.told(several)] == [("requests",), (), ()]
    assert asked == [os.getpid()]


def test_process_that_is_gone() -> None:
    """Nothing is known of it, and the connection stays as it is."""
    gone = connection(1, holders=(Holder(2**22 + 1, 5, "python3"),))
    assert Beside().told([gone]) == [gone]
