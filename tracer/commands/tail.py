"""``closetrace tail``: transitions as they happen, one line each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Optional

import click

from tracer.commands import terminal
from tracer.commands.options import (
    all_frames_option,
    describe,
    duration_option,
    filters,
    make_scope,
    make_tuning,
    tuning,
)
from tracer.commands.streaming import Stream, streaming
from tracer.flight.transitions import Raw
from tracer.kernel.source import Wanted
from tracer.model.finding import Streamed
from tracer.model.frame import Stack
from tracer.reports.json import tail as tail_json
from tracer.reports.text import tail as text
from tracer.session.stopping import Stop

_POLL_MS, _GATHER_S = 100, 0.025


@click.command("tail")
@filters
@click.option("--stacks", is_flag=True, help="Add the user stack of transitions that a local call made.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@all_frames_option
@duration_option
@tuning
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

    PID and COMM are those of the socket's owner as recorded, not of whoever was on the CPU. ORIGIN tells who caused the
    transition: a local call, the peer, or a timer.
    """
    scope = make_scope(**chosen)
    wanted = Wanted(linger_ns=1 << 62, events=True, event_stacks=stacks)
    stop = Stop(duration, scope.pids)
    with streaming(scope, make_tuning(stack_bytes, memory_mb, probes), wanted) as stream:
        terminal.say(f"tracing {describe(scope)}. Ctrl-C ends.")
        printer = _Printer(stream, as_json, all_frames)
        printer.header()
        stop.begin()
        while not stop.over():
            stream.recorder.wait_for_events(_POLL_MS)
            # Those that come next are taken along: to wake up for each would cost more than to print it.
            time.sleep(_GATHER_S)
            printer.show()
        stream.recorder.stop()
        while printer.show():
            pass
        printer.total()


class _Printer:
    """Prints transitions in the chosen form, losses where they happened, and the total."""

    def __init__(self, stream: Stream, as_json: bool, all_frames: bool) -> None:
        self._stream, self._as_json, self._all_frames = stream, as_json, all_frames
        self._shown = self._lost = 0

    def header(self) -> None:
        if not self._as_json:
            click.echo(text.header(color=terminal.color(), width=terminal.width()))

    def show(self) -> bool:
        """Print a batch at once, and what was lost before it was read; False if there was nothing."""
        events = self._stream.recorder.events()
        said = self._lines(events) + self._losses()
        self._shown += len(events)
        if said:
            click.echo("\n".join(said))
        return bool(events)

    def _lines(self, events: Sequence[Raw]) -> list[str]:
        offset = self._stream.clock_offset_ns
        if self._as_json:
            return tail_json.lines(events, offset, self._stack)
        color, width = terminal.color(), terminal.width()
        return text.lines(events, offset, self._stack, color=color, width=width, all_frames=self._all_frames)

    def _stack(self, box: int) -> Optional[Stack]:
        return self._stream.stacks.resolve_event(box - 1)

    def _losses(self) -> list[str]:
        lost = self._stream.recorder.events_lost
        count, self._lost = lost - self._lost, lost
        if not count:
            return []
        return [tail_json.loss(count) if self._as_json else text.loss(count, color=terminal.color())]

    def total(self) -> None:
        """Print how many there were, once no more can come."""
        recorder = self._stream.recorder
        losses = recorder.losses()
        streamed = Streamed(recorder.events_produced, self._shown, losses.events, losses.records, losses.nested)
        click.echo(tail_json.total(streamed) if self._as_json else text.total(streamed, color=terminal.color()))
