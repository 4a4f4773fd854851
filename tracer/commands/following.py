"""From the attachment to the report: the loop, what it prints as it goes, and the whole at the end."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import click

from tracer.commands import terminal
from tracer.commands.trace import Request
from tracer.host.namespaces import Namespaces
from tracer.model.finding import Report
from tracer.reports.json import report as json_report
from tracer.reports.text import table
from tracer.session.guard import Guard
from tracer.session.opening import Opened
from tracer.session.preexisting import Preexisting
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.session.watch import Shown, Watch
from tracer.stacks.service import StackService

_RELIEF_S, _PRESSED_S = 0.1, 0.01


class Following:
    """One attached run; ``linger_ns`` is the threshold."""

    def __init__(
        self, request: Request, opened: Opened, older: Preexisting, namespaces: Namespaces, linger_ns: int
    ) -> None:
        self._request, self._plan = request, opened.plan
        self._service = StackService(request.debuginfod)
        self._guard = Guard(opened.recorder, request.max_overhead)
        stacks = StackStore(opened.recorder, self._service)
        self._watch = Watch(opened.recorder, stacks, older, namespaces, linger_ns, opened.plan.unseen_calls())

    def until(self, stop: Stop, started: float, offset_ns: int) -> Report:
        """Print sites as they appear and grow, until ``stop`` says so; the report.

        ``started`` is seconds since the epoch, ``offset_ns`` what makes such times of CLOCK_MONOTONIC.
        """
        stop.begin()
        line = terminal.StatusLine(enabled=not self._request.as_json)
        while not stop.over():
            tick = self._watch.tick()
            self._guard.check()
            if tick.sites and not self._request.as_json:
                line.clear()
                for shown in tick.sites:
                    self._show_site(shown)
            line.show(tick)
            self._rest(stop)
        line.clear()
        report = self._watch.report(self._plan, self._request.target, started, offset_ns)
        return replace(report, cost=self._guard.cost())

    def _rest(self, stop: Stop) -> None:
        until = time.monotonic() + self._request.interval_s
        while not stop.over() and (left := until - time.monotonic()) > 0:
            pressed = self._watch.relieve()
            stop.wait(min(left, _PRESSED_S if pressed else _RELIEF_S))

    def _show_site(self, shown: Shown) -> None:
        click.echo(
            table.render_site(
                shown.site,
                shown.number,
                time.monotonic_ns(),
                width=terminal.width(),
                color=terminal.color(),
                all_frames=self._request.all_frames,
                grown_from=shown.grown_from,
            )
        )

    def show(self, report: Report) -> None:
        """Print the whole report."""
        if self._request.as_json:
            for text in json_report.to_text(report):
                sys.stdout.write(text)
            return
        click.echo(
            table.render(report, width=terminal.width(), color=terminal.color(), all_frames=self._request.all_frames),
            nl=False,
        )

    def close(self) -> None:
        """Let go of the traced processes' files, and stop counting run times."""
        self._service.close()
        self._guard.close()
