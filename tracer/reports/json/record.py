"""What a report's text says of a socket beyond its public keys, as JSON: times are ns before the report's ``now_ns``.

``reading/record.py`` reads it back. Values that are as usual are left out.
"""

from __future__ import annotations

import functools
from json.encoder import encode_basestring_ascii as quoted
from operator import attrgetter
from typing import Optional

from tracer.model.connection import Actor, Connection, KernelCounters, Touch, Transition
from tracer.model.frame import Stack
from tracer.model.states import Op, Origin, TcpState

Stacks = tuple[tuple[str, Optional[Stack]], ...]
"""The stacks that a site shows, each with its key: a touch names the one that it has."""

ALIKE = "alike"
"""The stack of a touch is not shown: it differs from the site's in what libraries did."""
TOUCHES = ("opened", "last", "eof", "sent", "shutdown", "closed")
TIMES = ("birth_ns", "seen_ns", "fin_ns", "fin_before_ns", "reset_ns", "ended_ns", "last_rx_ns", "last_tx_ns")
COUNTS = ("transitions_dropped", "eof_reads", "rx_calls", "tx_calls", "missed_touches")
KERNEL_TIMES = ("last_data_in_ns", "last_data_out_ns", "last_ack_in_ns")
KERNEL_COUNTS = ("peer_window", "backed_off_ns")


_TIMES, _COUNTS, _TOUCHES = (
    (attrgetter(*names), tuple(f'"{name}": ' for name in names)) for names in (TIMES, COUNTS, TOUCHES)
)
_KERNEL_TIMES, _KERNEL_COUNTS = (
    (attrgetter(*names), tuple(f'"{name}": ' for name in names)) for names in (KERNEL_TIMES, KERNEL_COUNTS)
)
_STATE = {state: quoted(state.name) for state in TcpState}
_ORIGIN = {origin: quoted(origin.value) for origin in Origin}
_OP = {op: quoted(op.label) for op in Op}


def record(c: Connection, now_ns: int, shown: Stacks = ()) -> str:
    """The value as JSON text, put together from pieces as a socket's other members are; ``now_ns`` is the report's."""
    (values, names) = _TIMES
    told = [f"{name}{now_ns - ns}" for name, ns in zip(names, values(c)) if ns is not None]
    (values, names) = _COUNTS
    told += [f"{name}{count}" for name, count in zip(names, values(c)) if count]
    if c.transitions:
        told.append(f'"transitions": [{", ".join([_transition(one, now_ns) for one in c.transitions])}]')
    if c.opened_late:
        told.append('"opened_late": true')
    if c.unseen:
        told.append(f'"unseen": [{", ".join(map(quoted, c.unseen))}]')
    if c.packages:
        told.append(f'"packages": [{", ".join(map(quoted, c.packages))}]')
    if c.crowded_out:
        told.append('"crowded_out": true')
    if c.unheld is not None:
        told.append(f'"unheld": {c.unheld}')
    (values, names) = _TOUCHES
    told += [f"{name}{_touch(one, now_ns, shown)}" for name, one in zip(names, values(c)) if one is not None]
    if c.kernel is not None:
        told.append(f'"kernel": {_kernel(c.kernel, now_ns)}')
    return f"{{{', '.join(told)}}}"


def _transition(one: Transition, now_ns: int) -> str:
    told = f"[{now_ns - one.ns}, {_STATE[one.old]}, {_STATE[one.new]}, {_ORIGIN[one.origin]}"
    return f"{told}]" if one.actor is None else f"{told}, {_actor(one.actor)}]"


def _actor(actor: Actor) -> str:
    return _thread(actor.pid, actor.tid, actor.comm)


@functools.lru_cache(maxsize=4096)
def _thread(pid: int, tid: int, comm: str) -> str:
    return f"{pid}, {tid}, {quoted(comm)}"


def _touch(touch: Touch, now_ns: int, shown: Stacks) -> str:
    told = f'{{"ns": {now_ns - touch.ns}, "op": {_OP[touch.op]}, "by": [{_actor(touch.actor)}]'
    if touch.ret is not None:
        told += f', "result": {touch.ret}'
    if touch.syscall != -1:
        told += f', "syscall": {touch.syscall}'
    if touch.peek:
        told += ', "peek": true'
    if touch.exiting:
        told += ', "exiting": true'
    if touch.stack_note is not None:
        told += f', "stack_note": {quoted(touch.stack_note)}'
    if touch.stack is not None:
        told += f', "stack": {quoted(_which(touch.stack, shown))}'
    return told + "}"


def _which(stack: Stack, shown: Stacks) -> str:
    for key, one in shown:
        if one is stack:
            return key
    return ALIKE


def _kernel(k: KernelCounters, now_ns: int) -> str:
    (values, names) = _KERNEL_TIMES
    told = [f"{name}{now_ns - ns}" for name, ns in zip(names, values(k)) if ns is not None]
    (values, names) = _KERNEL_COUNTS
    told += [f"{name}{count}" for name, count in zip(names, values(k)) if count is not None]
    if k.opened_here is not None:
        told.append(f'"opened_here": {"true" if k.opened_here else "false"}')
    return f"{{{', '.join(told)}}}"
