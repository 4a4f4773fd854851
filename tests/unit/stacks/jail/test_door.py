"""Which texts of /proc a worker gets of a target."""

from __future__ import annotations

from typing import Any

import pytest

from tracer.stacks.jail.door import Door, Subjects
from tracer.stacks.jail.wire import Broken


class Sent:
    """A line that keeps what was sent."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.heads: list[dict[str, Any]] = []

    def send(self, head: dict[str, Any], data: bytes = b"", _descriptors: tuple[int, ...] = ()) -> None:
        self.data.append(data)
        self.heads.append(head)


class Texts:
    """A process each of whose texts is its own name."""

    def read_proc(self, name: str) -> bytes:
        return name.encode()

    def real_path(self, path: str) -> str:
        return f"/real{path}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("status", b"status"),
        ("stat", b"stat"),
        ("task/12/stat", b""),
        ("cmdline", b""),
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


def test_where_a_path_leads_to() -> None:
    """The process tells. A path that is none, or longer than any, is nothing that a worker asks for."""
    line = Sent()
    Door(line, Subjects(), False).serve({"ask": "real", "path": "/bin/shopd"}, Texts())  # type: ignore[arg-type]
    assert line.heads == [{"path": "/real/bin/shopd"}]
    for path in (None, 7, "x" * 4097):
        with pytest.raises(Broken):
            Door(line, Subjects(), False).serve({"ask": "real", "path": path}, Texts())  # type: ignore[arg-type]
