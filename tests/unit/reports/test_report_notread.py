"""What was not read, and what is not confined: one line each, without control characters."""

from __future__ import annotations

from tests.unit.builders import report
from tracer.model.finding import Unconfined, Unread
from tracer.model.holder import HeapLook
from tracer.reports.html import data
from tracer.reports.text.notread import told


def test_nothing() -> None:
    """No line where all is read and confined."""
    assert told((), (), 100) == []


def test_each_has_its_line() -> None:
    """A part of a file with the reason; all files at once have no name."""
    unread = (Unread("/lib/x\x1b.so", "the symbols", "it took more than 2 s of CPU"), Unread("", "all files", "no uid"))
    lines = told(unread, (Unconfined("uid", "Operation not permitted"), Unconfined("network", "no")), 200)
    assert [line for line in lines if "\x1b" in line] == []
    assert lines[0].startswith("not read: the symbols of /lib/x")
    assert lines[0].endswith(".so: it took more than 2 s of CPU")
    assert lines[1] == "not read: all files: no uid"
    (last,) = lines[2:]
    assert last == "not confined: the process that reads files keeps uid (Operation not permitted), network (no)"


def test_many_files() -> None:
    """Ten of them, and how many more there are."""
    lines = told([Unread(f"/{number}", "all", "why") for number in range(25)], (), 100)
    assert len(lines) == 11
    assert lines[-1] == "not read: 15 more"


def test_the_page_has_them_too() -> None:
    """With the heaps that could not be told."""
    live = report(
        heaps=(HeapLook(100, "java", 9, 7, "the collector moved", 1 << 20, 2, "G1"),),
        unread=(Unread("/bin/x", "symbols", "too large"),),
        unconfined=(Unconfined("seccomp", "not built in"),),
    )
    assert data.of_report(live)["notes"][-4:-1] == [
        "who holds 2 sockets of java (pid 100) is not told: the collector moved",
        "not read: symbols of /bin/x: too large",
        "not confined: the process that reads files keeps seccomp (not built in)",
    ]
