"""A look changes nothing in the target, ends in time, and says so when it cannot tell."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lineage.programs import holders, kinds_of
from tests.lineage.test_chains import nothing
from tests.systems.jvm import find_jdk
from tracer.model.holder import Limits
from tracer.stacks.jail import keeper as keeping
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_SCANNER_MB = 150


def assert_untouched(pid: int, look: Callable[[], None]) -> None:
    """Look five times: resident memory and page faults stay, but for a page of the target's own periodic tasks.

    What a look does wrong it does each time. What the target does itself (a timer, the end of its start) it does once.
    """
    changes = []
    for _ in range(5):
        before = memory_of(pid)
        look()
        changes.append([now - then for now, then in zip(memory_of(pid), before)])
    assert changes.count([0, 0, 0]) >= 4, changes
    assert all(sum(change) <= 8 for change in changes), changes


def memory_of(pid: int) -> tuple[int, ...]:
    """Resident memory (kB), minor and major faults of a process and its threads.

    The pages are counted (smaps_rollup): VmRSS is the sum of counters that the kernel adds up later, so it may move by
    hundreds of kB without a fault (Documentation/filesystems/proc.rst).
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(rollup["Rss"].split()[0]), int(fields[7]), int(fields[9])


@pytest.mark.ci
def test_memory_and_faults_of_the_target_stay(keeper: Keeper, peer: int) -> None:
    """A look maps, touches and moves nothing in the target."""
    with holders(find_jdk(17), ("-XX:+UseG1GC",), peer) as program:
        program.jvm.settle()
        process = Process.open(program.jvm.pid)

        def look() -> None:
            held = keeper.holders(process, program.wanted(), Limits(), nothing)
            assert len(held.lineages) == len(program.kinds)

        assert_untouched(program.jvm.pid, look)
        process.close()


@pytest.mark.ci
def test_the_scanner_stays_small(keeper: Keeper, peer: int) -> None:
    """Its resident memory at most, sampled from outside while it works on a busy heap."""
    most = [0]

    with holders(find_jdk(17), ("-XX:+UseG1GC", "-Xmx512m"), peer) as program:
        program.jvm.say("churn 2")
        program.jvm.until("DONE")
        time.sleep(3)

        def sample() -> None:
            for pid in _children() - {program.jvm.pid}:
                status = Path(f"/proc/{pid}/status")
                try:
                    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
                except (OSError, StopIteration):
                    continue
                most[0] = max(most[0], int(line.split()[1]))

        process = Process.open(program.jvm.pid)
        for _ in range(3):
            held = keeper.holders(process, program.wanted(), Limits(seconds=30), sample)
            assert held.note == ""
        process.close()
    assert 0 < most[0] < _SCANNER_MB * 1024


def _children() -> set[int]:
    return {int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.ci
def test_limits_are_kept_and_told(keeper: Keeper, peer: int) -> None:
    """Time and bytes, each in words."""
    with holders(find_jdk(17), ("-XX:+UseG1GC",), peer) as program:
        process = Process.open(program.jvm.pid)
        short = keeper.holders(process, program.wanted(), Limits(seconds=0.01), nothing)
        small = keeper.holders(process, program.wanted(), Limits(heap_bytes=1 << 20), nothing)
        process.close()
    assert (short.lineages, "took more than 0.01 s of CPU" in short.note) == ((), True)
    assert (small.lineages, "GB of heap, more than" in small.note) == ((), True)


@pytest.mark.ci
def test_a_jvm_that_is_killed_meanwhile_is_a_note(keeper: Keeper, peer: int) -> None:
    """Killed at many moments of a look: there is a note, or the look was over before."""
    notes = []
    for delay_s in (0.05, 0.15, 0.25, 0.35, 0.45):
        with holders(find_jdk(17), ("-XX:+UseG1GC",), peer) as program:
            process = Process.open(program.jvm.pid)
            wanted = program.wanted()
            timer = threading.Timer(delay_s, os.kill, (program.jvm.pid, signal.SIGKILL))
            timer.start()
            held = keeper.holders(process, wanted, Limits(), nothing)
            timer.join()
            process.close()
        assert held.note or len(held.lineages) == len(wanted)
        notes.append(held.note)
    assert "it ended while its heap was looked at" in notes


@pytest.mark.ci
def test_without_numpy_one_line_says_so(keeper: Keeper, peer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install. No worker is started for it."""
    monkeypatch.setattr(keeping, "find_spec", lambda name: None)
    with holders(find_jdk(17), ("-XX:+UseG1GC",), peer) as program:
        process = Process.open(program.jvm.pid)
        held = keeper.holders(process, program.wanted(), Limits(), nothing)
        process.close()
    assert held.lineages == ()
    assert "python3-numpy" in held.note


@pytest.mark.ci
def test_other_ports_are_another_socket(keeper: Keeper, peer: int) -> None:
    """A descriptor's number alone is not enough: closed channels keep theirs."""
    with holders(find_jdk(17), ("-XX:+UseG1GC",), peer) as program:
        process = Process.open(program.jvm.pid)
        wanted = [type(one)(one.fd, one.local_port + 1, one.remote_port) for one in program.wanted()]
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
    assert len(held.lineages) == len(kinds_of(17)) + 4
    assert all(lineage.root is None for lineage in held.lineages)
