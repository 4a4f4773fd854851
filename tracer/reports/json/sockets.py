"""One socket as JSON text, put together from pieces.

A report may have a hundred thousand of them. To build and encode each as a whole takes three times as long.
"""

from __future__ import annotations

import functools
import json
from json.encoder import encode_basestring_ascii as quoted
from typing import Optional

from tracer.diagnose.facts import end_read, end_taken, send_stalled_ns, taken_unseen
from tracer.host.epoll import event_names
from tracer.model.connection import Actor, Blocked, Connection, Holder, Interest, KernelCounters, Relation, Touch
from tracer.model.states import Origin, TcpState
from tracer.reports import events as timeline
from tracer.reports.times import rfc3339

_encoded = json.JSONEncoder().encode
_BOOLEAN = {None: "null", False: "false", True: "true"}
_STATE = {state: quoted(state.name) for state in TcpState}
_ORIGIN: dict[Optional[Origin], str] = {origin: quoted(origin.value) for origin in Origin}
_ORIGIN[None] = _ORIGIN[Origin.UNKNOWN]
_RELATION: dict[Optional[Relation], str] = {None: "null", **{kin: quoted(kin.value) for kin in Relation}}
_NOBODY = '"pid": null, "tid": null, "comm": null'
_NOTHING = KernelCounters()


def members(c: Connection, offset_ns: int) -> str:
    """The members of a socket's object, without its braces. ``offset_ns`` makes CLOCK_MONOTONIC the time of day."""
    owner = c.owner
    pid = owner.pid if owner is not None else None
    fds = [h.fd for h in c.holders if h.pid == pid] or [h.fd for h in c.holders]
    holders = ", ".join([f'{_holder(h)}, "relation": {_kin(h, pid)}{_exec(h, offset_ns)}}}' for h in c.holders])
    blocked = ", ".join(map(_blocked, c.blocked))
    listener = "null" if c.listener is None else _holder(c.listener) + "}"
    listeners = ", ".join([_holder(h) + "}" for h in c.listeners])
    reset_by = "null" if c.reset_by is None else _ORIGIN[c.reset_by]
    return (
        f'"local": {quoted(str(c.local))}, "remote": {quoted(str(c.remote))}, "fd": {fds[0] if fds else "null"}, '
        f'"inode": {c.inode}, "cookie": {c.cookie}, "netns": {c.netns}, "state": {_STATE[c.state]}, '
        f'"opened": {_stamp(_opened_ns(c), offset_ns)}, "fin": {_stamp(c.fin_ns, offset_ns)}, '
        f'"eof_read": {_BOOLEAN[end_read(c)]}, "end_taken": {_BOOLEAN[end_taken(c)]}, '
        f'"rx_queue": {_number(c.rx_queue)}, "rx_queue_at_fin": {_number(c.rx_queue_at_fin)}, '
        f'"rx_bytes": {c.rx_bytes}, "tx_bytes": {c.tx_bytes}, {_kernel(c)}, "holders": [{holders}], '
        f'"recorded": {_BOOLEAN[not c.unrecorded]}, "blocked": [{blocked}], "listener": {listener}, '
        f'"listeners": [{listeners}], '
        f'"preexisting": {_BOOLEAN[c.preexisting]}, "passive": {_BOOLEAN[c.passive]}, '
        f'"accepted": {_BOOLEAN[c.accepted]}, "last_touch": {_touch(c.last, offset_ns)}, "reset_by": {reset_by}, '
        f'"timeline": [{_timeline(c)}]'
    )


