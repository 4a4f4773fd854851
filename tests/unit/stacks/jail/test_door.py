"""Which texts of /proc a worker gets of a target."""

from __future__ import annotations

from typing import Any

import pytest

from tracer.stacks.jail.door import Door, Subjects


class Sent:
    """A line that keeps what was sent."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def send(self, _head: dict[str, Any], data: bytes = b"", _descriptors: tuple[int, ...] = ()) -> None:
        self.data.append(data)


class Texts:
    """A process each of whose texts is its own name."""

    def read_proc(self, name: str) -> bytes:
        return name.encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("status", b"status"),
        ("task/12/status", b"task/12/status"),
        ("task/../status", b""),
        ("task/12/environ", b""),
        ("environ", b""),
        ("/status", b""),
        ("task/12/status\n", b""),
        (7, b""),
        (None, b""),
    ],
)
def test_the_status_of_a_target_and_of_its_threads_alone(name: object, data: bytes) -> None:
    """All else is empty."""
    line = Sent()
    Door(line, Subjects(), False).serve({"ask": "text", "name": name}, Texts())  # type: ignore[arg-type]
    assert line.data == [data]
