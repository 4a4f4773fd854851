"""``closetrace timeline``: each connection as one block when it ends or lingers."""

from __future__ import annotations

from typing import Any, Optional

import click

from tracer.commands.ask import ask, asks_how
from tracer.commands.options import (
    DOCS,
    asking,
    children_option,
    describe,
    duration_option,
    filters,
    interval_option,
    linger_option,
    make_scope,
    make_sizes,
    tuning,
    verbose_option,
)
from tracer.commands.output import life_writer
from tracer.commands.targets import warn_of_absent
from tracer.kernel.source import Wanted
from tracer.reports.text import terminal
from tracer.reports.text.notread import told as not_read
from tracer.reports.text.progress import Progress
from tracer.reports.text.timeline import losses as lost_line
from tracer.session.request import Request
from tracer.session.session import Session
from tracer.session.stopping import Stop


@click.command("timeline", epilog=DOCS, short_help="Print each connection as one block.")
@filters
@children_option
@linger_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each connection.")
@duration_option
@interval_option
@tuning
@asking
@verbose_option
@click.pass_context
def timeline(
    ctx: click.Context,
    /,
    linger: float,
    as_json: bool,
    duration: Optional[float],
    interval: float,
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    fresh: bool,
    agent_socket: str,
    **chosen: Any,
) -> None:
    """Print each connection as one block, when it ends or when it lingers.

    Each block tells who opened the connection, what was sent and received, who hung up first, and who closed it, with
    times from its start. Where an agent runs (closetrace agent), those that lingered are printed at once from its
    records.

    \b
    sudo closetrace timeline -p 1234                 of one process
    sudo closetrace timeline --remote 10.1.0.0/16    to a network
    """  # noqa: D301, click reads the backspace
    scope = make_scope(**chosen)
    asked = not fresh and not asks_how(ctx)
    if asked and ask(agent_socket, scope, linger, what="timeline", as_json=as_json) is not None:
        return
    wanted = Wanted(int(linger * 1e9), all_endings=True)
    sizes = make_sizes(stack_bytes, memory_mb)
    request = Request(scope, describe(scope), sizes, wanted, probes, interval_s=interval, underway=Progress())
    stop = Stop(duration, scope.pids)
    warn_of_absent(scope)
    with Session(request) as session:
        terminal.say(f"tracing {request.target}. Ctrl-C ends.")
        lives = session.lives()
        writer = life_writer(as_json, session.clock_offset_ns)
        told = 0
        for connection in lives.until(stop):
            writer.connection(connection)
            told += 1
        if not told:
            terminal.say("no connection of which a call was seen has ended or lingered (closetrace census counts all)")
        lost = lost_line(lives.lost())
        if lost is not None:
            terminal.say(lost)
        for line in not_read(*lives.not_read(), terminal.width()):
            terminal.say(line)
