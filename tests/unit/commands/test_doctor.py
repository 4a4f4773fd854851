"""Doctor's exit code says whether the host is ready, and its last line what to do first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracer import cli
from tracer.commands import doctor as room
from tracer.errors import HostUnsupported

PARTS = ("_rights", "_bcc", "_libdw", "_jail", "_types", "_memlock")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A host on which all checks are fine; the plan is this kernel's, which needs no root."""
    for part in PARTS:
        monkeypatch.setattr(room, part, lambda part=part: (part.strip("_"), True, "fine"))
    return monkeypatch


def lacks(host: pytest.MonkeyPatch, part: str, what: str) -> None:
    host.setattr(room, part, lambda: (part.strip("_"), False, what))


def test_a_ready_host_is_0_and_a_command_to_begin_with(
    host: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing on stderr."""
    assert cli.run_command(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines()[-1].split(":")[0], err) == ("ready to trace", "")
    assert "sudo closetrace PID" in out.splitlines()[-1]


@pytest.mark.parametrize("part", PARTS)
def test_a_host_that_lacks_something_is_4_and_one_thing_to_do(
    host: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    """The findings stay whole on stdout."""
    lacks(host, part, "install what is missing")
    assert cli.run_command(["doctor"]) == 4
    out, err = capsys.readouterr()
    assert err == "closetrace: not ready: install what is missing\n"
    assert "MISSING" in out
    assert "ready to trace" not in out


def test_of_several_things_the_first_is_told(host: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Rights come before all else, since what comes later may follow from them."""
    lacks(host, "_memlock", "raise the limit")
    lacks(host, "_rights", "run it with sudo")
    assert cli.run_command(["doctor", "--json"]) == 4
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["ready"], found["to_do"]) == (False, "run it with sudo")
    assert err == "closetrace: not ready: run it with sudo\n"


def test_a_kernel_without_a_way_in_is_told_once(host: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All checks are fine, and yet there are no hooks."""

    def refuse(*_: Any) -> None:
        raise HostUnsupported("no way to watch state")

    host.setattr(room, "make_plan", refuse)
    assert cli.run_command(["doctor"]) == 4
    out, err = capsys.readouterr()
    assert err == "closetrace: not ready: no way to watch state\n"
    assert "no way to watch state" not in out
