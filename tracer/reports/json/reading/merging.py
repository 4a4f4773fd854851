"""Puts reports together by the ids of their sites, one by one: of each site only counts and its newest report stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.diagnose.siteid import site_id
from tracer.model.finding import Site, Verdict
from tracer.model.merged import HostShare, Merged, MergedSite
from tracer.reports.json.reading import sites
from tracer.reports.json.reading.counting import Counting, Keys, keys
from tracer.reports.json.reading.fields import BadReport, Fields
from tracer.reports.json.reading.record import Sockets
from tracer.reports.json.reading.report import check_time, end_ns
from tracer.reports.times import epoch_ns


@dataclass
class _Kept:
    """What is known of one site so far. It has a number, by which its sockets are counted."""

    number: int
    reports: int = 0
    first_ns: int = 0
    last_ns: int = 0
    newest: Optional[Fields] = None
    newest_host: str = ""
    file: str = ""


class BadSites(BadReport):
    """Sites cannot be shown as their newest reports tell them. ``files`` are these, with what is wrong."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__(next(f"{name}: {reason}" for name, reason in files.items()))
        self.files = files


class Merging:
    """Takes reports in any order. A socket that several reports of one host tell is counted once.

    If they tell it in different sites, since more has become known of it, it belongs to that of the newest one.
    """

    def __init__(self) -> None:
        self._sites: dict[tuple[str, Verdict], _Kept] = {}
        self._hosts: dict[str, int] = {}
        self._counting = Counting()
        self._reports = self._incomplete = 0
        self._started_ns: Optional[int] = None
        self._ended_ns = 0

    def add(self, whole: Fields, file: str) -> None:
        """Add a report; ``file`` is its name for messages. Raises BadReport, and has then added nothing of it."""
        now_ns, host = check_time(end_ns(whole)), whole.part("host").text("hostname")
        started_ns = epoch_ns(whole.text("started"))
        found = [
            (one, _key(one, now_ns), _sockets(one, host), now_ns - one.ns("oldest_s")) for one in whole.parts("sites")
        ]
        complete = whole.part("reconciliation").flag("complete", default=True)
        self._reports += 1
        self._incomplete += not complete
        number = self._hosts.setdefault(host, len(self._hosts))
        self._started_ns = min(self._started_ns or started_ns, started_ns)
        self._ended_ns = max(self._ended_ns, now_ns)
        for site, key, sockets, first_ns in found:
            kept = self._sites.setdefault(key, _Kept(len(self._sites), first_ns=first_ns))
            self._counting.add(number, kept.number, sockets, now_ns)
            kept.reports += 1
            kept.first_ns = min(kept.first_ns, first_ns)
            if kept.newest is None or now_ns > kept.last_ns:
                kept.last_ns, kept.newest, kept.newest_host, kept.file = now_ns, site, host, file

    def merged(self) -> Merged:
        """All of them as one; sites with the most sockets first. Raises BadSites: then merge the other files anew."""
        found, bad = [], {}
        shares = self._shares()
        for kept in self._sites.values():
            if kept.number not in shares:
                continue  # newer reports tell all its sockets elsewhere
            try:
                found.append(_merged(kept, shares[kept.number]))
            except BadReport as error:
                bad[kept.file] = str(error)
        if bad:
            raise BadSites(bad)
        found.sort(key=lambda one: (-one.sockets, one.first_ns, one.site.id))
        hosts, started_ns = len(self._hosts), self._started_ns or 0
        return Merged(self._reports, hosts, started_ns, self._ended_ns, tuple(found), self._incomplete)

    def _shares(self) -> dict[int, list[HostShare]]:
        """The hosts of each site, by its number."""
        names, found = list(self._hosts), dict[int, list[HostShare]]()
        for (site, host), count in self._counting.counts().items():
            found.setdefault(site, []).append(HostShare(names[host], count))
        return found


def _key(one: Fields, now_ns: int) -> tuple[str, Verdict]:
    """The site's id; of reports that had none it is made now."""
    verdict = one.one_of("verdict", Verdict)
    return (one.text("id", "") or _id(_made(one, now_ns)), verdict)


def _id(site: Site) -> str:
    return site_id(site.program, site.findings[0], site.direction)


def _made(one: Fields, now_ns: int) -> Site:
    return sites.site(one, Sockets(now_ns), now_ns)


def _sockets(one: Fields, hostname: str) -> list[Keys]:
    found = one.items("sockets")
    if not found:
        raise BadReport(f"{one.where}.sockets is empty")
    return [keys(socket, hostname, one.where) for socket in found]


def _merged(kept: _Kept, hosts: list[HostShare]) -> MergedSite:
    assert kept.newest is not None
    site = _made(kept.newest, kept.last_ns)
    hosts.sort(key=lambda one: (-one.sockets, one.hostname))
    return MergedSite(
        site=site,
        newest_ns=kept.last_ns,
        newest_host=kept.newest_host,
        sockets=sum(one.sockets for one in hosts),
        hosts=tuple(hosts),
        reports=kept.reports,
        first_ns=kept.first_ns,
        last_ns=kept.last_ns,
    )
