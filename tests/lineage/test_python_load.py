"""Verdicts under load: 500 for each CPython, and no wrong chain. Oracle: the program, by local ports."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.lineage.pythons import MINORS, is_true, python, running
from tests.lineage.test_chains import nothing
from tests.lineage.test_python_chains import KNOWN
from tracer.model.holder import Limits, Lineage, RootKind
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_VERDICTS = int(os.environ.get("CLOSETRACE_TEST_VERDICTS", "500"))
_FOUND = 0.98
"""At least so many chains are found of sockets that stay where they are; the others are said not to be known.

How many of those that move are found depends on how often they move while the machine walks once.
"""


_MOVES = ("move", "one of move.<locals>.<lambda>")


def _is_in_transit(lineage: Lineage) -> bool:
    """Whether the function that moves sockets has it: it was taken out of one place, and is not in the next one yet."""
    root = lineage.root
    return root is not None and root.kind in (RootKind.VALUE, RootKind.VARIABLE) and root.name.split(" (")[0] in _MOVES


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minor", [minor for minor in MINORS if minor in KNOWN])
def test_no_chain_is_wrong_while_objects_come_and_go(minor: int, keeper: Keeper, peer: int) -> None:
    """Three threads make garbage and cycles, and sockets move between a deque, a dict and a list."""
    with running(python(minor), "holders.py", peer, "3") as program:
        process = Process.open(program.pid)
        told: Counter[str] = Counter()
        wrong, lost = [], Counter[tuple[str, object]]()
        while told.total() < _VERDICTS:
            wanted = program.wanted()
            held = keeper.holders(process, wanted, Limits(seconds=60, scans=6), nothing)
            assert held.note == ""
            for lineage in held.lineages:
                kind = program.kind(wanted, lineage)
                told[("moving " if kind == "moving" else "") + ("lost" if lineage.root is None else "found")] += 1
                if lineage.root is None:
                    lost[kind, lineage.missing] += 1
                elif kind == "moving" and _is_in_transit(lineage):
                    told["moving in transit"] += 1
                elif not is_true(kind, lineage):
                    wrong.append((kind, lineage))
        process.close()
    print(f"3.{minor}: {dict(told)}, not found: {dict(lost)}")
    assert wrong == []
    assert told["found"] >= _FOUND * (told["found"] + told["lost"])
    assert told["moving found"] > 0