def _kernel(c: Connection) -> str:
    """What sock_diag and the holders' epoll sets tell; null where that is not known."""
    k = c.kernel or _NOTHING
    epoll = "null" if c.interests is None else f"[{', '.join(map(_interest, c.interests))}]"
    return (
        f'"tx_queue": {_number(c.tx_queue)}, "unsent": {_number(k.unsent)}, "unacked": {_number(k.unacked)}, '
        f'"bytes_received": {_number(k.bytes_received)}, "bytes_acked": {_number(k.bytes_acked)}, '
        f'"last_data_in_s": {_age(c, k.last_data_in_ns)}, "last_data_out_s": {_age(c, k.last_data_out_ns)}, '
        f'"send_stalled_s": {send_stalled_ns(c, c.seen_ns) / 1e9}, "taken_unseen": {taken_unseen(c)}, '
        f'"epoll": {epoll}, "never_reused": {_BOOLEAN[c.never_reused]}'
    )


def _number(value: Optional[int]) -> str:
    return "null" if value is None else str(value)


def _stamp(ns: Optional[int], offset_ns: int) -> str:
    return "null" if ns is None else f'"{rfc3339(ns + offset_ns)}"'


def _age(c: Connection, ns: Optional[int]) -> str:
    return "null" if ns is None else str(max(c.seen_ns - ns, 0) / 1e9)


def _interest(one: Interest) -> str:
    names = _encoded(list(event_names(one.events)))
    return f'{{"pid": {one.pid}, "epoll_fd": {one.epoll_fd}, "fd": {one.fd}, "events": {names}}}'


def _holder(holder: Holder) -> str:
    """The object without its end."""
    thread = "" if holder.tid is None else f', "tid": {holder.tid}'
    return f'{{"pid": {holder.pid}, "fd": {holder.fd}{thread}, "comm": {quoted(holder.comm)}'


def _kin(holder: Holder, owner: Optional[int]) -> str:
    kin = holder.relation
    if kin is None and owner == holder.pid:
        kin = Relation.OWNER
    return _RELATION[kin]


def _exec(holder: Holder, offset_ns: int) -> str:
    """The exec since which the process has made no call on the socket; nothing if there was none, as mostly."""
    if holder.exec_ns is None:
        return ""
    return f', "exec": {_stamp(holder.exec_ns, offset_ns)}, "close_on_exec": {_BOOLEAN[holder.close_on_exec]}'


def _blocked(b: Blocked) -> str:
    return f'{{{_actor(b.actor)}, "fd": {b.fd}, "syscall": {quoted(b.syscall)}}}'


def _opened_ns(c: Connection) -> Optional[int]:
    """When the socket was opened: its connect or accept; failing that its birth, unless that was not seen."""
    if c.opened is not None and not c.opened_late:
        return c.opened.ns
    return None if c.preexisting or c.unrecorded else c.birth_ns


def _touch(touch: Optional[Touch], offset_ns: int) -> str:
    if touch is None:
        return "null"
    return (
        f'{{"op": {quoted(touch.op.label)}, "time": {_stamp(touch.ns, offset_ns)}, "result": {_number(touch.ret)}, '
        f'"peek": {_BOOLEAN[touch.peek]}, {_actor(touch.actor)}}}'
    )


def _actor(actor: Optional[Actor]) -> str:
    return _NOBODY if actor is None else _thread(actor.pid, actor.tid, actor.comm)


@functools.lru_cache(maxsize=4096)
def _thread(pid: int, tid: int, comm: str) -> str:
    return f'"pid": {pid}, "tid": {tid}, "comm": {quoted(comm)}'


def _timeline(c: Connection) -> str:
    """Events with ``t`` in seconds from the first; ``origin`` is ``unknown`` where nobody in particular caused it."""
    found = timeline.events(c)
    start = found[0].ns
    return ", ".join(
        [
            f'{{"t": {(ns - start) / 1e9}, {_event(name, text, origin)}, {_actor(actor)}}}'
            for ns, name, text, origin, actor, _ in found
        ]
    )


@functools.lru_cache(maxsize=4096)
def _event(name: str, text: str, origin: Optional[Origin]) -> str:
    """What happened. Most events of thousands of sockets are alike in that."""
    return f'"event": {quoted(name)}, "origin": {_ORIGIN[origin]}, "text": {quoted(text)}'
