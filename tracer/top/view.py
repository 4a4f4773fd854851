"""What the screens show: the newest report, the growth of its sites, and whether it is held."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Optional

from tracer.diagnose import words
from tracer.model.finding import Report, Site
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.top.rows import Growth, SiteRow, key_of

_REMARK_S = 10.0
"""The first report after so long takes the remark away."""


class View:
    """The state that all screens share."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.report: Optional[Report] = None
        self.paused = False
        self.remark = ""
        self._remarked = 0.0
        self._growth = Growth()

    def take(self, report: Report) -> bool:
        """Show this report from now on, unless the screen is paused. Tells whether it is shown."""
        if self.paused:
            return False
        self.report = report
        self._growth.take(report)
        if time.monotonic() - self._remarked > _REMARK_S:
            self.remark = ""
        return True

    def say(self, remark: str) -> None:
        """Show this remark for a while; "" for none."""
        self.remark, self._remarked = remark, time.monotonic()

    def rows(self) -> list[SiteRow]:
        """The sites of the report."""
        return self._growth.rows(self.report) if self.report is not None else []

    def site(self, key: Hashable) -> Optional[Site]:
        """The site as the report tells it; None if it has left."""
        sites = self.report.sites if self.report is not None else ()
        return next((site for site in sites if key_of(site) == key), None)

    def lines(self, order: str, wanted: str) -> tuple[str, str]:
        """The two lines at the top: what there is, and how it is shown."""
        report = self.report
        what = saying.headline(report) if report is not None else "waiting for the first report"
        said = ["PAUSED"] if self.paused else []
        said += [self.remark] if self.remark else []
        said += [f"filter: {wanted}"] if wanted else []
        whose = f" of {report.host.hostname}, {report.target}" if report is not None else ""
        said += [f"by {order}", f"from {self.source}{whose}"]
        return clean(what), clean(", ".join(said))

    def end(self) -> str:
        """The last line, after the screen."""
        if self.report is None:
            return "ended before the first report"
        sites = self.report.sites
        sockets = words.plural(sum(site.count for site in sites), "socket")
        return f"{words.plural(len(sites), 'leak site')} with {sockets} at the end"
