"""Sentences of evidence that several rules share."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.diagnose import words
from tracer.diagnose.facts import taken_unseen, unread_bytes
from tracer.host.epoll import event_names, is_spent
from tracer.model.connection import Connection, Holder, Interest, Touch

Evidence = tuple[str, ...]


def ago(now_ns: int, ns: int) -> str:
    """``2.0 s ago``."""
    return f"{words.duration(now_ns - ns)} ago"


def touched(touch: Touch, now_ns: int) -> str:
    """A call with its result, when and by whom."""
    return f"{words.result(touch)}, {ago(now_ns, touch.ns)} by {words.thread(touch.actor)}"


def last_call(c: Connection, now_ns: int) -> Evidence:
    """The last call, or that none was seen."""
    return ("No call on it was seen.",) if c.last is None else (f"Last call: {touched(c.last, now_ns)}.",)


_LISTENERS = 4


def listening(several: Sequence[Holder]) -> str:
    """Who holds which of several listening sockets: ``srv (pid 70, fd 3) and srv (pid 71, fd 3)``."""
    shown, rest = several[:_LISTENERS], len(several) - _LISTENERS
    named = [f"{one.comm} (pid {one.pid}, fd {one.fd})" for one in shown]
    return words.listed([*named, *([f"{rest} more"] if rest > 0 else [])], most=_LISTENERS + 1)


def unrecorded(c: Connection) -> str:
    """Why a socket that a process in scope holds has no stack."""
    if c.crowded_out:
        return "It was not in CLOSE_WAIT when recording began, yet nothing of it is recorded: no record was free."
    who = words.listed(sorted({f"{h.comm} (pid {h.pid})" for h in c.holders}))
    return f"No call of {who} on it was recorded: others used it, and it was inherited over fork or passed on."


def unread(c: Connection) -> Evidence:
    """How much data lie unread; nothing if none does."""
    count = unread_bytes(c)
    return (f"{words.plural(count, 'byte')} of data lie unread.",) if count else ()


def taken_by_others(c: Connection) -> Evidence:
    """Data that were taken by calls which no hook shows."""
    count = taken_unseen(c)
    if not count:
        return ()
    return (
        f"{words.plural(count, 'byte')} were taken from the receive queue by calls that were not seen: splice, sendfile"
        " and zero-copy receive show in no hook.",
    )


def watched(c: Connection) -> Evidence:
    """The epoll sets that the socket is in, or that it is in none although its holders have some."""
    if c.interests is None:
        return ()
    if not c.interests:
        return ("It is in no epoll set, although its holder uses epoll: no event loop is told of what comes.",)
    return tuple(map(_watches, c.interests))


def _watches(one: Interest) -> str:
    if is_spent(one.events):
        return (
            f"{_set(one)} asked for one event (EPOLLONESHOT), was told of it, and has not asked again (EPOLL_CTL_MOD)."
        )
    return f"{_set(one)} watches it for {words.listed(event_names(one.events), 8)}."


def _set(one: Interest) -> str:
    return f"The epoll set fd {one.epoll_fd} of pid {one.pid}"
