"""The JSON format as writers: one document for a report, one object a line for transitions and connections."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Optional

from tracer.diagnose.census.counts import Census
from tracer.diagnose.census.recorded import Records
from tracer.flight.transitions import Raw
from tracer.model.connection import Connection
from tracer.model.finding import Report, Streamed, Tick
from tracer.pieces import some
from tracer.reports.json import census, tail
from tracer.reports.json import report as document
from tracer.reports.writers import StackOf

_AT_ONCE = 1 << 16
"""So many characters are written at once."""


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class JsonReport:
    """One document at the end."""

    def tick(self, tick: Tick) -> None:
        """Write nothing: the document comes at the end."""

    def report(self, report: Report) -> None:
        """Write the document, piece by piece."""
        pieces = document.to_text(report)
        while text := some(pieces, _AT_ONCE):
            sys.stdout.write(text)
        sys.stdout.flush()


class JsonTransitions:
    """One object a transition; ``clock_offset_ns`` added to CLOCK_MONOTONIC gives ns since the epoch."""

    def __init__(self, clock_offset_ns: int) -> None:
        self._offset = clock_offset_ns

    def header(self) -> None:
        """Write nothing: each line says by its schema what it is."""

    def transitions(self, events: Sequence[Raw], lost: int, stack_of: StackOf) -> None:
        """Write them at once, and what is missing after them."""
        said = tail.lines(events, self._offset, stack_of) + ([tail.loss(lost)] if lost else [])
        if said:
            _line("\n".join(said))

    def total(self, streamed: Streamed) -> None:
        """Write the last line."""
        _line(tail.total(streamed))


class JsonLives:
    """One object a connection."""

    def __init__(self, clock_offset_ns: int) -> None:
        self._offset = clock_offset_ns

    def connection(self, connection: Connection) -> None:
        """Write one object."""
        _line(document.timeline_to_text(connection, self._offset))


class JsonCensus:
    """One document; one a line if the census is watched."""

    def __init__(self, watching: bool) -> None:
        self._indent = None if watching else 2

    def census(self, now: Census, before: Optional[Census], records: Optional[Records]) -> None:  # noqa: ARG002
        """Write ``now``, with what ``records`` tell of it; the reader has the one before."""
        _line(census.render(now, records, indent=self._indent))
