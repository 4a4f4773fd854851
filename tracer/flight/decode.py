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
from typing import Any, NamedTuple, Optional, Union

from tracer.flight import layout
from tracer.machine.calls import EXECS
from tracer.machine.calls import name as call_name
from tracer.model.changing import changed, drafted, frozen
from tracer.model.connection import Actor, Connection, Endpoint, Touch, Transition
from tracer.model.frame import Stack
from tracer.model.origin import origin
from tracer.model.states import CLOSE, LOCAL, PEER, RECV, SEND, Op, Origin, TcpState

AF_INET = 2
_STATES = {int(state): state for state in TcpState}
_OPS = {int(op): op for op in Op if op is not Op.NONE}

# Field by field, ctypes would take as long as all the rest.
_TOUCH = struct.Struct("<QiIIi16sBBHIII")  # struct ct_touch
_TRANSITION = struct.Struct("<QBBHI")  # struct ct_transition
# struct ct_record up to its first touch, and from there up to its second one
_FIRST = struct.Struct("<QQ4xHBBQQIII4xQQIIQ16xIHHQ")
_SECOND = struct.Struct("<Q16s16sIIQQ")
_SECOND_AT = layout.Record.inode.offset
_TRANSITIONS_AT = layout.Record.transitions.offset
_NUMBERS = layout.of_each_touch("op")
_PLACES = tuple((name, getattr(layout.Record, name).offset, layout.TOUCHES.index(name)) for name in layout.WHICH)

Bytes = Union[bytes, layout.Record]
_BLANK = Connection(0, 0, Endpoint("", 0), Endpoint("", 0), CLOSE, 0)
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


def _one(family: int, address: bytes, port: int) -> Endpoint:
    return Endpoint(_address(family, address), port)


_same = functools.lru_cache(maxsize=4096)(_one)


def state(number: int) -> TcpState:
    """A state by its number; an unknown one counts as CLOSE, which no kernel has produced yet."""
    return _STATES.get(number, CLOSE)


def _text(comm: bytes) -> str:
    return comm.partition(b"\0")[0].decode(errors="replace")


@functools.lru_cache(maxsize=4096)
def _actor(pid: int, tid: int, comm: bytes) -> Actor:
    return Actor(pid, tid, _text(comm))


def transition_origin(old: TcpState, new: TcpState, flags: int) -> Origin:
    """The origin from the facts that the kernel side keeps with a transition (CT_TR_*)."""
    reset = None
    if flags & layout.TR_RESET_LOCAL:
        reset = LOCAL
    if flags & layout.TR_RESET_PEER:
        reset = PEER
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
            op,
            ns,
            actor,
            ret if op is RECV or op is SEND else None,
            syscall,
            bool(flags & layout.TOUCH_PEEK),
            stack,
            reason if stack is None else None,
            bool(flags & layout.TOUCH_EXITING),
        )


def _calls(record: Bytes) -> dict[str, Call]:
    calls: dict[str, Call] = {}
    numbers = _NUMBERS.unpack_from(record)
    for name, place, which in _PLACES:
        op = _OPS.get(numbers[which])
        if op is not None:
            ns, ret, pid, tid, syscall, comm, _, _, flags, box, stack, _ = _TOUCH.unpack_from(record, place)
            if ns:
                calls[name] = Call(op, _actor(pid, tid, comm), ns, ret, syscall, flags, box, stack)
    return calls


def _actor_of(tid: int, calls: Mapping[str, Call]) -> Optional[Actor]:
    for call in calls.values():
        if call.actor.tid == tid:
            return call.actor
    return None


def _transitions(record: Bytes, seen: int, calls: Mapping[str, Call]) -> tuple[Transition, ...]:
    kept: list[Transition] = []
    latest, ordered = 0, True
    for number in range(min(seen, layout.TRANSITIONS)):
        place = _TRANSITIONS_AT + number * _TRANSITION.size
        ns, old_state, new_state, flags, tid = _TRANSITION.unpack_from(record, place)
        old, new, who = _change(old_state, new_state, flags)
        actor = _actor_of(tid, calls) if tid and who is LOCAL else None
        kept.append(Transition(ns, old, new, who, actor))
        ordered = ordered and ns >= latest
        latest = ns
    if not ordered:
        kept.sort(key=attrgetter("ns"))
    return tuple(kept)


