"""A transition as it happens: what ``closetrace tail`` prints, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.model.connection import Endpoint
from tracer.model.frame import Stack
from tracer.model.states import Origin, TcpState


@dataclass(frozen=True)
class TransitionEvent:
    """One change of TCP state. ``wall_ns`` is nanoseconds since the epoch.

    ``pid`` and ``comm`` are the socket's recorded owner, not the task on the CPU; None and "" if nobody is known yet.
    ``in_old_ns`` is the time spent in ``old``, None if the socket's entry into it was not seen. ``stack`` is set only
    for transitions made by a local call.
    """

    wall_ns: int
    pid: Optional[int]
    comm: str
    local: Endpoint
    remote: Endpoint
    old: TcpState
    new: TcpState
    in_old_ns: Optional[int]
    origin: Origin
    stack: Optional[Stack] = None
    netns: int = 0
    cookie: int = 0
    sk: int = 0
