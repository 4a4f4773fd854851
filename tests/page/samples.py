"""Reports to look at: one of each verdict, hostile names, ten thousand sockets."""

from __future__ import annotations

from typing import Any

from tests.unit.builders import START, S, accepted, connection, report, stack, touch
from tests.unit.cases import ONE_OF_EACH
from tracer.model.connection import Actor, Endpoint, Transition
from tracer.model.finding import Ended, Report, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op, Origin, TcpState

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[31m&lt;!--"
"""A name that a traced program could have."""


def each_verdict() -> Report:
    """A site of each verdict, and one that has ended."""
    facts: list[dict[str, Any]] = [facts for facts, _, _ in ONE_OF_EACH]
    several = [connection(serial, remote=Endpoint(f"10.0.{serial}.9", 443), **one) for serial, one in enumerate(facts)]
    closed = touch(Op.CLOSE, 150, 0, syscall=3, stack=stack("shut", "main"))
    gone = Ended(connection(90, closed=closed, ended_ns=START + 150 * S), Verdict.EOF_IGNORED, 84 * S, "closed by it")
    return report(*several, ended_findings=(gone,))


def hostile() -> Report:
    """Names that want to be markup, wherever a name can be."""
    who = Actor(100, 101, HOSTILE)
    deep = Stack((Frame(HOSTILE, HOSTILE, file=HOSTILE, line=3, note=HOSTILE), Frame(HOSTILE, None)), False, HOSTILE)
    last = touch(Op.RECV, 1.006, 150, stack=deep, actor=who)
    opened = touch(Op.CONNECT, 1.0, 0, stack=deep, actor=who)
    return report(connection(1, last=last, opened=opened), target=HOSTILE)


def many(sockets: int = 10_000) -> Report:
    """Sockets of four sites whose lives all differ."""
    found = []
    for serial in range(sockets):
        fin = 40 + serial * 0.011
        facts: dict[str, Any] = {"remote": Endpoint(f"10.1.{serial % 200}.7", 8443)}
        facts["local"] = Endpoint("10.0.0.5", 1024 + serial)
        facts["rx_bytes"], facts["tx_bytes"] = 100 + serial, 90 + serial % 70
        name = f"handler_{serial % 4}"
        facts["last"] = touch(
            Op.RECV, 1.006 + serial / 1e4, 150 + serial % 300, stack=stack("read_reply", name, "main")
        )
        facts["last_rx_ns"] = START + round((1.006 + serial / 1e4) * S)
        facts["transitions"] = (
            Transition(START + S, TcpState.CLOSE, TcpState.SYN_SENT, Origin.LOCAL),
            Transition(START + S + 1_000_000 + serial, TcpState.SYN_SENT, TcpState.ESTABLISHED, Origin.PEER),
            Transition(START + round(fin * S), TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, Origin.PEER),
        )
        found.append(connection(serial, fin=fin, **facts) if serial % 7 else accepted(serial, fin=fin))
    return report(*found)
