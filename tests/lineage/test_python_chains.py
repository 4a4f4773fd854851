"""Oracle: the program itself, which says by local port how it holds each socket. On every CPython that is known."""

from __future__ import annotations

import pytest

from tests.lineage.pythons import MINORS, TRUTH, is_true, python, running
from tests.lineage.test_chains import nothing
from tracer.model.holder import Limits, Missing
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

KNOWN = (11, 12, 13, 14, 15)
_ROUNDS = 3
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("minor", [minor for minor in MINORS if minor in KNOWN])
def test_every_socket_has_its_holder(minor: int, keeper: Keeper, peer: int) -> None:
    """All chains are as the program says, each time; what only a cycle holds is said to be held by nothing."""
    with running(python(minor), "holders.py", peer, "0") as program:
        process = Process.open(program.pid)
        for _ in range(_ROUNDS):
            wanted = program.wanted()
            held = keeper.holders(process, wanted, Limits(seconds=60), nothing)
            assert (held.note, held.collector) == ("", f"CPython 3.{minor}")
            kinds = [program.kind(wanted, one) for one in held.lineages]
            assert sorted(kinds) == sorted({*TRUTH, "garbage"} - {"moving"})
            lost = {kind: one.missing for kind, one in zip(kinds, held.lineages) if one.root is None}
            assert lost == {"garbage": Missing.UNREACHABLE}
            found = [(kind, one) for kind, one in zip(kinds, held.lineages) if one.root is not None]
            assert not [(kind, one) for kind, one in found if not is_true(kind, one)]
        process.close()


@pytest.mark.parametrize("minor", [minor for minor in MINORS if minor in KNOWN])
def test_memory_that_looks_like_an_object_holds_nothing(minor: int, keeper: Keeper, peer: int) -> None:
    """Each socket is in a list of lists, and nearer there are words that begin as an exception does and refer to it."""
    with running(python(minor), "lookalikes.py", peer) as program:
        process = Process.open(program.pid)
        wanted = program.wanted()
        held = keeper.holders(process, wanted, Limits(seconds=60), nothing)
        process.close()
        roots = {program.kind(wanted, one): one.root and one.root.name for one in held.lineages}
    assert held.note == ""
    assert roots == dict.fromkeys(program.kinds.values(), "__main__: behind")
    assert len(roots) == 5


@pytest.mark.parametrize("minor", [minor for minor in MINORS if minor not in KNOWN] or [9])
def test_other_versions_are_refused_in_words(minor: int, keeper: Keeper, peer: int) -> None:
    """No chain is given where the layout of objects is not known."""
    with running(python(minor), "holders.py", peer, "0") as program:
        process = Process.open(program.pid)
        held = keeper.holders(process, program.wanted(), Limits(), nothing)
        process.close()
    assert held.lineages == ()
    assert f"the objects of Python 3.{minor} are not known" in held.note
