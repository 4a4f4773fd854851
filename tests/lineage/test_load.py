"""Verdicts under collections: 500 for each collector, and no wrong chain. Oracle: the program, by local ports."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.lineage.programs import holders, is_true
from tests.lineage.test_chains import nothing
from tests.systems.jvm import find_jdk
from tracer.model.holder import Limits
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_VERDICTS = int(os.environ.get("CLOSETRACE_TEST_VERDICTS", "500"))
_FOUND = 0.95
"""At least so many chains are found; the others are said not to be known."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("collector", ["G1", "Parallel", "Serial"])
def test_no_chain_is_wrong_while_objects_move(collector: str, keeper: Keeper, peer: int, tmp_path: Path) -> None:
    """What is told is true; nearly all is told."""
    log = tmp_path / "gc.log"
    options = (f"-XX:+Use{collector}GC", "-Xmx256m", f"-Xlog:gc:file={log}")
    with holders(find_jdk(17), options, peer) as program:
        process = Process.open(program.jvm.pid)
        program.jvm.say("churn 1")
        program.jvm.until("DONE")
        before = _pauses(log)
        told: Counter[str] = Counter()
        wrong = []
        while told.total() < _VERDICTS:
            wanted = program.wanted()
            held = keeper.holders(process, wanted, Limits(seconds=30, scans=6), nothing)
            assert held.note == ""
            for lineage in held.lineages:
                kind = program.kind(wanted, lineage)
                if kind == "garbage":
                    assert lineage.root is None
                    continue
                told["found" if lineage.root is not None else "lost"] += 1
                if lineage.root is not None and not is_true(kind, lineage):
                    wrong.append((kind, lineage))
        process.close()
        during = _pauses(log) - before
    print(f"{collector}: {dict(told)}, {during} collections meanwhile")
    assert wrong == []
    assert during > told.total() / 50
    assert told["found"] >= _FOUND * told.total()


def _pauses(log: Path) -> int:
    """Collections so far, by the JVM's own log."""
    return log.read_text().count("Pause ")
