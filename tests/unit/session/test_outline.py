"""What is kept of a finding between two reports of a run without end."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.builders import connection, touch
from tracer.diagnose.reuse import marked
from tracer.model.connection import Connection, Endpoint, Holder, KernelCounters
from tracer.model.finding import Finding, Verdict
from tracer.model.states import Op
from tracer.session.outline import outlined


def _opened(serial: int, seconds: float) -> Connection:
    """One of a client's, opened while those before it lay idle."""
    return replace(
        connection(serial, fin=66.0, opened=touch(Op.CONNECT, seconds), last=touch(Op.RECV, seconds + 1, 10)),
        passive=False,
        rx_bytes=10,
        remote=Endpoint("192.0.2.1", 80),
        holders=(Holder(1, serial, "app"),),
        kernel=KernelCounters(1, 2),
    )


def _finding(one: Connection) -> Finding:
    return Finding(one, Verdict.EOF_IGNORED, ("the end was read",), 66)


def test_what_only_a_report_tells_is_not_kept() -> None:
    """What tells whose socket it is, and what was found, stays."""
    known = _finding(_opened(1, 10))
    kept = outlined(known)
    assert (kept.verdict, kept.since_ns, kept.connection.key) == (known.verdict, 66, known.connection.key)
    assert (kept.evidence, kept.connection.holders, kept.connection.kernel) == ((), (), None)
    assert not kept.connection.transitions


def test_whether_it_is_reused_is_told_as_by_the_whole() -> None:
    """Three of one opener: the one that is asked for is told by the two that were known before."""
    others = [_opened(1, 10), _opened(2, 20)]
    (by_whole,) = marked([_opened(3, 30)], others)
    (by_outline,) = marked([_opened(3, 30)], [outlined(_finding(c)).connection for c in others])
    (alone,) = marked([_opened(3, 30)])
    assert by_outline == by_whole
    assert (by_outline.never_reused, alone.never_reused) == (True, False)
