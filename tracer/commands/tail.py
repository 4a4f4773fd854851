"""``closetrace tail``: transitions as they happen, one line each."""

from __future__ import annotations

import json
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
from tracer.flight import layout
from tracer.flight.decode import decode_event
from tracer.kernel.source import Wanted
from tracer.reports import json_report
from tracer.reports import tail as text
from tracer.session.stopping import Stop

_POLL_MS = 100
_LAST_BATCHES = 8


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
            printer.show(stream.recorder.events(_POLL_MS))
        # No more than the ring held when the end came: transitions go on coming.
        for _ in range(_LAST_BATCHES):
            printer.show(stream.recorder.events(0))


class _Printer:
    """Prints each transition in the chosen form, and losses where they happened."""

    def __init__(self, stream: Stream, as_json: bool, all_frames: bool) -> None:
        self._stream, self._as_json, self._all_frames = stream, as_json, all_frames
        self._lost = 0

    def header(self) -> None:
        if not self._as_json:
            click.echo(text.header(color=terminal.color(), width=terminal.width()))

    def show(self, events: Sequence[layout.Event]) -> None:
        """Print a batch at once, and what was lost before it was read."""
        width, color = terminal.width(), terminal.color()
        said = [self._text(raw, width, color) for raw in events]
        said += self._losses(color)
        if said:
            click.echo("\n".join(said))

    def _text(self, raw: layout.Event, width: int, color: bool) -> str:
        stack = self._stream.stacks.resolve_event(raw.box - 1) if raw.box else None
        event = decode_event(raw, self._stream.clock_offset_ns, stack)
        if self._as_json:
            return json.dumps(json_report.tail_to_dict(event))
        line = text.line(event, color=color, width=width)
        calls = text.stack(event, color=color, width=width, all_frames=self._all_frames)
        return line if calls is None else f"{line}\n{calls}"

    def _losses(self, color: bool) -> list[str]:
        lost = self._stream.recorder.losses().events
        if lost > self._lost:
            count, self._lost = lost - self._lost, lost
            return [
                json.dumps(json_report.tail_loss_to_dict(count)) if self._as_json else text.loss(count, color=color)
            ]
        return []
