"""The default command: attach, then follow until the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from tracer.commands import terminal
from tracer.commands.options import Tuning
from tracer.errors import LingerExceeded
from tracer.host.namespaces import Namespaces
from tracer.kernel.source import Wanted
from tracer.model.connection import Probe
from tracer.model.scope import Scope
from tracer.session.opening import clock_offset_ns, open_recorder
from tracer.session.preexisting import Preexisting
from tracer.session.stopping import Stop

if TYPE_CHECKING:
    from tracer.commands.following import Following
    from tracer.model.finding import Report


@dataclass(frozen=True)
class Request:
    """One trace as it was asked for."""

    scope: Scope
    target: str
    tuning: Tuning
    linger_s: float
    interval_s: float
    as_json: bool
    all_frames: bool
    fail_over: Optional[int]
    debuginfod: bool = False
    max_overhead: Optional[float] = None


def trace(request: Request, stop: Stop, attached: Optional[Callable[[], None]] = None) -> Report:
    """Run until ``stop`` says so; prints as it goes and returns the report that it printed.

    ``attached`` is called once everything is recorded from then on. Raises HostUnsupported, LingerExceeded.
    """
    started, offset = time.time(), clock_offset_ns()
    linger_ns = int(request.linger_s * 1e9)
    wanted = Wanted(linger_ns, guarded=request.max_overhead is not None)
    opened = open_recorder(request.scope, request.tuning.sizes, wanted, request.tuning.probes)
    try:
        namespaces = Namespaces()
        older = Preexisting(request.scope, namespaces)
        for pid in request.scope.pids:
            opened.recorder.add_pid(pid)
        opened.recorder.start(opened.plan)
        older.take(opened.recorder)
        _announce(request, opened.plan.probes())
        if attached is not None:
            attached()
        # Half of all modules are for what comes after; the kernel side records while they are read.
        from tracer.commands.following import Following

        following = Following(request, opened, older, namespaces, linger_ns)
        try:
            report = following.until(stop, started, offset)
            closed = _print_unless_closed(following, report)
        finally:
            following.close()
    finally:
        opened.recorder.close()
    if request.fail_over is not None and report.lingering > request.fail_over:
        raise LingerExceeded(
            f"{report.lingering} sockets lingered in CLOSE_WAIT; --fail-over allows {request.fail_over}"
        )
    if closed is not None:
        raise closed
    return report


def _print_unless_closed(following: Following, report: Report) -> Optional[BrokenPipeError]:
    """Print; a reader who has gone is told later, because the gate's verdict does not depend on one."""
    try:
        following.show(report)
        sys.stdout.flush()
    except BrokenPipeError as gone:
        return gone
    return None


def _announce(request: Request, probes: tuple[Probe, ...]) -> None:
    hooked = sum(1 for probe in probes if probe.way is not None)
    terminal.say(
        f"tracing {request.target}: {hooked} of {len(probes)} hook families, threshold {request.linger_s:g} s. "
        "Ctrl-C ends with the report."
    )
