"""Rules on connections that the program opened and let lie: in a pool, or never given back to one."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.facts import (
    after_fin,
    before_trace,
    last_call,
    never_used,
    quiet_since,
    sent_last,
    taken_bytes,
    unread_bytes,
)
from tracer.diagnose.libraries import client_of
from tracer.diagnose.owners import speaks_tls
from tracer.diagnose.rules.phrases import Evidence, taken_by_others, touched, watched
from tracer.model.connection import Connection
from tracer.model.frame import Stack
from tracer.model.states import CLOSE_WAIT

_GOODBYE_MAX = 1024
"""A goodbye is a line or a record: SMTP and FTP replies 421 at most 512 bytes (RFC 5321 4.5.3.1.5), PostgreSQL's 57P05
some 150, a TLS close notify 23 to 85 (RFC 8446 6.1), HTTP 408 a few hundred."""
_TLS_MAX = 128
_SILENCE_NS = 1_000_000_000
_WITH_FIN_NS = 1_000_000_000


def goodbye(c: Connection, now_ns: int) -> Optional[Evidence]:
    """A few bytes came right before FIN, after silence, on an idle connection: one read before, or never used."""
    if c.passive is True or c.state is not CLOSE_WAIT:
        return None
    size = unread_bytes(c)
    if not 0 < size <= _GOODBYE_MAX:
        return None
    unused = never_used(c)
    if not (c.rx_bytes or taken_bytes(c) or unused) or sent_last(c):  # after a send it may be the answer
        return None
    by_kernel = bool(c.unseen) or (c.preexisting and c.fin_ns is None)
    times = _goodbye_by_kernel(c) if by_kernel else _goodbye_seen(c, size, unused)
    if times is None:
        return None
    silence, to_fin = times
    opened = ("The program opened it with connect.",) if c.passive is False else ()
    # When the first of several segments came is not known.
    came = "FIN came" if to_fin is None else "the last came with FIN,"
    came = f"the last came {words.duration(to_fin)} before FIN," if to_fin else came
    after = "it was made" if unused else "what was sent last" if by_kernel else "the last call"
    lie = f"{words.plural(size, 'byte')} lie unread, {came} {words.silence(silence)} after {after}"
    return (
        *opened,
        *((NEVER_USED,) if unused else ()),
        f"{lie}: most likely a goodbye to an idle connection (SMTP or FTP reply 421, PostgreSQL 57P05,"
        " TLS close notify, HTTP 408).",
        *_last(c, now_ns),
        "Neither the goodbye nor the end (FIN) has been read.",
        *watched(c),
    )


NEVER_USED = "Nothing was ever sent on it, and nothing read from it."

Times = Optional[tuple[int, Optional[int]]]
"""Silence before the goodbye, and the time from it to FIN (None: when it came is not known); ns."""


def _goodbye_seen(c: Connection, size: int, unused: bool) -> Times:
    last, since = last_call(c), quiet_since(c)
    if c.fin_ns is None or last is None or since is None or c.passive is not False:
        return None
    if c.rx_queue_at_fin not in (None, size):  # some of it was read since
        return None
    came_ns = c.kernel.last_data_in_ns if c.kernel is not None else None
    silence = (came_ns if came_ns is not None else c.fin_ns) - since
    if came_ns is not None:
        return _short(silence, c.fin_ns - came_ns)
    # The socket is gone. Then only TLS tells a goodbye, which sends little else before FIN; or that nothing was asked.
    tls = size <= _TLS_MAX and (speaks_tls(last.stack) or c.remote.port == 443)
    return (silence, None) if (tls or unused) and silence >= _SILENCE_NS else None


def _goodbye_by_kernel(c: Connection) -> Times:
    """By the kernel's times, where calls on it were not seen: of the last data each way, and of FIN or the last ACK."""
    k = c.kernel
    if k is None or k.last_data_in_ns is None or k.last_data_out_ns is None:
        return None
    fin_ns = c.fin_ns if c.fin_ns is not None else k.last_ack_in_ns
    if fin_ns is None or (c.preexisting and c.last is not None):
        return None
    return _short(k.last_data_in_ns - k.last_data_out_ns, fin_ns - k.last_data_in_ns)


def _short(silence: int, to_fin: int) -> Times:
    return (silence, max(to_fin, 0)) if silence >= _SILENCE_NS and to_fin <= _WITH_FIN_NS else None


def _pools(stack: Stack) -> bool:
    """Whether the client library on the stack takes idle connections from a pool of its own."""
    library = client_of(stack)
    return library is not None and library.pools


def not_released(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Idle, and its library's pool did not take idle ones like it: they lay in no pool that their opener takes from."""
    if not c.never_reused:
        return None
    stacks = (touch.stack for touch in (c.last, c.opened) if touch is not None and touch.stack is not None)
    if not any(map(_pools, stacks)):
        return None
    return idle_in_pool(c, now_ns)


def idle_in_pool(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Opened by connect, and no call on it since before FIN."""
    if c.passive is not False or c.state is not CLOSE_WAIT:
        return None
    if c.last is not None and after_fin(c, c.last.ns):
        return None
    if c.last is None and c.preexisting and c.fin_ns is None and c.rx_queue is None:
        return None
    used = (NEVER_USED,) if never_used(c) else ()
    facts = ["The program opened it with connect.", *used, *_last(c, now_ns)]
    if c.rx_queue is not None:
        facts.append("The end (FIN) is unread.")
    if c.never_reused:
        facts.append(
            "Connections to the same peer were opened while older ones of the same opener lay idle, and those were"
            " never used again."
        )
    return (*facts, *taken_by_others(c), *watched(c))


def _last(c: Connection, now_ns: int) -> Evidence:
    if c.last is None:
        return ("No call on it was seen" + (" since the trace began." if before_trace(c) else "."),)
    if c.unseen:
        return (f"Last call that could be seen: {touched(c.last, now_ns)}.",)
    if c.fin_ns is None:
        return (f"Last call: {touched(c.last, now_ns)}.",)
    quiet = words.silence(c.fin_ns - (quiet_since(c) or c.last.ns))
    return (f"No call on it since {quiet} before the peer hung up: {touched(c.last, now_ns)}.",)
