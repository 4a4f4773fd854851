"""The default command: watch, report sites as they appear, and the whole at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Optional

import click

from tracer.commands import terminal
from tracer.commands.options import Tuning
from tracer.errors import LingerExceeded
from tracer.kernel.scope import Scope
from tracer.kernel.source import Wanted
from tracer.model.connection import Probe
from tracer.model.finding import Report
from tracer.reports import json_report, table
from tracer.session.guard import Guard
from tracer.session.namespaces import Namespaces
from tracer.session.opening import clock_offset_ns, open_recorder
from tracer.session.preexisting import Preexisting
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.session.watch import Watch
from tracer.stacks.service import StackService

_RELIEF_S = 0.1


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
    service = StackService(request.debuginfod)
    wanted = Wanted(linger_ns, guarded=request.max_overhead is not None)
    opened = open_recorder(request.scope, request.tuning.sizes, wanted, request.tuning.probes)
    guard = Guard(opened.recorder, request.max_overhead)
    try:
        namespaces = Namespaces()
        older = Preexisting(request.scope, namespaces)
        stacks = StackStore(opened.recorder, service)
        for pid in request.scope.pids:
            opened.recorder.add_pid(pid)
        opened.recorder.start(opened.plan)
        older.take(opened.recorder)
        watch = Watch(opened.recorder, stacks, older, namespaces, linger_ns)
        _announce(request, opened.plan.probes())
        if attached is not None:
            attached()
        _follow(request, watch, stop, guard)
        report = replace(watch.report(opened.plan, request.target, started, offset, ()), cost=guard.cost())
        closed = _print_unless_closed(request, report)
    finally:
        opened.recorder.close()
        service.close()
        guard.close()
    if request.fail_over is not None and report.lingering > request.fail_over:
        raise LingerExceeded(
            f"{report.lingering} sockets lingered in CLOSE_WAIT; --fail-over allows {request.fail_over}"
        )
    if closed is not None:
        raise closed
    return report


def _print_unless_closed(request: Request, report: Report) -> Optional[BrokenPipeError]:
    """Print; a reader who has gone is told later, because the gate's verdict does not depend on one."""
    try:
        _print(request, report)
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


def _follow(request: Request, watch: Watch, stop: Stop, guard: Guard) -> None:
    stop.begin()
    line = terminal.StatusLine(enabled=not request.as_json)
    while not stop.over():
        tick = watch.tick()
        guard.check()
        if tick.sites and not request.as_json:
            line.clear()
        for shown in tick.sites if not request.as_json else ():
            click.echo(
                table.render_site(
                    shown.site,
                    shown.number,
                    time.monotonic_ns(),
                    width=terminal.width(),
                    color=terminal.color(),
                    all_frames=request.all_frames,
                    grown_from=shown.grown_from,
                )
            )
        line.show(tick)
        _rest(watch, stop, request.interval_s)
    line.clear()


def _rest(watch: Watch, stop: Stop, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not stop.over() and (left := until - time.monotonic()) > 0:
        watch.relieve()
        stop.wait(min(left, _RELIEF_S))


def _print(request: Request, report: Report) -> None:
    if request.as_json:
        for text in json_report.to_text(report):
            sys.stdout.write(text)
        return
    click.echo(
        table.render(report, width=terminal.width(), color=terminal.color(), all_frames=request.all_frames), nl=False
    )
