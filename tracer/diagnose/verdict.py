"""One verdict per lingering socket, with the facts that led to it. docs/verdicts.md tells the same for people."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

from tracer.diagnose import words
from tracer.diagnose.facts import after_fin, end_seen, last_call, unread_bytes
from tracer.diagnose.libraries import speaks_tls
from tracer.model.connection import Connection, Touch
from tracer.model.finding import Finding, Verdict
from tracer.model.states import Op, Origin, TcpState

_TLS_ALERT_MAX = 128
"""A TLS close notify is a record of 23 to 85 bytes, whatever the cipher (RFC 5246 7.2.1, RFC 8446 6.1)."""
_WORTH_CALLING_IDLE_NS = 1_000_000_000

Evidence = tuple[str, ...]


def judge(connection: Connection, now_ns: int, trace_start_ns: int) -> Finding:
    """The verdict on a socket that lingers in CLOSE_WAIT, or in CLOSE with its descriptor open. Times: monotonic ns.

    The first rule that the facts support decides; the order is from what excludes other readings (nobody has accepted
    it, a thread is inside a call now, another process holds it) to what merely describes (nobody has read since).
    A socket that has been closed meanwhile is judged as it stood before.
    """
    stood, last = _before_its_end(connection), last_call(connection)
    if stood.last is not last:
        stood = replace(stood, last=last)
    for rule in _RULES:
        decided = rule(stood, now_ns)
        if decided is not None:
            verdict, evidence = decided
            break
    else:
        verdict, evidence = Verdict.UNKNOWN, _nothing_known(stood)
    since = _since(stood, trace_start_ns)
    return Finding(connection, verdict, (*evidence, *_caveats(connection, trace_start_ns)), since)


def _before_its_end(c: Connection) -> Connection:
    """The socket before its last descriptor went: still in CLOSE_WAIT, unless it was reset earlier than that."""
    if c.closed is None and c.ended_ns is None:
        return c
    end_ns = c.closed.ns if c.closed is not None else c.ended_ns
    reset_before = c.reset_ns is not None and end_ns is not None and c.reset_ns < end_ns
    if c.fin_ns is None or (reset_before and c.closed is not None):
        return c
    return replace(c, state=TcpState.CLOSE_WAIT)


def _since(c: Connection, trace_start_ns: int) -> int:
    if c.fin_ns is not None:
        return c.fin_ns
    if c.fin_before_ns is not None:
        return min(c.fin_before_ns, trace_start_ns)
    if c.state is TcpState.CLOSE:
        ends = [t.ns for t in c.transitions if t.new is TcpState.CLOSE]
        if c.reset_ns is not None or ends:
            return c.reset_ns if c.reset_ns is not None else ends[-1]
    return trace_start_ns


def _ago(now_ns: int, ns: int) -> str:
    return f"{words.duration(now_ns - ns)} ago"


def _touched(touch: Touch, now_ns: int) -> str:
    return f"{words.result(touch)}, {_ago(now_ns, touch.ns)} by {words.thread(touch.actor)}"


Decision = Optional[tuple[Verdict, Evidence]]


def _never_accepted(c: Connection, now_ns: int) -> Decision:
    if c.accepted is not False:
        return None
    waits = f"It waits in the accept queue of {c.local}: no accept has taken it, so no descriptor exists."
    facts = [waits]
    if c.listener is not None:
        facts.append(f"{c.listener.comm} (pid {c.listener.pid}, fd {c.listener.fd}) listens there.")
    if c.fin_ns is not None:
        facts.append(f"The peer hung up {_ago(now_ns, c.fin_ns)}.")
    return Verdict.NEVER_ACCEPTED, (*facts, *_unread_bytes(c))


def _reset_still_open(c: Connection, now_ns: int) -> Decision:
    if c.state is not TcpState.CLOSE:
        return None
    if c.reset_by is Origin.PEER:
        cause = "The peer reset the connection"
    elif c.reset_by is Origin.LOCAL:
        cause = "This host reset the connection"
    elif c.shutdown is not None:
        cause = "The program shut the connection down, and it has ended in order"
    else:
        cause = {Origin.TIMER: "A timer (keepalive or retransmission) gave the connection up"}.get(
            _end_origin(c), "The connection is gone (state CLOSE)"
        )
    when = "" if c.reset_ns is None else f" {_ago(now_ns, c.reset_ns)}"
    facts = [f"{cause}{when}, but the descriptor is still open."]
    if c.fin_ns is not None:
        facts.append(f"Before that the peer had sent FIN, {_ago(now_ns, c.fin_ns)}.")
    if c.eof is not None:
        facts.append(f"The end had been read: {_touched(c.eof, now_ns)}.")
    return Verdict.RESET_STILL_OPEN, (*facts, *_last_call(c, now_ns))


def _end_origin(c: Connection) -> Origin:
    ends = [t.origin for t in c.transitions if t.new is TcpState.CLOSE]
    return ends[-1] if ends else Origin.UNKNOWN


def _blocked_in_call(c: Connection, now_ns: int) -> Decision:
    if not c.blocked:
        return None
    inside = tuple(f"{words.thread(b.actor)} is inside {b.syscall} on fd {b.fd} now." for b in c.blocked)
    return Verdict.BLOCKED_IN_CALL, (*inside, *_last_call(c, now_ns))


def _held_elsewhere(c: Connection, now_ns: int) -> Decision:
    owner = c.owner
    if owner is None or not c.holders or owner.pid in {h.pid for h in c.holders}:
        return None
    opened = c.unseen or c.last is None or c.last.op in (Op.CONNECT, Op.ACCEPT)
    use = "opened it" if c.unseen else "opened it last" if opened else "used it last"
    gone = f"{words.thread(owner)} {use} and has no descriptor for it any more: it closed it, or exited."
    held = words.listed(f"{h.comm} (pid {h.pid}, fd {h.fd})" for h in c.holders)
    return Verdict.HELD_ELSEWHERE, (gone, f"Still held by {held}.", *_last_call(c, now_ns))


def _sentafter_fin(c: Connection) -> Optional[int]:
    """When the program last sent after FIN, counting a send that found the buffer full; None if it did not."""
    times = [c.last_tx_ns] if c.last_tx_ns is not None else []
    last = c.last
    if last is not None and last.op is Op.SEND and (last.ret is None or last.ret > 0 or words.would_block(last.ret)):
        times.append(last.ns)
    return max((ns for ns in times if after_fin(c, ns)), default=None)


def _half_closed(c: Connection, now_ns: int, sent_ns: int) -> tuple[Verdict, Evidence]:
    facts = [f"The program sent on it after the peer's FIN, last {_ago(now_ns, sent_ns)}, and was not refused."]
    if c.eof is not None:
        facts.append(f"It has seen the end: {_touched(c.eof, now_ns)}.")
    return Verdict.HALF_CLOSED_IN_USE, tuple(facts)


def _half_closed_in_use(c: Connection, now_ns: int) -> Decision:
    """Sending now: the last send lies nearer to now than to FIN, which a single late answer soon stops doing."""
    sent = _sentafter_fin(c)
    if sent is None or (c.fin_ns is not None and now_ns - sent > sent - c.fin_ns):
        return None
    return _half_closed(c, now_ns, sent)


def _half_closed_once(c: Connection, now_ns: int) -> Decision:
    sent = _sentafter_fin(c)
    return None if sent is None else _half_closed(c, now_ns, sent)


def _eof_ignored(c: Connection, now_ns: int) -> Decision:
    if not end_seen(c):
        return None
    if c.eof is not None:
        facts = [f"The end was read: {_touched(c.eof, now_ns)}."]
        if c.eof_reads > 1:
            facts.append(f"It was read {c.eof_reads} times.")
    elif c.eof_reads:
        facts = [f"The end was read: recv returned 0 ({words.plural(c.eof_reads, 'time')})."]
    else:
        facts = ["The receive queue is empty, and in CLOSE_WAIT that means that the end (FIN) has been read."]
    facts.append("The descriptor was not closed.")
    if c.last is not None and c.eof is not None and c.last.ns > c.eof.ns and c.last.op is not Op.RECV:
        facts.append(f"Last call since then: {_touched(c.last, now_ns)}.")
    return Verdict.EOF_IGNORED, tuple(facts)


def _unread_bytes(c: Connection) -> Evidence:
    unread = unread_bytes(c)
    return (f"{words.plural(unread, 'byte')} of data lie unread.",) if unread else ()


def _tls_goodbye(c: Connection) -> bool:
    """Whether the unread bytes are most likely a TLS close notify that came with FIN into an idle connection."""
    last = c.last
    if last is None or c.fin_ns is None or last.op is not Op.RECV or not last.ret:
        return False
    if last.ret < 0 and not words.would_block(last.ret):
        return False
    small = unread_bytes(c) <= _TLS_ALERT_MAX
    return small and c.fin_ns - last.ns >= _WORTH_CALLING_IDLE_NS and (speaks_tls(last.stack) or c.remote.port == 443)


def _unread_data(c: Connection, now_ns: int) -> Decision:
    if c.state is not TcpState.CLOSE_WAIT or not unread_bytes(c) or (c.passive is False and _tls_goodbye(c)):
        return None
    facts = list(_unread_bytes(c))
    if c.rx_queue_at_fin:
        facts.append(f"{words.plural(c.rx_queue_at_fin, 'byte')} were unread when the peer hung up.")
    return Verdict.UNREAD_DATA, (*facts, *_last_call(c, now_ns))


def _idle_in_pool(c: Connection, now_ns: int) -> Decision:
    if c.passive is not False or c.state is not TcpState.CLOSE_WAIT:
        return None
    if c.last is not None and after_fin(c, c.last.ns):
        return None
    if c.last is None and c.preexisting and c.fin_ns is None and c.rx_queue is None:
        return None
    facts = ["The program opened it with connect."]
    if c.last is not None and c.unseen:
        facts.append(f"Last call that could be seen: {_touched(c.last, now_ns)}.")
    elif c.last is not None and c.fin_ns is not None:
        quiet = words.silence(c.fin_ns - c.last.ns)
        facts.append(f"No call on it since {quiet} before the peer hung up: {_touched(c.last, now_ns)}.")
    else:
        facts.append("No call on it was seen" + (" since the trace began." if c.preexisting else "."))
    if c.rx_queue is not None:
        facts.append("The end (FIN) is unread.")
    if unread_bytes(c):
        facts.append(
            f"{words.plural(unread_bytes(c), 'byte')} came with FIN: the size of a TLS goodbye (close notify)."
        )
    return Verdict.IDLE_IN_POOL, tuple(facts)


def _not_read_since(c: Connection, now_ns: int) -> Decision:
    if c.last is None or c.state is not TcpState.CLOSE_WAIT:
        return None
    if c.unseen:
        called = f"Last call that could be seen: {_touched(c.last, now_ns)}."
    elif after_fin(c, c.last.ns):
        called = (
            f"The last call came after the peer hung up, but did not read on to the end: {_touched(c.last, now_ns)}."
        )
    else:
        called = f"No call on it since before the peer hung up: {_touched(c.last, now_ns)}."
    opened = {True: "It was accepted, not opened from here.", False: "The program opened it with connect."}
    side = (opened[c.passive],) if c.passive is not None else ("Who opened it was not seen.",)
    return Verdict.NOT_READ_SINCE, (called, *side)


_RULES: tuple[Callable[[Connection, int], Decision], ...] = (
    _never_accepted,
    _reset_still_open,
    _blocked_in_call,
    _held_elsewhere,
    _half_closed_in_use,
    _eof_ignored,
    _unread_data,
    _half_closed_once,
    _idle_in_pool,
    _not_read_since,
)


def _last_call(c: Connection, now_ns: int) -> Evidence:
    return ("No call on it was seen.",) if c.last is None else (f"Last call: {_touched(c.last, now_ns)}.",)


def _nothing_known(c: Connection) -> Evidence:
    facts = ["No call on it was seen since the trace began."] if c.preexisting else ["No call on it was seen."]
    if c.state is not TcpState.CLOSE_WAIT:
        facts.append(f"Its state is {c.state.name}.")
    elif c.rx_queue == 1:
        facts.append("The end (FIN) is unread: nobody has read since the peer hung up.")
    return tuple(facts)


def _caveats(c: Connection, trace_start_ns: int) -> Evidence:
    facts = []
    if c.unseen:
        facts.append(f"This kernel has no hook for {words.listed(c.unseen)}: such calls were made unseen.")
    if c.preexisting and c.fin_ns is None:
        facts.append("It was there before the trace began; who used it until then is not known.")
    elif c.preexisting:
        facts.append("It is older than the trace; calls before that were not seen.")
    if c.fin_ns is None and c.fin_before_ns is not None and c.fin_before_ns < trace_start_ns:
        facts.append(
            f"The peer was last heard {words.duration(trace_start_ns - c.fin_before_ns)} before the trace began."
        )
    if c.closed is not None:
        facts.append(f"It is gone now: {words.let_go(c.closed)}.")
    elif not c.holders and c.accepted is not False and c.ended_ns is None:
        facts.append("No process was found in /proc whose descriptor refers to it.")
    if c.missed_touches:
        facts.append(
            f"{words.plural(c.missed_touches, 'call')} on it went unrecorded: two threads at the same instant."
        )
    return tuple(facts)
