"""``closetrace run -- CMD``: trace a command and its children from the first socket on."""

from __future__ import annotations

import shlex
from typing import Optional

import click

from tracer.commands.options import (
    DOCS,
    all_frames_option,
    fail_over_option,
    interval_option,
    linger_option,
    make_sizes,
    max_overhead_option,
    tuning,
    verbose_option,
)
from tracer.commands.times import TIME
from tracer.commands.trace import Output, trace
from tracer.errors import ClosetraceError
from tracer.kernel.source import Wanted
from tracer.model.scope import Scope
from tracer.reports.printable import clean
from tracer.reports.text.progress import Progress
from tracer.session.child import Child, StopWithChild
from tracer.session.request import Request


@click.command(
    "run",
    context_settings={"ignore_unknown_options": False},
    epilog=DOCS,
    short_help="Run a command and trace it from its first socket.",
)
@linger_option
@click.option("--duration", type=TIME, help="End the command after TIME: seconds, or 90s, 5m, 1h.")
@interval_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON. The command's stdout goes to stderr.")
@all_frames_option
@fail_over_option
@max_overhead_option
@tuning
@verbose_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    linger: float,
    duration: Optional[float],
    interval: float,
    as_json: bool,
    all_frames: bool,
    fail_over: Optional[int],
    max_overhead: Optional[float],
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, trace it and its children from the first socket on, and end with it.

    Under sudo the command runs as the user who called sudo. With --fail-over it can decide whether a load test passes.
    A socket counts if it lingered, even if it was closed only because the process ended. If the command itself fails,
    the exit code is 1.

    \b
    sudo closetrace run -- ./load-test                  then the report
    sudo closetrace run --fail-over 0 -- ./load-test    a gate: exit code 3
    sudo closetrace run --duration 5m -- ./server       end it after 5 minutes
    """  # noqa: D301, click reads the backspace
    sizes = make_sizes(stack_bytes, memory_mb)
    child = Child(command, stdout_to_stderr=as_json)
    try:
        request = Request(
            scope=Scope(pids=(child.pid,), follow_forks=True),
            target=clean(shlex.join(command)),
            sizes=sizes,
            wanted=Wanted(int(linger * 1e9), guarded=max_overhead is not None),
            probes=probes,
            interval_s=min(interval, linger / 2),
            max_overhead=max_overhead,
            underway=Progress(),
            from_birth=True,
        )
        output = Output(as_json, all_frames, fail_over, counts_ended=True, alone=False)
        trace(request, output, StopWithChild(duration, child), attached=child.release)
    finally:
        child.finish()
    if child.status and duration is None:
        raise ClosetraceError(f"the command ended with status {child.status}")
