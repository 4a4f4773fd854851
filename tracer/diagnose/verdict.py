"""One verdict per lingering socket, with the facts that led to it. docs/verdicts.md tells the same for people."""

from __future__ import annotations

from typing import Callable, Optional

from tracer.diagnose import words
from tracer.diagnose.facts import before_trace, last_call, opened_here, taken_bytes
from tracer.diagnose.held import sentence
from tracer.diagnose.rules import held, holding, idling, reading, sending
from tracer.diagnose.rules.phrases import Evidence, taken_by_others, unrecorded
from tracer.model.changing import changed
from tracer.model.connection import Connection
from tracer.model.finding import Finding, Verdict
from tracer.model.states import CLOSE, CLOSE_WAIT

Rule = Callable[[Connection, int], Optional[Evidence]]
"""(connection, now in ns) -> the evidence if the rule holds, else None."""

RULES: tuple[tuple[Verdict, Rule], ...] = (
    (Verdict.NEVER_ACCEPTED, holding.never_accepted),
    (Verdict.BLOCKED_IN_CALL, holding.blocked_in_call),
    (Verdict.HELD_ELSEWHERE, holding.held_elsewhere),
    (Verdict.RESET_STILL_OPEN, holding.reset_still_open),
    (Verdict.SEND_STALLED, sending.send_stalled),
    (Verdict.HALF_CLOSED_IN_USE, sending.half_closed_in_use),
    (Verdict.EOF_IGNORED, reading.eof_ignored),
    (Verdict.END_TAKEN, reading.end_with_data),
    (Verdict.LOST, held.lost),
    (Verdict.NOT_RELEASED, held.leased),
    (Verdict.IDLE_IN_POOL, held.idle),
    (Verdict.IDLE_IN_POOL, idling.goodbye),
    (Verdict.NEVER_READ, reading.never_read_at_all),
    (Verdict.READING_PAUSED, reading.reading_paused),
    (Verdict.UNREAD_DATA, reading.unread_data),
    (Verdict.HALF_CLOSED_IN_USE, sending.half_closed_once),
    (Verdict.NOT_RELEASED, idling.not_released),
    (Verdict.IDLE_IN_POOL, idling.idle_in_pool),
    (Verdict.NOT_READ_SINCE, reading.not_read_since),
)


def judge(connection: Connection, now_ns: int, trace_start_ns: int) -> Finding:
    """The verdict on a socket that lingers in CLOSE_WAIT, or in CLOSE with its descriptor open. Times: monotonic ns.

    The first rule that the facts support decides; the order is from what excludes other readings (nobody has accepted
    it, a thread is inside a call now, another process holds it) to what merely describes (nobody has read since).
    A socket that has been closed meanwhile is judged as it stood before.
    """
    stood, last = _before_its_end(connection), last_call(connection)
    if stood.last is not last:
        stood = changed(stood, last=last)
    verdict, evidence = _decide(stood, now_ns)
    since = _since(stood, trace_start_ns)
    caveats = _caveats(connection, now_ns, trace_start_ns)
    if connection.lineage is not None or caveats:
        evidence = (*evidence, *_holder(connection, evidence), *caveats)
    return Finding(connection, verdict, evidence, since)


def _decide(c: Connection, now_ns: int) -> tuple[Verdict, Evidence]:
    for verdict, rule in RULES:
        evidence = rule(c, now_ns)
        if evidence is not None:
            return verdict, evidence
    return Verdict.UNKNOWN, _nothing_known(c)


def _holder(c: Connection, evidence: Evidence) -> Evidence:
    """Who holds it in the heap, unless a rule has said so."""
    said = sentence(c.lineage) if c.lineage is not None else ""
    return (said,) if said and said not in evidence else ()


def _before_its_end(c: Connection) -> Connection:
    """The socket before its last descriptor went: still in CLOSE_WAIT, unless it was reset earlier than that."""
    if c.closed is None and c.ended_ns is None:
        return c
    end_ns = c.closed.ns if c.closed is not None else c.ended_ns
    reset_before = c.reset_ns is not None and end_ns is not None and c.reset_ns < end_ns
    if c.fin_ns is None or (reset_before and c.closed is not None):
        return c
    return changed(c, state=CLOSE_WAIT)


