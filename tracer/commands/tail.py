"""``closetrace tail``: transitions as they happen, one line each."""

from __future__ import annotations

from typing import Any, Optional

import click

from tracer.commands.options import (
    DOCS,
    all_frames_option,
    children_option,
    describe,
    duration_option,
    filters,
    make_scope,
    make_sizes,
    tuning,
    verbose_option,
)
from tracer.commands.output import transition_writer
from tracer.commands.targets import warn_of_absent
from tracer.kernel.source import Wanted
from tracer.reports.text import terminal
from tracer.reports.text.notread import told as not_read
from tracer.reports.text.progress import Progress
from tracer.session.request import Request
from tracer.session.session import Session
from tracer.session.stopping import Stop

_NEVER_NS = 1 << 62
"""A threshold that no socket reaches, because `tail` does not follow suspects."""


@click.command("tail", epilog=DOCS)
@filters
@children_option
@click.option("--stacks", is_flag=True, help="Show the user stack of each transition that a local call caused.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@all_frames_option
@duration_option
@tuning
@verbose_option
def tail(
    stacks: bool,
    as_json: bool,
    all_frames: bool,
    duration: Optional[float],
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    **chosen: Any,
) -> None:
    """Print TCP state transitions as they happen.

    PID and COMM are those of the socket's owner, not of the process that was on the CPU. ORIGIN shows who caused the
    transition: a local call, the peer, or a timer.

    \b
    sudo closetrace tail -p 1234 --stacks    and which code caused each
    sudo closetrace tail --remote-port 443   of connections to a port
    """  # noqa: D301, click reads the backspace
    scope = make_scope(**chosen)
    wanted = Wanted(linger_ns=_NEVER_NS, events=True, event_stacks=stacks)
    request = Request(scope, describe(scope), make_sizes(stack_bytes, memory_mb), wanted, probes, underway=Progress())
    stop = Stop(duration, scope.pids)
    warn_of_absent(scope)
    with Session(request) as session:
        terminal.say(f"tracing {request.target}. Ctrl-C ends.")
        transitions = session.transitions()
        writer = transition_writer(as_json, all_frames, session.clock_offset_ns)
        writer.header()
        for batch in transitions.until(stop):
            writer.transitions(batch.events, batch.lost, transitions.stack)
        writer.total(transitions.total())
        for line in not_read(*transitions.not_read(), terminal.width()):
            terminal.say(line)