def _latest(one: Optional[Touch], other: Optional[Touch]) -> Optional[Touch]:
    if one is None or other is None:
        return one or other
    return one if one.ns >= other.ns else other


def _reset(ns: int, flags: int, stands: TcpState) -> tuple[Optional[int], Optional[Origin]]:
    # A segment that a living socket refuses is answered by RST too (tcp_v4_send_reset): that ends nothing.
    if not ns or stands is not CLOSE:
        return None, None
    return ns, PEER if flags & layout.TR_RESET_PEER else LOCAL


class Decoded(NamedTuple):
    """A record, read at ``seen_ns``, with its calls decoded, before their stacks are known.

    ``calls`` are by their names in the record.
    """

    calls: dict[str, Call]
    record: Bytes
    seen_ns: int
    ended: bool

    def connection(self, stacks: Mapping[str, StackOrReason]) -> Connection:
        """All that the record alone knows, with ``stacks`` for each of the calls.

        sock_diag and /proc are joined to it later (session/join.py).
        """
        c, record, calls = drafted(_BLANK), self.record, self.calls
        (c.sk, c.birth_ns, family, state_number, flags, c.rx_bytes, c.tx_bytes, c.rx_calls, c.tx_calls, *more) = (
            _FIRST.unpack_from(record)
        )
        c.eof_reads, last_rx_ns, last_tx_ns, seen, cut_flags, state_ns, c.netns, local_port, remote_port, c.cookie = (
            more
        )
        c.inode, local, remote, c.missed_touches, unread, fin_ns, cut_ns = _SECOND.unpack_from(record, _SECOND_AT)
        c.state, c.seen_ns = state(state_number), self.seen_ns
        if fin_ns:
            c.fin_ns, c.rx_queue_at_fin = fin_ns, unread
        c.reset_ns, c.reset_by = _reset(cut_ns, cut_flags, c.state)
        if self.ended:
            c.ended_ns = state_ns or self.seen_ns
        c.last_rx_ns, c.last_tx_ns = last_rx_ns or None, last_tx_ns or None
        c.preexisting, c.opened_late = bool(flags & layout.R_ADOPTED), bool(flags & layout.R_OPENED_LATE)
        # Of many connections one end is the same: where they were accepted, or what they were opened to.
        if flags & layout.R_PASSIVE:
            c.passive, c.accepted = True, bool(flags & layout.R_ACCEPTED) or c.inode != 0
            c.local, c.remote = _same(family, local, local_port), _one(family, remote, remote_port)
        else:
            c.passive = False if flags & layout.R_ACTIVE else None
            c.local, c.remote = _one(family, local, local_port), _same(family, remote, remote_port)
        c.transitions = _transitions(record, seen, calls)
        if seen > layout.TRANSITIONS:
            c.transitions_dropped = seen - layout.TRANSITIONS
        _add_touches(c, {name: call.touch(stacks[name]) for name, call in calls.items()}, bool(flags & layout.R_LOOPS))
        return frozen(c, Connection)


def _add_touches(c: Any, touches: Mapping[str, Touch], loops: bool) -> None:
    """Set the touches of a draft. ``loops``: its process receives in an event loop."""
    c.opened, c.eof, last, ending, sent = (touches.get(name) for name in ("opened", "eof", "last", "ending", "sent"))
    first = c.opened if c.opened_late else None  # the kernel side keeps it once
    if sent is None and first is not None and first.op is SEND and loops:
        sent = first
    if sent is None and last is not None and last.op is SEND and c.eof is not None and c.eof.ns > last.ns:
        sent = last  # the end has a place of its own, so it is there still
    c.sent = sent
    c.last = _latest(_latest(_latest(last, sent), c.eof), first)
    if ending is not None:
        c.shutdown = ending if ending.op is Op.SHUTDOWN else None
        c.closed = _without_next_program(ending) if ending.op is Op.CLOSE else None


def _without_next_program(closed: Touch) -> Touch:
    """What exec closes goes when it returns to user mode (fput()): the stack is the new program's."""
    if call_name(closed.syscall) not in EXECS:
        return closed
    return changed(closed, stack=None, stack_note="exec had replaced the program, and its stack with it")


def decode(record: Bytes, seen_ns: int, ended: bool = False) -> Decoded:
    """Decode a record that was read at ``seen_ns``. ``ended``: the kernel has destroyed the socket."""
    return Decoded(_calls(record), record, seen_ns, ended)
