"""Hands reports to the exporters: once in a while, and never so often that it costs much."""

from __future__ import annotations

import importlib
import time
from typing import Callable

from tracer.agent.settings import Settings
from tracer.model.finding import Report
from tracer.reports.writers import Exporter

_SHARE = 200
"""Reports take at most one part in so many of the time."""


def open_exporters(settings: Settings) -> list[Exporter]:
    """Those that are configured. Raises ClosetraceError."""
    wanted = (("prometheus", settings.metrics), ("otlp", settings.otlp))
    opened: list[Exporter] = []
    try:
        for name, address in wanted:
            if address:
                module = importlib.import_module(f"tracer.reports.{name}.exporter")
                opened.append(module.open_exporter(address))
    except BaseException:
        close_all(opened)
        raise
    return opened


def close_all(exporters: list[Exporter]) -> None:
    """Close them."""
    for exporter in exporters:
        exporter.close()


class Publisher:
    """Publishes a report every ``every_s`` seconds, or less often if to find it takes long."""

    def __init__(self, exporters: list[Exporter], every_s: float) -> None:
        self.exporters, self.every_s = exporters, every_s
        self._due = time.monotonic()

    def look(self, report: Callable[[], Report]) -> None:
        """Publish if it is time."""
        begun = time.monotonic()
        if not self.exporters or begun < self._due:
            return
        found = report()
        for exporter in self.exporters:
            exporter.publish(found)
        self._due = begun + max(self.every_s, _SHARE * (time.monotonic() - begun))

    def close(self) -> None:
        """Close the exporters."""
        close_all(self.exporters)
        self.exporters = []
