"""Rules on what the program sends after FIN: the peer takes it, or does not."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.facts import after_fin, send_stalled_ns
from tracer.diagnose.rules.phrases import Evidence, ago, last_call, touched
from tracer.model.connection import Connection
from tracer.model.states import CLOSE_WAIT, SEND

_STALLED_NS = 1_000_000_000
"""Longer than a healthy peer leaves a full send queue: more than its delayed ACKs and a few round trips."""


def send_stalled(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Data wait in the send queue, and the peer takes nothing of them."""
    if not c.tx_queue or c.state is not CLOSE_WAIT:
        return None
    stalled = send_stalled_ns(c, now_ns)
    if stalled < _STALLED_NS:
        return None
    facts = [
        f"{words.plural(c.tx_queue or 0, 'byte')} wait in the send queue (Send-Q), and the peer has taken nothing of"
        f" them for {words.duration(stalled)}."
    ]
    if c.kernel is not None and c.kernel.peer_window == 0:
        facts.append("Its receive window is 0: its program does not read.")
    elif c.kernel is not None and c.kernel.unacked:
        facts.append(f"{words.plural(c.kernel.unacked, 'segment')} in flight, not acknowledged.")
    return (*facts, *last_call(c, now_ns))


def half_closed_in_use(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Sending now: the last send lies nearer to now than to FIN, which a single late answer soon stops doing."""
    sent = _sent_after_fin(c)
    if sent is None or (c.fin_ns is not None and now_ns - sent > sent - c.fin_ns):
        return None
    return _half_closed(c, now_ns, sent)


def half_closed_once(c: Connection, now_ns: int) -> Optional[Evidence]:
    """It sent after FIN, though not lately."""
    sent = _sent_after_fin(c)
    return None if sent is None else _half_closed(c, now_ns, sent)


def _sent_after_fin(c: Connection) -> Optional[int]:
    """When the program last sent after FIN, counting a send that found the buffer full; None if it did not."""
    sent, last = c.last_tx_ns, c.last
    if last is not None and last.op is SEND and (last.ret is None or last.ret > 0 or words.would_block(last.ret)):
        sent = last.ns if sent is None else max(sent, last.ns)
    return sent if after_fin(c, sent) else None


def _half_closed(c: Connection, now_ns: int, sent_ns: int) -> Evidence:
    facts = [f"The program sent on it after the peer's FIN, last {ago(now_ns, sent_ns)}, and was not refused."]
    if c.eof is not None:
        facts.append(f"It has seen the end: {touched(c.eof, now_ns)}.")
    return tuple(facts)
