"""A look at a Python's heap changes nothing in the target, ends in time, and says so when it cannot tell."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.lineage.pythons import MINORS, python, running
from tests.lineage.test_chains import nothing
from tests.lineage.test_target import assert_untouched
from tracer.model.holder import Limits, Missing, SocketAt
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_SCANNER_MB = 512


def test_memory_and_faults_of_the_target_stay(keeper: Keeper, peer: int) -> None:
    """A look maps, touches and moves nothing in the target."""
    with running(python(11), "holders.py", peer, "0") as program:
        process = Process.open(program.pid)

        def look() -> None:
            held = keeper.holders(process, program.wanted(), Limits(), nothing)
            assert len(held.lineages) == len(program.kinds)

        assert_untouched(program.pid, look)
        process.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("minor", [minor for minor in MINORS if minor in (11, 14)] or [11])
def test_the_scanner_stays_small_at_a_heap_of_a_gigabyte(minor: int, keeper: Keeper, peer: int) -> None:
    """Its resident memory at most, sampled from outside."""
    most = [0]
    with running(python(minor), "large.py", peer, "1000") as program:

        def sample() -> None:
            for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                status = Path(f"/proc/{word}/status")
                if int(word) != program.pid and status.exists():
                    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
                    most[0] = max([most[0], *(int(line.split()[1]) for line in lines)])

        process = Process.open(program.pid)
        held = keeper.holders(process, program.wanted(), Limits(seconds=120), sample)
        process.close()
    assert (held.note, [one.missing for one in held.lineages]) == ("", [None])
    assert held.heap_bytes > 900 << 20
    print(f"3.{minor}: the scanner's memory: {most[0] >> 10} MB")
    assert 0 < most[0] < _SCANNER_MB * 1024


def test_limits_are_kept_and_told(keeper: Keeper, peer: int) -> None:
    """Too little time and too large a heap are notes, and no chain is given."""
    with running(python(11), "holders.py", peer, "0") as program:
        process = Process.open(program.pid)
        short = keeper.holders(process, program.wanted(), Limits(seconds=0.01), nothing)
        small = keeper.holders(process, program.wanted(), Limits(heap_bytes=1 << 20), nothing)
        process.close()
    assert (short.lineages, "took more than 0.01 s of CPU" in short.note) == ((), True)
    assert (small.lineages, "it uses more than" in small.note) == ((), True)


def test_a_program_that_is_killed_meanwhile_is_a_note(keeper: Keeper, peer: int) -> None:
    """Killed at many moments of a look: there is a note, or the look was over before."""
    notes = []
    for delay_s in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        with running(python(11), "holders.py", peer, "0") as program:
            process = Process.open(program.pid)
            wanted = program.wanted()
            timer = threading.Timer(delay_s, os.kill, (program.pid, signal.SIGKILL))
            timer.start()
            held = keeper.holders(process, wanted, Limits(), nothing)
            timer.join()
            process.close()
        assert held.note or len(held.lineages) == len(wanted)
        notes.append(held.note)
    assert "it ended while its heap was looked at" in notes


def test_two_objects_with_one_number_are_not_told_apart(keeper: Keeper, peer: int) -> None:
    """A descriptor that was closed beneath its object, and used again: nothing is said of either."""
    with running(python(11), "twice.py", peer) as program:
        process = Process.open(program.pid)
        held = keeper.holders(process, program.wanted(), Limits(), nothing)
        process.close()
    assert [one.missing for one in held.lineages] == [Missing.AMBIGUOUS]


@pytest.mark.parametrize(("kind", "missing"), [("waits", Missing.DIFFERENT), ("unix", Missing.NO_OBJECT)])
def test_an_object_of_another_kind_is_not_told(kind: str, missing: Missing, keeper: Keeper, peer: int) -> None:
    """C code got the number of a descriptor that was closed beneath its object."""
    with running(python(11), "reused.py", peer, kind) as program:
        process = Process.open(program.pid)
        held = keeper.holders(process, program.wanted(), Limits(), nothing)
        process.close()
    assert [one.missing for one in held.lineages] == [missing]


def test_a_descriptor_without_an_object_is_said_to_have_none(keeper: Keeper, peer: int) -> None:
    """The number of a descriptor that was taken from its object."""
    with running(python(11), "detached.py", peer) as program:
        process = Process.open(program.pid)
        held = keeper.holders(process, program.wanted(), Limits(), nothing)
        other = keeper.holders(process, [SocketAt(999, 1, 2)], Limits(), nothing)
        process.close()
    assert [one.missing for one in (*held.lineages, *other.lineages)] == [Missing.NO_OBJECT] * 2
