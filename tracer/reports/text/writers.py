"""The text format as writers: reports, transitions and connections to stdout, remarks to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Optional

import click

from tracer.diagnose.census.counts import Census
from tracer.diagnose.census.recorded import Records
from tracer.flight.transitions import Raw
from tracer.model.connection import Connection
from tracer.model.finding import Finding, Report, Site, Streamed, Tick
from tracer.reports.text import census, table, tail, terminal, timeline
from tracer.reports.text.status import StatusLine
from tracer.reports.writers import StackOf

_CLEAR = "\x1b[H\x1b[2J"


class TextReport:
    """Sites as they appear and grow, then the whole report.

    Between them is a line that tells that the trace is alive, if it is ``alone`` on the terminal: a line that is
    rewritten in place would mix with what a traced command prints.
    """

    def __init__(self, all_frames: bool, *, alone: bool = True) -> None:
        self._all_frames = all_frames
        self._status = StatusLine(live=alone)
        self._printed: dict[object, tuple[object, int]] = {}

    def tick(self, tick: Tick) -> None:
        """Print the sites that are new or grew, and draw the status line."""
        if tick.sites:
            self._status.clear()
        for shown in tick.sites:
            text = table.render_site(
                shown.site,
                shown.number,
                time.monotonic_ns(),
                width=terminal.width(),
                color=terminal.color(),
                all_frames=self._all_frames,
                grown_from=shown.grown_from,
            )
            click.echo(text)
            if not shown.grown_from:
                self._printed[shown.site.key] = (_content(shown.site), shown.number)
        self._status.show(tick)

    def report(self, report: Report) -> None:
        """Print the whole report."""
        self._status.clear()
        terminal_reads = sys.stdout.isatty()
        text = table.render(
            report,
            width=terminal.width(),
            color=terminal.color(),
            all_frames=self._all_frames,
            printed=self._number if terminal_reads else _nowhere,
        )
        click.echo(text, nl=False)
        sys.stdout.flush()
        told = table.told_at_length(report, all_frames=self._all_frames) if terminal_reads else ()
        for number, site in enumerate(told, 1):
            content, before = self._printed.get(site.key, (None, number))
            self._printed[site.key] = (_content(site), before if content == _content(site) else number)

    def _number(self, site: Site) -> Optional[int]:
        """The number by which the site stands above as it is now. Only who sits at a terminal sees what is above."""
        content, number = self._printed.get(site.key, (None, 0))
        return number if content == _content(site) else None


def _nowhere(_site: Site) -> Optional[int]:
    return None


def _content(site: Site) -> object:
    """What is printed of a site, but for how long ago; also which sockets it has, and the last call on each."""
    now = tuple((one.standing, one.threads, one.syscall, one.note, one.stack) for one in site.now)
    held = tuple((one.count, one.lineage) for one in site.held)
    stacks = (site.stack, site.stack_note, site.opened_stack, site.sent_stack)
    sockets = hash(frozenset(map(_socket, site.findings)))
    return (sockets, site.verdict, site.explanation, site.advice, site.processes, site.remotes, stacks, now, held)


def _socket(finding: Finding) -> object:
    c = finding.connection
    last = None if c.last is None else (c.last.op, c.last.ns, c.last.ret)
    return c.key, c.state, last, c.closed is not None


class TextTransitions:
    """One aligned line a transition; ``clock_offset_ns`` added to CLOCK_MONOTONIC gives ns since the epoch."""

    def __init__(self, clock_offset_ns: int, all_frames: bool) -> None:
        self._offset, self._all_frames = clock_offset_ns, all_frames

    def header(self) -> None:
        """Print the titles."""
        click.echo(tail.header(color=terminal.color(), width=terminal.width()))

    def transitions(self, events: Sequence[Raw], lost: int, stack_of: StackOf) -> None:
        """Print them at once, and what is missing after them."""
        color, width = terminal.color(), terminal.width()
        said = tail.lines(events, self._offset, stack_of, color=color, width=width, all_frames=self._all_frames)
        said += [tail.loss(lost, color=color)] if lost else []
        if said:
            click.echo("\n".join(said))

    def total(self, streamed: Streamed) -> None:
        """Print the last line."""
        click.echo(tail.total(streamed, color=terminal.color()))


class TextLives:
    """One block a connection."""

    def __init__(self, clock_offset_ns: int) -> None:
        self._offset = clock_offset_ns

    def connection(self, connection: Connection) -> None:
        """Print one block."""
        click.echo(timeline.render(connection, self._offset, width=terminal.width(), color=terminal.color()))


class TextCensus:
    """Tables and what they mean; at most ``rows`` groups (0: all). A terminal that watches is cleared first."""

    def __init__(self, rows: int, watching: bool) -> None:
        self._rows = rows
        self._clears = watching and sys.stdout.isatty()

    def census(self, now: Census, before: Optional[Census], records: Optional[Records]) -> None:
        """Print ``now``, with the changes since ``before`` and what ``records`` tell of it."""
        text = census.render(now, terminal.width(), self._rows, before, records)
        click.echo((_CLEAR if self._clears else "") + text, nl=False)
