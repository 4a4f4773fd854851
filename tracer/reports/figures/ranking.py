"""Which sites have figures of their own: a host never has more than a bounded number of them, whatever it runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import NamedTuple

from tracer.diagnose.sites import process_of
from tracer.model.finding import Report, Site, Verdict
from tracer.model.identity import Identity
from tracer.reports.printable import clean

MOST_SITES = 50
_MOST_HOMES = 10
"""So many units and containers of one site have figures of their own."""
_INCUMBENT = 1.25
"""Who has figures of its own keeps them until another one is larger by this factor: series are not swapped."""
_LONGEST = 128
OTHER = "other"
_OTHERS = Identity(*[OTHER] * len(fields(Identity)))


class Whose(NamedTuple):
    """What the figures of a row are labelled with. ``site`` is OTHER for sites that have none of their own."""

    program: str
    site: str
    verdict: Verdict
    home: Identity


@dataclass
class Row:
    """``count`` sockets, the oldest of which lingers for ``oldest_s`` seconds."""

    count: int = 0
    oldest_s: float = 0.0

    def add(self, other: Row) -> None:
        """Take the sockets of another row in."""
        self.count += other.count
        self.oldest_s = max(self.oldest_s, other.oldest_s)


Rows = dict[Whose, Row]


class Ranking:
    """Chooses the sites, and the homes of each. It remembers only which ones it chose last."""

    def __init__(self) -> None:
        self._shown: frozenset[str] = frozenset()
        self._told: frozenset[Whose] = frozenset()
        self.left = 0
        """Sites that were put together at the last call of rows()."""

    def rows(self, report: Report) -> Rows:
        """The sockets of a report by site, verdict and home; the rest together, by verdict."""
        weights: dict[str, float] = defaultdict(float)
        for site in report.sites:
            weights[site.id] += site.count * (_INCUMBENT if site.id in self._shown else 1)
        chosen = sorted(weights, key=lambda known: (-weights[known], known))[:MOST_SITES]
        self._shown, self.left = frozenset(chosen), len(weights) - len(chosen)
        rows: Rows = defaultdict(Row)
        for site in report.sites:
            for whose, row in _of_site(site, report.now_ns):
                rows[whose if site.id in self._shown else Whose(OTHER, OTHER, whose.verdict, _OTHERS)].add(row)
        bounded = dict(_bounded(rows, self._told))
        self._told = frozenset(bounded)
        return bounded


def _of_site(site: Site, now_ns: int) -> Iterator[tuple[Whose, Row]]:
    homes = {share.pid: _shown(share.identity) for share in site.processes}
    rows: dict[Identity, Row] = defaultdict(Row)
    for finding in site.findings:
        home = homes.get(process_of(finding), _OTHERS)
        rows[home].add(Row(1, max(now_ns - finding.since_ns, 0) / 1e9))
    program = label(site.program or site.comm)
    for home, row in rows.items():
        yield Whose(program, site.id, site.verdict, home), row


def _shown(home: Identity) -> Identity:
    """As labels have it: two long names that begin alike are one series, as a series must not be told twice."""
    return Identity(*(label(name) for name in astuple(home)))


def _bounded(rows: Rows, told: frozenset[Whose]) -> Iterable[tuple[Whose, Row]]:
    """With at most so many programs, verdicts and homes of each site, those first that were ``told`` last."""
    of_site: dict[str, list[tuple[Whose, Row]]] = defaultdict(list)
    for whose, row in rows.items():
        of_site[whose.site].append((whose, row))
    for several in of_site.values():
        several.sort(key=lambda item: (-item[1].count * (_INCUMBENT if item[0] in told else 1), item[0]))
        most = len(Verdict) if several[0][0].site == OTHER else _MOST_HOMES
        yield from several[:most]
        rest: Rows = defaultdict(Row)
        programs = {whose.program for whose, _ in several[most:]}
        for whose, row in several[most:]:  # a site is that of all versions of a program
            program = whose.program if len(programs) == 1 else OTHER
            rest[Whose(program, whose.site, whose.verdict, _OTHERS)].add(row)
        yield from sorted(rest.items())


def label(text: str) -> str:
    """A name from a traced program as a label: it can be shown and sent, and has a bounded length."""
    return clean(text)[:_LONGEST]
