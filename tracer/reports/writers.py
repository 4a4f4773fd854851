"""What every output format offers to the commands: values in, a stream out. Each folder beside this one is a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Protocol

if TYPE_CHECKING:  # only for annotations: a command is attached before what these bring along is imported
    from collections.abc import Sequence

    from tracer.diagnose.census.counts import Census
    from tracer.diagnose.census.recorded import Records
    from tracer.flight.transitions import Raw
    from tracer.model.connection import Connection
    from tracer.model.finding import Report, Streamed, Tick
    from tracer.model.frame import Stack

StackOf = Callable[[int], "Optional[Stack]"]
"""Reads the stack of a transition's box, and frees the box."""


class ReportWriter(Protocol):
    """Writes what a trace finds: while it runs, and as a whole at its end."""

    def tick(self, tick: Tick) -> None:
        """Write what one interval brought."""

    def report(self, report: Report) -> None:
        """Write the whole report. Raises BrokenPipeError if nobody reads any more."""


class TransitionWriter(Protocol):
    """Writes state transitions as they happen. Raises BrokenPipeError if nobody reads any more."""

    def header(self) -> None:
        """Write what stands above the transitions."""

    def transitions(self, events: Sequence[Raw], lost: int, stack_of: StackOf) -> None:
        """Write these, and that ``lost`` more are missing after them."""

    def total(self, streamed: Streamed) -> None:
        """Write how many there were."""


class LifeWriter(Protocol):
    """Writes connections one by one. Raises BrokenPipeError if nobody reads any more."""

    def connection(self, connection: Connection) -> None:
        """Write one connection's life."""


class Exporter(Protocol):
    """Sends reports to where others store them. Never raises, and never takes long: work is for a thread of its own."""

    def publish(self, report: Report) -> None:
        """Take over a whole report, the newest from now on."""

    def looked(self, at: float) -> None:
        """Take note of a look at ``at`` (seconds since the epoch): they come more often than reports."""

    def close(self) -> None:
        """Send what is left, within a second, and end."""


class CensusWriter(Protocol):
    """Writes a census, again and again if it is watched. Raises BrokenPipeError if nobody reads any more."""

    def census(self, now: Census, before: Optional[Census], records: Optional[Records]) -> None:
        """Write ``now``; ``before`` is the one before it, None for the first. ``records`` is what an agent told."""
