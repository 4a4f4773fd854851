"""What a report's text says of a socket beyond its public keys, as JSON: times are ns before the report's ``now_ns``.

``reading/record.py`` reads it back. Values that are as usual are left out.
"""

from __future__ import annotations

from typing import Any, Optional

from tracer.model.connection import Actor, Connection, KernelCounters, Touch, Transition
from tracer.model.frame import Stack

Value = dict[str, Any]
Stacks = tuple[tuple[str, Optional[Stack]], ...]
"""The stacks that a site shows, each with its key: a touch names the one that it has."""

ALIKE = "alike"
"""The stack of a touch is not shown: it differs from the site's in what libraries did."""
TOUCHES = ("opened", "last", "eof", "sent", "shutdown", "closed")
TIMES = ("birth_ns", "seen_ns", "fin_ns", "fin_before_ns", "reset_ns", "ended_ns", "last_rx_ns", "last_tx_ns")
COUNTS = ("transitions_dropped", "eof_reads", "rx_calls", "tx_calls", "missed_touches")
KERNEL_TIMES = ("last_data_in_ns", "last_data_out_ns", "last_ack_in_ns")
KERNEL_COUNTS = ("peer_window", "backed_off_ns")


def record(c: Connection, now_ns: int, shown: Stacks = ()) -> Value:
    """Build the value; ``now_ns`` is that of the report."""
    fields = {name: getattr(c, name) for name in (*TIMES, *COUNTS, *TOUCHES)}  # vars() leaves defaults out
    told: Value = {name: now_ns - fields[name] for name in TIMES if fields[name] is not None}
    told.update((name, fields[name]) for name in COUNTS if fields[name])
    if c.transitions:
        told["transitions"] = [_transition(one, now_ns) for one in c.transitions]
    if c.opened_late:
        told["opened_late"] = True
    if c.unseen:
        told["unseen"] = list(c.unseen)
    if c.packages:
        told["packages"] = list(c.packages)
    if c.crowded_out:
        told["crowded_out"] = True
    if c.unheld is not None:
        told["unheld"] = c.unheld
    told.update((name, _touch(fields[name], now_ns, shown)) for name in TOUCHES if fields[name] is not None)
    if c.kernel is not None:
        told["kernel"] = _kernel(c.kernel, now_ns)
    return told


def _transition(one: Transition, now_ns: int) -> list[Any]:
    told = [now_ns - one.ns, one.old.name, one.new.name, one.origin.value]
    return told if one.actor is None else [*told, *_actor(one.actor)]


def _actor(actor: Actor) -> list[Any]:
    return [actor.pid, actor.tid, actor.comm]


def _touch(touch: Touch, now_ns: int, shown: Stacks) -> Value:
    told: Value = {"ns": now_ns - touch.ns, "op": touch.op.label, "by": _actor(touch.actor)}
    if touch.ret is not None:
        told["result"] = touch.ret
    if touch.syscall != -1:
        told["syscall"] = touch.syscall
    if touch.peek:
        told["peek"] = True
    if touch.exiting:
        told["exiting"] = True
    if touch.stack_note is not None:
        told["stack_note"] = touch.stack_note
    if touch.stack is not None:
        told["stack"] = next((key for key, stack in shown if stack is touch.stack), ALIKE)
    return told


def _kernel(k: KernelCounters, now_ns: int) -> Value:
    fields = vars(k)
    told = {name: now_ns - fields[name] for name in KERNEL_TIMES if fields[name] is not None}
    told.update((name, fields[name]) for name in KERNEL_COUNTS if fields[name] is not None)
    if k.opened_here is not None:
        told["opened_here"] = k.opened_here
    return told