def _since(c: Connection, trace_start_ns: int) -> int:
    if c.fin_ns is not None:
        return c.fin_ns
    if c.fin_before_ns is not None:
        # What is not recorded may be newer than the trace: that is the least age it can have.
        return c.fin_before_ns if c.unrecorded else min(c.fin_before_ns, trace_start_ns)
    if c.state is CLOSE:
        ends = [t.ns for t in c.transitions if t.new is CLOSE]
        if c.reset_ns is not None or ends:
            return c.reset_ns if c.reset_ns is not None else ends[-1]
    # It was in CLOSE_WAIT already when its record began: that is the least age it can have, if it may be newer.
    return c.birth_ns if c.crowded_out and c.preexisting else trace_start_ns


def _nothing_known(c: Connection) -> Evidence:
    facts = ["No call on it was seen since the trace began." if before_trace(c) else "No call on it was seen."]
    if c.unrecorded:
        facts = []
    if c.state is not CLOSE_WAIT:
        facts.append(f"Its state is {c.state.name}.")
    elif c.rx_queue == 1:
        facts.append("The end (FIN) is unread: nobody has read since the peer hung up.")
    return (*facts, *taken_by_others(c))


def _caveats(c: Connection, now_ns: int, trace_start_ns: int) -> Evidence:
    facts = []
    if c.unseen:
        facts.append(f"This kernel has no hook for {words.listed(c.unseen)}: such calls were made unseen.")
    if c.unrecorded:
        facts.append(unrecorded(c))
    if c.preexisting:
        facts += [_began_unseen(c), *_older(c, now_ns)]
    if c.fin_ns is None and c.fin_before_ns is not None and c.fin_before_ns < trace_start_ns:
        facts.append(
            f"The peer was last heard {words.duration(trace_start_ns - c.fin_before_ns)} before the trace began."
        )
    facts += [
        f"Its fd {h.fd} is in a descriptor table that thread {h.tid} of {h.comm} (pid {h.pid}) has for itself"
        " (CLONE_FILES): /proc/PID/fd does not show it."
        for h in c.holders
        if h.tid is not None
    ]
    if c.closed is not None:
        facts.append(f"It is gone now: {words.let_go(c.closed)}.")
    elif not c.holders and c.accepted is not False and c.ended_ns is None:
        facts.append("No process was found in /proc whose descriptor refers to it.")
    if c.missed_touches:
        facts.append(
            f"{words.plural(c.missed_touches, 'call')} on it went unrecorded: two threads at the same instant."
        )
    return tuple(facts)


def _began_unseen(c: Connection) -> str:
    if not before_trace(c):
        return "No record was free when it began, or it is older than the trace; calls before it had one were not seen."
    if c.fin_ns is None:
        return "It was there before the trace began; who used it until then is not known."
    return "It is older than the trace; calls before that were not seen."


def _older(c: Connection, now_ns: int) -> Evidence:
    """What the kernel knows of the time before the trace: where it was accepted, how much data went, and when."""
    facts = []
    if c.passive and c.listener is not None and c.accepted:
        facts.append(
            f"It was accepted on {c.local}, where {c.listener.comm} (pid {c.listener.pid}, fd {c.listener.fd}) listens."
        )
    k, taken = c.kernel, taken_bytes(c)
    if k is None or k.bytes_received is None or k.last_data_in_ns is None or taken is None:
        return tuple(facts)
    came = max(k.bytes_received - 1, 0)
    if came:
        when = words.duration(now_ns - k.last_data_in_ns)
        read = "all were read" if taken >= came else f"{taken} of them were read"
        facts.append(f"{words.plural(came, 'byte')} came in all, the last {when} ago; {read}.")
    else:
        facts.append("The peer has never sent any data.")
    return (*facts, *_sent(c, now_ns))


def _sent(c: Connection, now_ns: int) -> Evidence:
    k = c.kernel
    opened = opened_here(c)
    if k is None or k.bytes_acked is None or k.last_data_out_ns is None or opened is None:
        return ()
    sent = k.bytes_acked - opened  # of a connection opened here the SYN was acknowledged, too
    if sent <= 0:
        return ()
    when = words.duration(now_ns - k.last_data_out_ns)
    return (f"{words.plural(sent, 'byte')} were sent and acknowledged, the last {when} ago.",)
