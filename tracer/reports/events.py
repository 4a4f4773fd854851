"""What happened to one connection, in the order of time: the basis of the printed and the JSON timeline."""

from __future__ import annotations

from operator import itemgetter
from typing import NamedTuple, Optional

from tracer.diagnose import words
from tracer.diagnose.facts import unread_bytes
from tracer.model.connection import Actor, Connection, Touch, Transition
from tracer.model.states import CLOSE, CLOSE_WAIT, LOCAL, PEER, RECV, SEND, Op, Origin, TcpState


class Event(NamedTuple):
    """One point of a timeline. ``name`` is for programs (``SYN_SENT``, ``recv``, ``eof``), ``text`` for people."""

    ns: int
    name: str
    text: str
    origin: Optional[Origin] = None
    actor: Optional[Actor] = None
    detail: Optional[str] = None


def events(c: Connection) -> tuple[Event, ...]:
    """All that is known, merged, in the order of time; ``now`` (or ``gone``) comes last."""
    found = _Found([], [_transition(t, c) for t in c.transitions], [], [])
    _add_opening(found, c)
    _add_data(found, c)
    _add_ends(found, c)
    last = c.last
    counted = last is None or last.ns in (c.last_rx_ns, c.last_tx_ns)
    if last is not None and not counted and not found.has_call_at(last.ns):
        found.add(_touch(last))
    every = [*found.making, *found.changes, *found.allowed, *found.at_end]
    every.sort(key=_when)
    every.append(_last(c, every[-1].ns if every else 0))
    return tuple(every)


_when = itemgetter(0)


class _Found(NamedTuple):
    """Events by their order within the same instant.

    connect and close make their transitions, all else follows the state that allows it. (To sort by two values takes
    twice as long, and a report may have a million events.)
    """

    making: list[Event]
    changes: list[Event]
    allowed: list[Event]
    at_end: list[Event]

    def add(self, event: Event) -> None:
        self[_RANK.get(event.name, 1)].append(event)

    def has_call_at(self, ns: int) -> bool:
        """Whether one of them is a call of somebody at this time."""
        return any(event.ns == ns and event.actor is not None for several in self for event in several)


_RANK = {"connect": 0, "close": 0, "accept": 2, "recv": 2, "send": 2, "eof": 3}


def start_ns(c: Connection) -> int:
    """The zero of a connection's timeline: its first event."""
    return events(c)[0].ns


def _transition(t: Transition, c: Connection) -> Event:
    new = t.new
    name = text = _NAMES[new]
    if new is CLOSE_WAIT:
        text = "FIN from the peer, CLOSE_WAIT"
    elif new is CLOSE:
        text = _closing(t, c)
    elif t.origin is LOCAL and new in _FIN_SENT:
        text = f"FIN sent, {name}"
    return Event(t.ns, name, text, t.origin, t.actor)


_NAMES = {state: state.name for state in TcpState}
_FIN_SENT = (TcpState.FIN_WAIT1, TcpState.LAST_ACK)


_LEFT_TO_THE_KERNEL = {TcpState.FIN_WAIT2: "FIN_WAIT2, then TIME_WAIT", TcpState.CLOSING: "TIME_WAIT"}
"""A closed socket gives way to a smaller one that no program holds (tcp_time_wait(), net/ipv4/tcp_minisocks.c)."""


def _closing(t: Transition, c: Connection) -> str:
    if c.reset_by is not None:
        return "CLOSE"  # the RST has a line of its own
    left = _LEFT_TO_THE_KERNEL.get(t.old)
    if left and t.origin is PEER:
        return f"CLOSE (left to the kernel: {left})"
    return {
        PEER: "CLOSE (by the peer)",
        LOCAL: "CLOSE (by this host)",
        Origin.TIMER: "CLOSE (a timer gave up: keepalive or retransmission)",
    }.get(t.origin, "CLOSE")


def _touch(touch: Touch) -> Event:
    return Event(touch.ns, touch.op.label, words.result(touch), LOCAL, touch.actor, words.outcome(touch))


def _add_opening(found: _Found, c: Connection) -> None:
    opened = c.opened
    if opened is None:
        return
    if c.opened_late:
        text = f"first call seen: {words.result(opened)}"
        found.add(Event(opened.ns, opened.op.label, text, LOCAL, opened.actor))
    else:
        found.add(_touch(opened))


