"""Asks the agent of this host in place of tracing, where there is one that has recorded what is asked for."""

from __future__ import annotations

import os
import sys
from typing import Optional

import click

from tracer import earliest
from tracer.commands.options import agent_was_named, describe
from tracer.host.identity import in_first_pid_namespace
from tracer.model.scope import Scope
from tracer.reports.printable import clean
from tracer.reports.text import terminal
from tracer.reports.times import for_people

ANEW = "Tracing anew."
"""What is done instead."""
_TRACE_ANEW = frozenset(
    {"duration", "interval", "max_overhead", "lineage", "debuginfod", "stack_bytes", "memory_mb", "probes"}
)
"""Options that say how to trace: an agent was told that before."""


def asks_how(ctx: click.Context) -> bool:
    """Whether the command line says how to trace."""
    return any(
        ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        for name in _TRACE_ANEW & set(ctx.params)
    )


def say_absent(path: str) -> None:
    """That nobody can be asked at ``path``, if somebody named it."""
    if agent_was_named():
        terminal.say(f"no agent can be asked at {path}. {ANEW}")


def ask(
    path: str, scope: Scope, linger_s: float, *, what: str = "report", as_json: bool, all_frames: bool = False
) -> Optional[int]:
    """Print what the agent at ``path`` knows. Returns how many sockets linger; None if it was not told.

    If there is an agent that does not tell, why is said on stderr. Raises ClosetraceError if it ends within its answer,
    and BrokenPipeError.
    """
    # Most hosts have none, and a trace must begin soon: what asks is not even imported. In a pid namespace process
    # numbers mean others.
    if not os.path.exists(path) or not in_first_pid_namespace():
        say_absent(path)
        return None
    from tracer.agent.asking import Asked, NoAgent, NotAnswered
    from tracer.agent.protocol import NoQuestion, Question

    width = min(max(terminal.width(), 20), 1000)
    target = clean(describe(scope))
    question = Question(what, scope, target, int(linger_s * 1e9), as_json, width, terminal.color(), all_frames)
    try:
        with Asked(path, question) as asked:
            earliest.release()  # Ctrl-C ends it while it is answered: no trace has begun
            about = asked.about()
            since = for_people(asked.greeting.since)
            terminal.say(f"asked the agent, which has recorded since {since} (--fresh traces anew)")
            asked.text(_print)
    except NoAgent:
        say_absent(path)
        return None
    except (NotAnswered, NoQuestion) as why:
        terminal.say(f"the agent at {path} is no help: {why}. {ANEW}")
        return None
    if about.forgotten:
        terminal.say(f"{about.forgotten} sockets that had lingered on this host left too long ago to be told")
    return about.lingering


def _print(data: bytes) -> None:
    sys.stdout.write(data.decode(errors="backslashreplace"))
    sys.stdout.flush()
