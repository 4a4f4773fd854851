"""What the parts of a session share: the attached recorder and the request."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.flight.recorder import Recorder
from tracer.host.namespaces import Namespaces
from tracer.kernel.plan import Plan
from tracer.kernel.source import Wanted
from tracer.session.clock import Clock
from tracer.session.members import Members
from tracer.session.preexisting import Preexisting
from tracer.session.request import Request
from tracer.stacks.target.process import Process


@dataclass(frozen=True)
class Attached:
    """A run that is attached. ``clock`` tells when it began.

    ``wanted`` is what is asked of the kernel side here. ``processes`` are those that the scope names, as they were at
    the attachment: what they had mapped, if other code takes its place.
    """

    request: Request
    recorder: Recorder
    plan: Plan
    members: Members
    older: Preexisting
    namespaces: Namespaces
    clock: Clock
    wanted: Wanted
    processes: tuple[Process, ...] = ()
