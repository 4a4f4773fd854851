"""Rules on what was read: the end, the end together with data, nothing ever, no more, not since."""

from __future__ import annotations

import select
from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.facts import (
    after_fin,
    before_trace,
    end_read,
    end_taken,
    end_with_last_read,
    failed_last,
    looked_last,
    never_read,
    opened_here,
    taken_unseen,
    unread_bytes,
)
from tracer.diagnose.rules import phrases
from tracer.diagnose.rules.phrases import Evidence, touched, watched
from tracer.host.epoll import is_spent
from tracer.model.connection import Connection
from tracer.model.states import CLOSE_WAIT, RECV


def eof_ignored(c: Connection, now_ns: int) -> Optional[Evidence]:
    """A read returned 0, and no close followed."""
    if not end_read(c):
        return None
    if c.eof is not None:
        facts = [f"The end was read: {touched(c.eof, now_ns)}."]
        if c.eof_reads > 1:
            facts.append(f"It was read {c.eof_reads} times.")
    else:
        facts = [f"The end was read: recv returned 0 ({words.plural(c.eof_reads, 'time')})."]
    facts.append("The descriptor was not closed.")
    if c.last is not None and c.eof is not None and c.last.ns > c.eof.ns and c.last.op is not RECV:
        facts.append(f"Last call since then: {touched(c.last, now_ns)}.")
    return tuple(facts)


def end_with_data(c: Connection, now_ns: int) -> Optional[Evidence]:
    """FIN has left the queue, and no read of 0 was seen: it went together with data, or before the trace, or unseen."""
    if not end_taken(c):
        return None
    last = c.last
    if taken_unseen(c):
        how = "The peer's end (FIN) was taken from the receive queue by a call that was not seen."
    elif not end_with_last_read(c):
        when = "that was before the trace" if before_trace(c) else "that was not seen"
        how = (
            "The end has left the receive queue: a read returned 0, or one took it together with the last data;"
            f" {when}."
        )
    elif last is not None and last.op is RECV and last.ret and last.ret > 0:
        how = (
            f"The last {words.plural(last.ret, 'byte')} and the peer's end (FIN) were taken by one read, which returned"
            f" {last.ret}: no read returned 0."
        )
    else:
        how = "The last data and the peer's end (FIN) were taken by one read: no read returned 0."
    return (how, *phrases.taken_by_others(c), "The descriptor was not closed.", *phrases.last_call(c, now_ns))


def never_read_at_all(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Data lie unread, and no call has ever taken a byte from the socket."""
    if c.state is not CLOSE_WAIT or not unread_bytes(c) or not never_read(c):
        return None
    side = ("It was accepted, and waits for somebody to read it.",) if c.passive and not c.rx_calls else ()
    return (
        *phrases.unread(c),
        _taken_by_none(c),
        *side,
        *watched(c),
        *phrases.last_call(c, now_ns),
    )


def _taken_by_none(c: Connection) -> str:
    """That no byte was taken; calls may have tried, or have looked (MSG_PEEK)."""
    if not c.rx_calls:
        return "No call has ever read from it: never one byte was taken."
    if looked_last(c):
        return f"Never one byte was taken from it: {_the_last_of(c)} only looked (MSG_PEEK)."
    error = failed_last(c)
    if error is not None:
        return f"Never one byte was taken from it: {_the_last_of(c)} failed with {error}."
    if c.last is not None and c.last.op is RECV and (c.last.ret or 0) < 0:
        return f"Never one byte was taken from it: {_the_last_of(c)} found nothing yet."
    calls = words.plural(c.rx_calls, "call")
    return f"Never one byte was taken from it: {calls} found nothing yet, only looked (MSG_PEEK), or failed."


def _the_last_of(c: Connection) -> str:
    return "the one call" if c.rx_calls == 1 else f"the last of {c.rx_calls} calls"


def reading_paused(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Data lie unread, and no epoll set of its holders, which use epoll, asks for them or was told of them."""
    if c.state is not CLOSE_WAIT or not unread_bytes(c) or c.interests is None:
        return None
    if any(one.events & select.EPOLLIN or is_spent(one.events) for one in c.interests):
        return None
    return (*_unread(c), *watched(c), *phrases.last_call(c, now_ns))


def unread_data(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Data lie unread, after some were read."""
    if c.state is not CLOSE_WAIT or not unread_bytes(c):
        return None
    return (*_unread(c), *watched(c), *phrases.last_call(c, now_ns))


def _unread(c: Connection) -> Evidence:
    if not c.rx_queue_at_fin:
        return phrases.unread(c)
    return (*phrases.unread(c), f"{words.plural(c.rx_queue_at_fin, 'byte')} were unread when the peer hung up.")


def not_read_since(c: Connection, now_ns: int) -> Optional[Evidence]:
    """The FIN is unread, and the last call is known."""
    if c.last is None or c.state is not CLOSE_WAIT:
        return None
    if c.unseen:
        called = f"Last call that could be seen: {touched(c.last, now_ns)}."
    elif after_fin(c, c.last.ns):
        called = (
            f"The last call came after the peer hung up, but did not read on to the end: {touched(c.last, now_ns)}."
        )
    else:
        called = f"No call on it since before the peer hung up: {touched(c.last, now_ns)}."
    return (called, _side(c), *phrases.taken_by_others(c), *watched(c))


def _side(c: Connection) -> str:
    """Who opened it, and how that is known."""
    if c.passive is not None:
        return "It was accepted, not opened from here." if c.passive else "The program opened it with connect."
    return "The program opened it, as the kernel's counters tell." if opened_here(c) else "Who opened it was not seen."
