"""``closetrace timeline``: each connection as one block when it ends or lingers."""

from __future__ import annotations

import json
import time
from typing import Any, Optional

import click

from tracer.commands import terminal
from tracer.commands.options import (
    describe,
    duration_option,
    filters,
    interval_option,
    linger_option,
    make_scope,
    make_tuning,
    tuning,
)
from tracer.commands.streaming import Stream, streaming
from tracer.diagnose import words
from tracer.flight.decode import decode
from tracer.kernel.source import Wanted
from tracer.model.connection import Connection
from tracer.reports.json import report as json_report
from tracer.reports.text import timeline as text
from tracer.session.join import join
from tracer.session.stopping import Stop


@click.command("timeline")
@filters
@linger_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a connection.")
@duration_option
@interval_option
@tuning
def timeline(
    linger: float,
    as_json: bool,
    duration: Optional[float],
    interval: float,
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    **chosen: Any,
) -> None:
    """Print each connection as one block, when it ends or when it lingers.

    Who opened it, what was sent and received, who hung up first, and who closed it, with times from its start.
    """
    scope = make_scope(**chosen)
    linger_ns = int(linger * 1e9)
    stop = Stop(duration, scope.pids)
    tuned = make_tuning(stack_bytes, memory_mb, probes)
    with streaming(scope, tuned, Wanted(linger_ns, all_endings=True)) as stream:
        terminal.say(f"tracing {describe(scope)}. Ctrl-C ends.")
        printer = _Printer(stream, as_json, linger_ns)
        stop.begin()
        while not stop.over():
            stop.wait(interval)
            printer.look()
        time.sleep(0.05)  # the sockets of a process that has just ended are on their way
        printer.look()
        printer.losses()


class _Printer:
    """Prints endings as they come and lingering sockets once."""

    def __init__(self, stream: Stream, as_json: bool, linger_ns: int) -> None:
        self._stream, self._as_json, self._linger_ns = stream, as_json, linger_ns
        self._lingering: set[tuple[int, int]] = set()

    def look(self) -> None:
        """One interval."""
        recorder = self._stream.recorder
        for record in recorder.endings():
            connection = decode(record, self._stream.stacks.resolve_owned, time.monotonic_ns(), ended=True)
            self._lingering.discard(connection.key)
            self._print(connection)
        now = time.monotonic_ns()
        late = [entry for entry in recorder.suspects() if now - entry.since_ns >= self._linger_ns]
        fresh = [entry for entry in late if (entry.sk, entry.birth_ns) not in self._lingering]
        records = [recorder.record(entry.sk) for entry in fresh]
        found = [decode(record, self._stream.stacks.resolve, now) for record in records if record is not None]
        for connection in join(found, self._stream.namespaces, self._stream.stacks.unwind) if found else ():
            self._lingering.add(connection.key)
            self._print(connection)

    def _print(self, connection: Connection) -> None:
        offset = self._stream.clock_offset_ns
        if self._as_json:
            click.echo(json.dumps(json_report.timeline_to_dict(connection, offset)))
        else:
            click.echo(text.render(connection, offset, width=terminal.width(), color=terminal.color()))

    def losses(self) -> None:
        """The last word: silence means that nothing was lost."""
        lost = self._stream.recorder.losses()
        told = [f"{count} {name}" for name, count in vars(lost).items() if count]
        if told:
            terminal.say(f"lost: {words.listed(told)}")