def _add_data(found: _Found, c: Connection) -> None:
    if c.last_tx_ns is not None:
        text = f"sent {words.byte_count(c.tx_bytes)}" + _calls(c.tx_calls, _in_vain(c, SEND, c.last_tx_ns))
        found.add(Event(c.last_tx_ns, "send", text, LOCAL, _actor_at(c, c.last_tx_ns), f"{c.tx_bytes} bytes"))
    if c.last_rx_ns is not None:
        calls = _calls(c.rx_calls - c.eof_reads, _in_vain(c, RECV, c.last_rx_ns))
        text = f"received {words.byte_count(c.rx_bytes)}{calls}"
        found.add(Event(c.last_rx_ns, "recv", text, LOCAL, _actor_at(c, c.last_rx_ns), f"{c.rx_bytes} bytes"))


def _in_vain(c: Connection, op: Op, moved_ns: int) -> bool:
    """Whether the last call failed after data had moved: it has a line of its own. Others before it may have, too."""
    last = c.last
    return last is not None and last.op is op and last.ns > moved_ns and last.ret is not None and last.ret < 0


def _calls(count: int, in_vain: bool) -> str:
    if in_vain:
        return f" ({count} calls)" if count > 2 else ""
    return f" (last of {count} calls)" if count > 1 else ""


def _actor_at(c: Connection, ns: int) -> Optional[Actor]:
    return c.last.actor if c.last is not None and c.last.ns == ns else None


def _add_ends(found: _Found, c: Connection) -> None:
    if c.eof is not None:
        times = f" ({c.eof_reads} times)" if c.eof_reads > 1 else ""
        found.add(Event(c.eof.ns, "eof", f"recv returned 0: end seen{times}", LOCAL, c.eof.actor))
    if c.shutdown is not None:
        found.add(_touch(c.shutdown))
    if c.reset_ns is not None:
        who = {PEER: "RST from the peer", LOCAL: "RST sent by this host"}
        by = c.reset_by or Origin.UNKNOWN
        found.add(Event(c.reset_ns, "reset", who.get(by, "RST"), by))
    if c.closed is not None:
        found.add(Event(_close_ns(c, c.closed), "close", words.let_go(c.closed), LOCAL, c.closed.actor))


_ONE_CALL_NS = 50_000_000
_MADE_BY_CLOSE = (TcpState.FIN_WAIT1, TcpState.LAST_ACK, CLOSE)


def _close_ns(c: Connection, closed: Touch) -> int:
    """When the closing call began to show: its transition, where the close itself was recorded only at its end."""
    own = [t for t in c.transitions if t.origin is LOCAL and t.actor == closed.actor]
    made = [t.ns for t in own if t.new in _MADE_BY_CLOSE]
    near = [ns for ns in made if 0 <= closed.ns - ns <= _ONE_CALL_NS and (c.fin_ns is None or ns >= c.fin_ns)]
    return min(near, default=closed.ns)


def _last(c: Connection, latest_ns: int) -> Event:
    """How it stands; never earlier than ``latest_ns``, for the record may have been read after ``seen_ns``."""
    if c.ended_ns is not None:
        return Event(max(c.ended_ns, latest_ns), "gone", "the socket is gone")
    if c.closed is not None and c.state is CLOSE:
        return Event(latest_ns, "gone", "the socket is gone")
    facts = [f"still {_NAMES[c.state]}"]
    if c.state is CLOSE_WAIT:
        unread = unread_bytes(c)
        if unread:
            facts.append(f"{words.byte_count(unread)} unread")
        elif c.rx_queue is not None:
            facts.append("FIN unread" if c.rx_queue else "FIN taken")
    if c.accepted is False:
        facts.append("not accepted")
    elif c.blocked:
        facts += [f"{words.thread(b.actor)} is inside {b.syscall}" for b in c.blocked]
    elif c.closed is None:
        facts.append("no thread in a call on it")
    return Event(max(c.seen_ns, latest_ns), "now", ", ".join(facts))


def is_opening(c: Connection, event: Event) -> bool:
    """Whether a transition only repeats what the connect line says."""
    return event.name == TcpState.SYN_SENT.name and c.opened is not None and c.opened.op is Op.CONNECT
