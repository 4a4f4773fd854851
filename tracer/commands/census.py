"""``closetrace census``: connections by state, remote endpoint and process. It needs no BPF."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Optional

import click

from tracer.commands.numbers import Whole
from tracer.commands.options import DOCS, agent_was_named, asking_beside, filters, make_scope
from tracer.commands.output import census_writer
from tracer.commands.records import AgentBeside
from tracer.commands.times import Time
from tracer.session.census import NoProcess, count, recorded_scope


@click.command("census", epilog=DOCS, short_help="Count connections by state and process.")
@filters
@click.option(
    "--rows",
    metavar="N",
    type=Whole(0),
    default=20,
    show_default=True,
    help="Show at most N groups; 0 shows all.",
)
@click.option(
    "--watch",
    type=Time(86400),
    is_flag=False,
    flag_value=2.0,
    metavar="[TIME]",
    help="Count again after TIME (seconds, or 5m, 1h), until Ctrl-C.  [--watch without a value: 2 seconds]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch, one document a line.")
@asking_beside
def census(rows: int, watch: Optional[float], as_json: bool, fresh: bool, agent_socket: str, **chosen: Any) -> None:
    """Count TCP connections by state, remote endpoint and process, and say what the states mean.

    CLOSE_WAIT means that a program has not closed. TIME_WAIT is harmless until ephemeral ports run short; the census
    counts them for each destination. The figures come from the kernel's sock_diag: it needs no BPF and, for your own
    processes, no root. Where an agent runs (closetrace agent), root also sees which code paths left the sockets in
    CLOSE_WAIT.

    \b
    closetrace census                        this network namespace
    closetrace census --pid 4121 --watch     one process, every 2 seconds
    closetrace census --remote 10.1.0.0/16   what goes to a network
    closetrace census --netns 4121           the namespace of a container
    """  # noqa: D301, click reads the backspace
    scope, netns = make_scope(**chosen), chosen["netns"]
    writer = census_writer(as_json, rows, watching=watch is not None)
    agent = None if fresh else AgentBeside(agent_socket, recorded_scope(scope), named=agent_was_named())
    # It is asked before the count: what was closed meanwhile is not counted.
    records = agent.newest() if agent is not None else None
    now = count(scope, netns)
    writer.census(now, None, records)
    with contextlib.suppress(KeyboardInterrupt, NoProcess):
        while watch is not None:
            time.sleep(watch)
            records = agent.newest() if agent is not None else None
            before, now = now, count(scope, netns)
            writer.census(now, before, records)
