"""What the lists of the screen show: rows from a report, their growth, filtered and sorted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import astuple, dataclass
from typing import Callable, Optional, TypeVar, Union

from tracer.diagnose import words
from tracer.diagnose.facts import unread_bytes
from tracer.model.finding import Finding, Report, Site
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.reports.text import table, timeline
from tracer.top.columns import Column

_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class SiteRow:
    """A site, the age of its oldest socket in ns, and by how many sockets it grew: in all, and in a minute."""

    site: Site
    age_ns: int
    grown: int
    minute: int

    @property
    def key(self) -> Hashable:
        """Equal for the same site in another report of the same source."""
        return key_of(self.site)

    def text(self) -> str:
        """What the filter looks at."""
        one = self.site
        homes = (f"{share.pid} {' '.join(astuple(share.identity))}" for share in one.processes)
        said = (one.program, one.comm, one.remote, one.verdict.value, one.listening or "", saying.where(one), *homes)
        return clean(" ".join(said))


@dataclass(frozen=True)
class SocketRow:
    """A socket of a site, and since when it lingers, in ns."""

    finding: Finding
    age_ns: int

    @property
    def key(self) -> Hashable:
        """Equal for the same socket in another report of the same source."""
        c = self.finding.connection
        return (c.netns, c.cookie, c.local, c.remote)

    def text(self) -> str:
        """What the filter looks at."""
        return timeline.route(self.finding.connection)


AnyRow = TypeVar("AnyRow", bound=Union[SiteRow, SocketRow])


def key_of(site: Site) -> Hashable:
    """What makes a site the same one in the next report. A report that was read from JSON has no ``key``.

    Sites that differ in what stands beside it here may have one ``id`` (diagnose/siteid.py).
    """
    return site.key or (site.id, site.program, site.verdict, site.listening, saying.where(site))


class Growth:
    """How many sockets each site had at the first report, and a minute ago. It holds a little more than a minute."""

    def __init__(self) -> None:
        self._first: Optional[Counter[Hashable]] = None
        self._past: deque[tuple[int, Counter[Hashable]]] = deque()

    def take(self, report: Report) -> None:
        """Take down the counts of a report. Of a report that is not newer than the last nothing is taken."""
        now = Counter[Hashable]()
        for site in report.sites:
            now[key_of(site)] += site.count
        if self._first is None:
            self._first = now
        if self._past and report.now_ns <= self._past[-1][0]:
            return
        self._past.append((report.now_ns, now))
        while len(self._past) > 1 and self._past[1][0] <= report.now_ns - _MINUTE_NS:
            self._past.popleft()

    def rows(self, report: Report) -> list[SiteRow]:
        """A row for each site, in the order of the report."""
        first = self._first or Counter[Hashable]()
        before = self._past[0][1] if self._past else first
        return [
            SiteRow(
                site,
                report.now_ns - site.since_ns,
                site.count - first[key_of(site)],
                site.count - before[key_of(site)],
            )
            for site in report.sites
        ]


def sockets(site: Site, now_ns: int) -> list[SocketRow]:
    """A row for each socket, the oldest first."""
    return [SocketRow(finding, now_ns - finding.since_ns) for finding in site.findings]


@dataclass(frozen=True)
class Order:
    """A way to sort: its name, and what the largest or first comes by."""

    name: str
    by: Callable[[SiteRow], tuple[object, ...]]


@dataclass(frozen=True)
class SocketOrder:
    """The same for sockets."""

    name: str
    by: Callable[[SocketRow], tuple[object, ...]]


SITE_ORDERS = (
    Order("sockets", lambda row: (-row.site.count, -row.age_ns)),
    Order("growth", lambda row: (-row.minute, -row.grown, -row.site.count)),
    Order("age", lambda row: (-row.age_ns, -row.site.count)),
    Order("process", lambda row: (row.site.program or row.site.comm, row.site.pid, -row.site.count)),
)
SOCKET_ORDERS = (
    SocketOrder("age", lambda row: (-row.age_ns,)),
    SocketOrder("unread", lambda row: (-(unread_bytes(row.finding.connection) or 0), -row.age_ns)),
    SocketOrder("remote", lambda row: (row.finding.connection.remote, -row.age_ns)),
)


def chosen(rows: Sequence[AnyRow], text: str, by: Callable[[AnyRow], tuple[object, ...]]) -> list[AnyRow]:
    """The rows that have each word of ``text`` (letters of either case), sorted. Equal ones keep their order."""
    wanted = text.casefold().split()
    found = [row for row in rows if not wanted or _has(row.text().casefold(), wanted)]
    return sorted(found, key=by)


def _has(text: str, wanted: Sequence[str]) -> bool:
    return all(word in text for word in wanted)


def _change(count: int) -> str:
    return f"{count:+d}" if count else "."


SITE_COLUMNS: tuple[Column[SiteRow], ...] = (
    Column("sockets", 7, lambda row, _: str(row.site.count), right=True),
    Column("+minute", 7, lambda row, _: _change(row.minute), right=True),
    Column("+began", 6, lambda row, _: _change(row.grown), right=True),
    Column("oldest", 7, lambda row, _: words.duration(row.age_ns), right=True),
    Column("verdict", 18, lambda row, _: row.site.verdict.value),
    Column("process", 20, lambda row, _: table.process(row.site), needs=100),
    Column("remote", 24, lambda row, _: row.site.remote, needs=120),
    Column("first application frame", 0, lambda row, room: table.frame(row.site, room)),
)
SOCKET_COLUMNS: tuple[Column[SocketRow], ...] = (
    Column("since", 7, lambda row, _: words.duration(row.age_ns), right=True),
    Column("state", 10, lambda row, _: row.finding.connection.state.name),
    Column("unread", 8, lambda row, _: words.byte_count(unread_bytes(row.finding.connection) or 0), right=True),
    Column("verdict", 18, lambda row, _: row.finding.verdict.value, needs=100),
    Column("socket", 0, lambda row, _: timeline.route(row.finding.connection)),
)
