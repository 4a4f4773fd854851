"""Which sites are new, and which have grown tenfold since they were told."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from tracer.model.finding import Report, Site

_TENFOLD = 10
_AT_ONCE = 100
"""So many are told of one report, the largest first."""
_KEPT = 10_000
"""So many sites are remembered, those that were met last."""


class News(NamedTuple):
    """A site that is told. ``grown_from`` is how many ``sockets`` it had when it was told last; 0: it is new."""

    site: Site
    sockets: int
    grown_from: int


class Newsroom:
    """Remembers what was told of each site. A site that is gone and comes back is not new."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, int] = OrderedDict()

    def news(self, report: Report, room: int = _AT_ONCE) -> list[News]:
        """What is to be told of a report's sites: at most ``room``, the others with a later report.

        Sites with one id are told together, by the largest.
        """
        counts: dict[str, int] = {}
        largest: dict[str, Site] = {}
        for site in report.sites:
            counts[site.id] = counts.get(site.id, 0) + site.count
            if site.id not in largest or site.count > largest[site.id].count:
                largest[site.id] = site
        found: list[News] = []
        for known, count in sorted(counts.items(), key=lambda item: -item[1]):
            before = self._told.get(known, 0)
            if not before or count >= _TENFOLD * before:
                if len(found) >= min(room, _AT_ONCE):
                    continue
                found.append(News(largest[known], count, before))
                self._told[known] = count
            self._told.move_to_end(known)
        while len(self._told) > _KEPT:
            self._told.popitem(last=False)
        return found
