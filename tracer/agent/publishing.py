"""Hands reports to the exporters: once in a while, and never so often that it costs much."""

from __future__ import annotations

import importlib
import time
from typing import Callable

from tracer.agent.settings import Settings
from tracer.errors import ClosetraceError
from tracer.model.finding import Report
from tracer.reports.writers import Exporter

_SHARE = 200
"""Reports take at most one part of CPU in so many of the time."""
_AGAIN_S = 10.0
"""How often to try an exporter again that could not be opened."""


def addresses(settings: Settings) -> dict[str, str]:
    """The exporters that are configured, with their addresses."""
    return {name: at for name, at in (("prometheus", settings.metrics), ("otlp", settings.otlp)) if at}


def _open(name: str, address: str) -> Exporter:
    exporter: Exporter = importlib.import_module(f"tracer.reports.{name}.exporter").open_exporter(address)
    return exporter


class Publisher:
    """Publishes a report every ``every_s`` seconds, or less often if to find it takes long.

    ``wanted`` are addresses by exporter, ``say`` tells a line. Raises ClosetraceError if one cannot be opened.
    """

    def __init__(self, wanted: dict[str, str], every_s: float, say: Callable[[str], None]) -> None:
        self.every_s, self._say = every_s, say
        self._wanted: dict[str, str] = {}
        self._exporters: dict[str, Exporter] = {}
        self._due = self._again = time.monotonic()
        self._has_published = False
        self.change(wanted)

    def change(self, wanted: dict[str, str]) -> None:
        """Publish there from now on. Raises ClosetraceError: then as before, as soon as that can be.

        What stays the same goes on meanwhile. The others are closed first: a new address may need the old one's port.
        """
        before, self._wanted = self._wanted, dict(wanted)
        for name in [name for name in self._exporters if before[name] != wanted.get(name)]:
            self._exporters.pop(name).close()
        try:
            for name in wanted:
                if name not in self._exporters:
                    self._exporters[name] = _open(name, wanted[name])
        except BaseException:
            for name in [name for name in self._exporters if wanted[name] != before.get(name)]:
                self._exporters.pop(name).close()
            self._wanted = before
            self._open_missing(first=True)
            raise

    def _open_missing(self, *, first: bool) -> None:
        self._again = time.monotonic() + _AGAIN_S
        for name in [name for name in self._wanted if name not in self._exporters]:
            try:
                self._exporters[name] = _open(name, self._wanted[name])
            except ClosetraceError as reason:
                if first:
                    self._say(f"every {_AGAIN_S:g} s it is tried again: {reason}")
            else:
                self._due = time.monotonic()
                if not first:
                    self._say(f"publishes at {self._wanted[name]} again")

    def look(self, report: Callable[[], Report]) -> None:
        """Publish if it is time. To be called at each look."""
        begun = time.monotonic()
        for exporter in self._exporters.values():
            exporter.looked(time.time())
        if len(self._exporters) < len(self._wanted) and begun >= self._again:
            self._open_missing(first=False)
        if not self._exporters or begun < self._due:
            return
        cpu_s = time.process_time()
        found = report()
        for exporter in self._exporters.values():
            exporter.publish(found)
        # Not by the time that passed: while others have the CPU, nothing would be published for long. Not by the first
        # one either: that loads much of the program.
        share_s = _SHARE * (time.process_time() - cpu_s) if self._has_published else 0.0
        self._has_published = True
        self._due = begun + max(self.every_s, share_s)

    def close(self) -> None:
        """Close the exporters."""
        for exporter in self._exporters.values():
            exporter.close()
        self._exporters, self._wanted = {}, {}
