"""Transitions as they come from the kernel, for `tail`: by the hundred thousand, so the parts that repeat stay bytes.

A printer unpacks :data:`Raw` in its loop and keeps what it makes of ``ends``, ``change`` and ``owner``, which few
sockets, threads and states bring again and again. What those bytes mean is said here alone.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from tracer.flight.decode import state, transition_origin
from tracer.model.states import Origin, TcpState

RECORD = struct.Struct("<8x4Q42s6s24sI4x")
"""struct ct_event of bpf/record.h with the 8 bytes that the ring buffer puts before it."""

Raw = tuple[int, int, int, int, bytes, bytes, bytes, int]
"""CLOCK_MONOTONIC ns, ns in the old state (0: not known), sk, cookie, ends, change, owner, box (0: none)."""

_ENDS = struct.Struct("<16s16sIHHH")
_CHANGE = struct.Struct("<BBI")
_OWNER = struct.Struct("<I4x16s")


End = tuple[int, bytes, int]
"""Family, address and port: what decode.endpoint takes."""


class Ends(NamedTuple):
    """The socket's network namespace and its two ends; most transitions share one of these with many others."""

    netns: int
    local: End
    remote: End


class Change(NamedTuple):
    """From state to state, and who caused it."""

    old: TcpState
    new: TcpState
    origin: Origin


class Task(NamedTuple):
    """The socket's recorded owner, not the task on the CPU; None and "" if nobody is known yet."""

    pid: Optional[int]
    comm: str


def ends(raw: bytes) -> Ends:
    """Read the ends of a transition."""
    local, remote, netns, local_port, remote_port, family = _ENDS.unpack(raw)
    return Ends(netns, (family, local, local_port), (family, remote, remote_port))


def change(raw: bytes) -> Change:
    """Read what a transition changed."""
    old, new, flags = _CHANGE.unpack(raw)
    return Change(state(old), state(new), transition_origin(state(old), state(new), flags))


def owner(raw: bytes) -> Task:
    """Read whose socket it is."""
    pid, comm = _OWNER.unpack(raw)
    return Task(pid or None, comm.partition(b"\0")[0].decode(errors="replace"))
