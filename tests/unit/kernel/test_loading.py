"""Programs are loaded side by side, each once, and what the kernel said of one is raised where it is asked for."""

from __future__ import annotations

import os
import threading
from typing import Callable

import pytest

from tracer.kernel.loading import Loading
from tracer.kernel.plan import Attachment


def attachments(count: int) -> list[Attachment]:
    return [Attachment("raw_tp", f"point_{number}", f"program_{number}") for number in range(count)]


def cpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(count)))


@pytest.mark.parametrize("count", [1, 2, 8])
def test_each_program_is_loaded_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """With any number of CPUs, one included, each attachment has the descriptor of its own load."""
    cpus(monkeypatch, count)
    asked: list[int] = []

    def load(number: int) -> Callable[[], int]:
        def once() -> int:
            asked.append(number)
            return 100 + number

        return once

    wanted = attachments(20)
    loading = Loading({attachment: load(number) for number, attachment in enumerate(wanted)})
    loading.finish()
    assert [loading.descriptor(attachment) for attachment in wanted] == list(range(100, 120))
    assert sorted(asked) == list(range(20))


def test_two_are_on_their_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two CPUs the caller's own load does not wait for the thread's: each waits here for the other to begin."""
    cpus(monkeypatch, 2)
    both = threading.Barrier(2, timeout=30)

    def load() -> int:
        both.wait()
        return 7

    one, other = attachments(2)
    loading = Loading({one: load, other: load})
    loading.finish()
    assert (loading.descriptor(one), loading.descriptor(other)) == (7, 7)


@pytest.mark.parametrize("count", [1, 4])
def test_a_refused_program_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """What loading raised is raised by descriptor() of that one; finish() does not raise."""
    cpus(monkeypatch, count)

    def refused() -> int:
        raise PermissionError("verifier")

    good, bad, last = attachments(3)
    loading = Loading({good: lambda: 3, bad: refused, last: lambda: 5})
    loading.finish()
    with pytest.raises(PermissionError, match="verifier"):
        loading.descriptor(bad)
    assert (loading.descriptor(good), loading.descriptor(last)) == (3, 5)


def test_abandon_waits_for_what_is_on_its_way_and_begins_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that a thread has begun ends before abandon() returns; the next is never begun."""
    cpus(monkeypatch, 2)
    begun, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def slow() -> int:
        begun.set()
        assert go_on.wait(30)
        ended.append("slow")
        return 1

    def never() -> int:
        ended.append("never")
        return 2

    first, second = attachments(2)
    loading = Loading({first: slow, second: never})
    assert begun.wait(30)
    threading.Timer(0.05, go_on.set).start()
    loading.abandon()
    assert ended == ["slow"]


def test_nothing_to_load_starts_no_thread() -> None:
    """A plan without programs is done at once."""
    before = threading.active_count()
    loading = Loading({})
    assert threading.active_count() == before
    loading.finish()
