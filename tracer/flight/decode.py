"""From a flight record to a Connection, by values alone.

The stacks come in between: ``decode`` tells which boxes and numbers the touches have, the session finds the stacks for
them, and ``Decoded.connection`` puts the two together.
"""

from __future__ import annotations

import functools
import ipaddress
import struct
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Optional

from tracer.flight import layout
from tracer.model.changing import made
from tracer.model.connection import Actor, Connection, Endpoint, Touch, Transition
from tracer.model.frame import Stack
from tracer.model.origin import origin
from tracer.model.states import Op, Origin, TcpState

AF_INET = 2
_STATES = {int(state): state for state in TcpState}
_OPS = {int(op): op for op in Op if op is not Op.NONE}

# Field by field, ctypes would take as long as all the rest.
_TOUCH = struct.Struct("<QiIIi16sHHIII")  # struct ct_touch
_TRANSITION = struct.Struct("<QBBHI")  # struct ct_transition
# struct ct_record up to its first touch, and from there up to its second one
_FIRST = struct.Struct("<QQ4xHBBQQIII4xQQ")
_SECOND = struct.Struct("<QQ16s16sIHHIIQQIIQ")
_SECOND_AT = layout.Record.cookie.offset
_TRANSITIONS_AT = layout.Record.transitions.offset
_PLACES = tuple((name, getattr(layout.Record, name).offset) for name in layout.WHICH)

StackOrReason = tuple[Optional[Stack], Optional[str]]
"""The stack of a touch, or None and why there is none (None: nobody knows)."""

_NO_STACK = (
    (layout.TOUCH_KERNEL, "touched by a kernel worker: there is no user stack"),
    (layout.TOUCH_EXITING, "the process was exiting: its memory was gone already"),
    (layout.TOUCH_COMPAT, "32-bit processes are not unwound"),
    (layout.TOUCH_NO_BOX, "the stack memory was spent (see --memory)"),
    (layout.TOUCH_UNWANTED, "no stack was kept of this call"),
    (layout.TOUCH_SPARED, "no stack was taken, to stay below --max-overhead"),
)


def no_stack_reason(flags: int) -> Optional[str]:
    """Why the kernel side kept no stack of a touch with these flags; None if it did."""
    return next((reason for flag, reason in _NO_STACK if flags & flag), None)


def endpoint(family: int, address: Sequence[int], port: int) -> Endpoint:
    """An address as bytes of the record; v4-mapped IPv6 (RFC 4291, 2.5.5.2), which Java uses always, becomes IPv4."""
    return Endpoint(_address(family, bytes(address)), port)


# Thousands of sockets have few addresses, threads and ways from state to state among them.
@functools.lru_cache(maxsize=4096)
def _address(family: int, address: bytes) -> str:
    if family == AF_INET:
        return str(ipaddress.IPv4Address(address[:4]))
    v6 = ipaddress.IPv6Address(address)
    return str(v6.ipv4_mapped or v6)


def state(number: int) -> TcpState:
    """A state by its number; an unknown one counts as CLOSE, which no kernel has produced yet."""
    return _STATES.get(number, TcpState.CLOSE)


def _text(comm: bytes) -> str:
    return comm.partition(b"\0")[0].decode(errors="replace")


@functools.lru_cache(maxsize=4096)
def _actor(pid: int, tid: int, comm: bytes) -> Actor:
    return Actor(pid, tid, _text(comm))


def transition_origin(old: TcpState, new: TcpState, flags: int) -> Origin:
    """The origin from the facts that the kernel side keeps with a transition (CT_TR_*)."""
    reset = None
    if flags & layout.TR_RESET_LOCAL:
        reset = Origin.LOCAL
    if flags & layout.TR_RESET_PEER:
        reset = Origin.PEER
    owned, closing = bool(flags & layout.TR_OWNED), not flags & layout.TR_OPEN_FD
    return origin(old, new, owned=owned, reset_seen=reset, closing=closing)


@functools.lru_cache(maxsize=1024)
def _change(old: int, new: int, flags: int) -> tuple[TcpState, TcpState, Origin]:
    return state(old), state(new), transition_origin(state(old), state(new), flags)


class Call(NamedTuple):
    """A touch of a record, decoded but for its stack: that lies in ``box`` (a handle), or has the number ``stack``."""

    op: Op
    actor: Actor
    ns: int
    ret: int
    syscall: int
    flags: int
    box: int
    stack: int

    def no_stack(self) -> Optional[str]:
        """Why there is neither a box nor a stack, None if nobody knows."""
        return no_stack_reason(self.flags)

    def touch(self, found: StackOrReason) -> Touch:
        """The touch with its stack."""
        op, actor, ns, ret, syscall, flags, _, _ = self
        stack, reason = found
        return Touch(
            op=op,
            ns=ns,
            actor=actor,
            ret=ret if op is Op.RECV or op is Op.SEND else None,
            syscall=syscall,
            peek=bool(flags & layout.TOUCH_PEEK),
            stack=stack,
            stack_note=reason if stack is None else None,
            exiting=bool(flags & layout.TOUCH_EXITING),
        )


