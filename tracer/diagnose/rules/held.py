"""Rules on what the heap says: a pool has the socket as leased or as idle, or nothing refers to it any more."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose.held import sentence
from tracer.diagnose.rules.phrases import Evidence, last_call, watched
from tracer.model.connection import Connection
from tracer.model.holder import LOST, Lineage, Use
from tracer.model.states import CLOSE_WAIT


def lost(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Nothing in the program refers to it any more: it was dropped without a close."""
    if c.lineage is None or c.lineage.missing not in LOST or c.state is not CLOSE_WAIT:
        return None
    return _evidence(c, c.lineage, now_ns)


def leased(c: Connection, now_ns: int) -> Optional[Evidence]:
    """A pool has it among those that the program uses: it was never given back. Or a server has it in a request."""
    return None if c.lineage is None else _by(c, c.lineage, now_ns, Use.LEASED, Use.SERVING)


def idle(c: Connection, now_ns: int) -> Optional[Evidence]:
    """A pool has it among those that wait for their next use."""
    return None if c.lineage is None else _by(c, c.lineage, now_ns, Use.IDLE)


def _by(c: Connection, lineage: Lineage, now_ns: int, *uses: Use) -> Optional[Evidence]:
    if lineage.use not in uses or c.state is not CLOSE_WAIT:
        return None
    return _evidence(c, lineage, now_ns)


def _evidence(c: Connection, lineage: Lineage, now_ns: int) -> Evidence:
    return (sentence(lineage), *(() if c.last is None else last_call(c, now_ns)), *watched(c))
