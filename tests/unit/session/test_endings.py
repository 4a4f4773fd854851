"""Sockets that left: all counted, few kept."""

from __future__ import annotations

from tests.unit.builders import S, actor, connection, stack, touch
from tracer.model.finding import Ended, Verdict
from tracer.model.states import Op
from tracer.session.endings import KEPT, Endings


def gone(serial: int, closer: str = "sweep", lingered: int = 10 * S, pid: int = 100) -> Ended:
    closed = touch(Op.CLOSE, 150, 0, stack=stack(closer), actor=actor(pid))
    return Ended(connection(serial, closed=closed), Verdict.IDLE_IN_POOL, lingered, "closed")


def test_all_are_counted_and_the_latest_kept() -> None:
    """Memory does not grow with what ended; the count is of all."""
    endings = Endings()
    for serial in range(KEPT + 500):
        endings.add(gone(serial, lingered=(10 + serial % 7) * S))
    assert len(endings.latest) == KEPT
    assert endings.latest[-1].connection.cookie == KEPT + 499
    (kind,) = endings.kinds()
    assert (kind.count, kind.shortest_ns, kind.longest_ns) == (KEPT + 500, 10 * S, 16 * S)
    assert kind.ender == "closed by the program"


def test_kinds_have_one_closing_stack_each() -> None:
    """Two paths that close are two kinds; the threads of one are told together, some of them."""
    endings = Endings()
    for pid in range(1, 31):
        endings.add(gone(pid, "sweep", pid=pid))
    endings.add(gone(40, "shut_down"))
    assert [kind.count for kind in endings.kinds()] == [30, 1]
    assert 2 < len(endings.kinds()[0].closers) < 30


def test_a_program_that_closes_everywhere_takes_no_more() -> None:
    """Beyond a thousand ways the rest is counted without a stack."""
    endings = Endings()
    for serial in range(1500):
        endings.add(gone(serial, f"way{serial}"))
    assert len(endings.kinds()) == 1001
    assert sum(kind.count for kind in endings.kinds()) == 1500
    assert endings.kinds()[-1].closed is None
