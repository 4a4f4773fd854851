"""``closetrace top``: leak sites on a live screen."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Optional

import click

from tracer.commands import files
from tracer.commands.ask import ANEW, asks_how, say_absent
from tracer.commands.options import (
    DOCS,
    asking,
    children_option,
    describe,
    filters,
    interval_option,
    lineage_option,
    linger_option,
    make_scope,
    make_sizes,
    max_overhead_option,
    tuning,
)
from tracer.commands.output import recorded
from tracer.commands.targets import warn_of_absent
from tracer.errors import UsageError
from tracer.host.identity import in_first_pid_namespace
from tracer.kernel.source import Wanted
from tracer.reports.printable import clean
from tracer.reports.text import terminal
from tracer.reports.text.progress import Progress
from tracer.session.request import Request

if TYPE_CHECKING:
    from tracer.agent.protocol import Question
    from tracer.model.finding import Report
    from tracer.session.stopping import Stop
    from tracer.top.snapshots import Source

_FORMS = {".json": "json", ".html": "html", ".pprof": "pprof"}
_FILE_WIDTH = 100


@click.command("top", epilog=DOCS, short_help="Show leak sites on a live screen.")
@filters
@children_option
@linger_option
@interval_option
@max_overhead_option
@lineage_option
@tuning
@asking
@click.pass_context
def top(
    ctx: click.Context,
    /,
    linger: float,
    interval: float,
    max_overhead: Optional[float],
    lineage: Optional[bool],
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    fresh: bool,
    agent_socket: str,
    **chosen: Any,
) -> None:
    """Show leak sites live: by sockets and age, and how they grow.

    Enter opens a site, with its stacks, advice and sockets, then a socket, with its life drawn. Type / to filter; s
    sorts, p pauses, w writes the report to a file, ? tells all keys, q quits. Where an agent runs (closetrace agent),
    it shows the agent's records. It needs Textual: pip install 'closetrace[top]'.

    \b
    sudo closetrace top                    the whole host
    sudo closetrace top --comm nginx       one program
    sudo closetrace top --linger 5m        only sockets older than 5 minutes
    """  # noqa: D301, click reads the backspace
    check()
    scope = make_scope(**chosen)
    target = clean(describe(scope))
    from tracer.agent.protocol import Question
    from tracer.top.ending import Ending
    from tracer.top.running import run
    from tracer.top.snapshots import OwnTrace

    stop, progress = Ending(scope.pids), Progress()
    request = Request(
        scope=scope,
        target=target,
        sizes=make_sizes(stack_bytes, memory_mb),
        wanted=Wanted(int(linger * 1e9), guarded=max_overhead is not None),
        probes=probes,
        interval_s=interval,
        max_overhead=max_overhead,
        lineage=lineage,
        underway=progress,
    )
    source: Optional[Source] = None
    if not fresh and not asks_how(ctx):
        source = _agent(agent_socket, Question("report", scope, target, int(linger * 1e9), as_json=True), stop)
    if source is None:
        warn_of_absent(scope)
        terminal.say(f"attaching to {target}")
        source = OwnTrace(request, stop)
        progress.close()
    terminal.say(run(source, stop, _write))


def check() -> None:
    """Raises UsageError without Textual, or without a terminal whose cursor can be moved."""
    if find_spec("textual") is None:
        raise UsageError("closetrace top needs Textual: pip install 'closetrace[top]'")
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if not all(stream.isatty() for stream in streams) or os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("closetrace top needs a terminal; closetrace prints a report anywhere")


def _agent(path: str, question: Question, stop: Stop) -> Optional[Source]:
    """The agent at ``path``, asked once; None if there is none or it is no help, which is said."""
    if not in_first_pid_namespace():  # process numbers mean others there
        say_absent(path)
        return None
    from tracer.agent.asking import NoAgent, NotAnswered
    from tracer.agent.protocol import NoAnswer, NoQuestion
    from tracer.reports.json.reading.fields import BadReport
    from tracer.top.snapshots import AgentSource

    try:
        return AgentSource(path, question, stop)
    except NoAgent:
        say_absent(path)
        return None
    except (NotAnswered, NoQuestion, NoAnswer, BadReport) as why:
        terminal.say(f"the agent at {path} is no help: {why}. {ANEW}")
        return None


def _write(name: str, report: Report) -> None:
    """Write the report in the form that the end of the name tells, text if it tells none."""
    form = next((form for end, form in _FORMS.items() if name.endswith(end)), "text")
    files.write(name, recorded(report, form, all_frames=False, width=_FILE_WIDTH, color=False))