def _call(record: layout.Record, place: int) -> Optional[Call]:
    ns, ret, pid, tid, syscall, comm, number, flags, box, stack, _ = _TOUCH.unpack_from(record, place)
    op = _OPS.get(number)
    if op is None or not ns:
        return None
    return Call(op, _actor(pid, tid, comm), ns, ret, syscall, flags, box, stack)


def _actor_of(tid: int, calls: Mapping[str, Call]) -> Optional[Actor]:
    return next((call.actor for call in calls.values() if call.actor.tid == tid), None)


def _transitions(record: layout.Record, seen: int, calls: Mapping[str, Call]) -> tuple[Transition, ...]:
    kept: list[Transition] = []
    for number in range(min(seen, layout.TRANSITIONS)):
        place = _TRANSITIONS_AT + number * _TRANSITION.size
        ns, old_state, new_state, flags, tid = _TRANSITION.unpack_from(record, place)
        old, new, who = _change(old_state, new_state, flags)
        actor = _actor_of(tid, calls) if who is Origin.LOCAL and tid else None
        kept.append(Transition(ns, old, new, who, actor))
    kept.sort(key=attrgetter("ns"))
    return tuple(kept)


def _latest(one: Optional[Touch], other: Optional[Touch]) -> Optional[Touch]:
    if one is None or other is None:
        return one or other
    return one if one.ns >= other.ns else other


def _reset(ns: int, flags: int, stands: TcpState) -> tuple[Optional[int], Optional[Origin]]:
    # A segment that a living socket refuses is answered by RST too (tcp_v4_send_reset): that ends nothing.
    if not ns or stands is not TcpState.CLOSE:
        return None, None
    return ns, Origin.PEER if flags & layout.TR_RESET_PEER else Origin.LOCAL


class Decoded(NamedTuple):
    """What a record says, before the stacks of its calls are known; ``calls`` by their names in the record."""

    calls: dict[str, Call]
    rest: dict[str, Any]
    """The connection's other fields."""
    loops: bool
    """Its process receives in an event loop."""

    def connection(self, stacks: Mapping[str, StackOrReason]) -> Connection:
        """All that the record alone knows, with ``stacks`` for each of the calls.

        sock_diag and /proc are joined to it later (session/join.py).
        """
        touches = {name: call.touch(stacks[name]) for name, call in self.calls.items()}
        opened, eof, ending, sent = (touches.get(name) for name in ("opened", "eof", "ending", "sent"))
        first = opened if self.rest["opened_late"] else None  # the kernel side keeps it once
        if sent is None and first is not None and first.op is Op.SEND and self.loops:
            sent = first
        return made(
            Connection,
            **self.rest,
            opened=opened,
            last=_latest(_latest(_latest(touches.get("last"), sent), eof), first),
            eof=eof,
            sent=sent,
            shutdown=ending if ending is not None and ending.op is Op.SHUTDOWN else None,
            closed=ending if ending is not None and ending.op is Op.CLOSE else None,
        )


def decode(record: layout.Record, seen_ns: int, ended: bool = False) -> Decoded:
    """Decode a record that was read at ``seen_ns``. ``ended``: the kernel has destroyed the socket."""
    calls = {name: call for name, place in _PLACES if (call := _call(record, place)) is not None}
    sk, birth_ns, family, number, flags, rx_bytes, tx_bytes, rx_calls, tx_calls, eof_reads, last_rx_ns, last_tx_ns = (
        _FIRST.unpack_from(record)
    )
    cookie, inode, local, remote, netns, local_port, remote_port, missed, unread, fin_ns, *since = _SECOND.unpack_from(
        record, _SECOND_AT
    )
    cut_ns, cut_flags, seen, state_ns = since
    stands = state(number)
    reset_ns, reset_by = _reset(cut_ns, cut_flags, stands)
    passive: Optional[bool] = None
    if flags & (layout.R_PASSIVE | layout.R_ACTIVE):
        passive = bool(flags & layout.R_PASSIVE)
    accepted: Optional[bool] = None
    if passive:
        accepted = bool(flags & layout.R_ACCEPTED) or inode != 0
    rest = {
        "sk": sk,
        "birth_ns": birth_ns,
        "local": Endpoint(_address(family, local), local_port),
        "remote": Endpoint(_address(family, remote), remote_port),
        "state": stands,
        "seen_ns": seen_ns,
        "netns": netns,
        "cookie": cookie,
        "inode": inode,
        "preexisting": bool(flags & layout.R_ADOPTED),
        "passive": passive,
        "accepted": accepted,
        "transitions": _transitions(record, seen, calls),
        "transitions_dropped": max(0, seen - layout.TRANSITIONS),
        "opened_late": bool(flags & layout.R_OPENED_LATE),
        "eof_reads": eof_reads,
        "fin_ns": fin_ns or None,
        "reset_ns": reset_ns,
        "reset_by": reset_by,
        "ended_ns": (state_ns or seen_ns) if ended else None,
        "rx_bytes": rx_bytes,
        "tx_bytes": tx_bytes,
        "rx_calls": rx_calls,
        "tx_calls": tx_calls,
        "last_rx_ns": last_rx_ns or None,
        "last_tx_ns": last_tx_ns or None,
        "rx_queue_at_fin": unread if fin_ns else None,
        "missed_touches": missed,
    }
    return Decoded(calls, rest, bool(flags & layout.R_LOOPS))
