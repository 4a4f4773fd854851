"""Puts reports together by the ids of their sites, one by one: of each site only counts and its newest report stay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from tracer.diagnose.siteid import site_id
from tracer.model.finding import Site, Verdict
from tracer.model.merged import HostShare, Merged, MergedSite
from tracer.reports.json.reading import sites
from tracer.reports.json.reading.fields import BadReport, Fields
from tracer.reports.json.reading.record import Sockets
from tracer.reports.json.reading.report import check_time, end_ns
from tracer.reports.times import epoch_ns


@dataclass
class _Kept:
    """What is known of one site so far. ``sockets`` has what tells a host's sockets apart."""

    sockets: dict[str, set[int]] = field(default_factory=dict)
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
    """Takes reports in any order. A socket that several reports of one host tell is counted once."""

    def __init__(self) -> None:
        self._sites: dict[tuple[str, Verdict], _Kept] = {}
        self._hosts: set[str] = set()
        self._reports = self._incomplete = 0
        self._started_ns: Optional[int] = None
        self._ended_ns = 0

    def add(self, whole: Fields, file: str) -> None:
        """Add a report; ``file`` is its name for messages. Raises BadReport, and has then added nothing of it."""
        now_ns, host = check_time(end_ns(whole)), whole.part("host").text("hostname")
        started_ns = epoch_ns(whole.text("started"))
        found = [(one, _key(one, now_ns), _sockets(one), now_ns - one.ns("oldest_s")) for one in whole.parts("sites")]
        complete = whole.part("reconciliation").flag("complete", default=True)
        self._reports += 1
        self._incomplete += not complete
        self._hosts.add(host)
        self._started_ns = min(self._started_ns or started_ns, started_ns)
        self._ended_ns = max(self._ended_ns, now_ns)
        for site, key, sockets, first_ns in found:
            kept = self._sites.setdefault(key, _Kept(first_ns=first_ns))
            kept.sockets.setdefault(host, set()).update(sockets)
            kept.reports += 1
            kept.first_ns = min(kept.first_ns, first_ns)
            if kept.newest is None or now_ns > kept.last_ns:
                kept.last_ns, kept.newest, kept.newest_host, kept.file = now_ns, site, host, file

    def merged(self) -> Merged:
        """All of them as one; sites with the most sockets first. Raises BadSites: then merge the other files anew."""
        found, bad = [], {}
        for kept in self._sites.values():
            try:
                found.append(_merged(kept))
            except BadReport as error:
                bad[kept.file] = str(error)
        if bad:
            raise BadSites(bad)
        found.sort(key=lambda one: (-one.sockets, one.first_ns, one.site.id))
        hosts, started_ns = len(self._hosts), self._started_ns or 0
        return Merged(self._reports, hosts, started_ns, self._ended_ns, tuple(found), self._incomplete)


def _key(one: Fields, now_ns: int) -> tuple[str, Verdict]:
    """The site's id; of reports that had none it is made now."""
    verdict = one.one_of("verdict", Verdict)
    return (one.text("id", "") or _id(_made(one, now_ns)), verdict)


def _id(site: Site) -> str:
    return site_id(site.program, site.findings[0], site.direction)


def _made(one: Fields, now_ns: int) -> Site:
    return sites.site(one, Sockets(now_ns), now_ns)


def _sockets(one: Fields) -> list[int]:
    found = one.items("sockets")
    if not found:
        raise BadReport(f"{one.where}.sockets is empty")
    return [_identity(socket, one.where) for socket in found]


def _identity(socket: Any, where: str) -> int:
    """What tells a socket from all others of its host, as a hash: its addresses, with the cookie or else the inode.

    Cookies begin anew with each boot, so they alone do not tell.
    """
    if not isinstance(socket, dict):
        raise BadReport(f"{where}.sockets has something that is not an object")
    cookie = socket.get("cookie")
    own = cookie if type(cookie) is int and cookie else f"inode {socket.get('inode')}"
    return hash(f"{own} {socket.get('local')} {socket.get('remote')}")


def _merged(kept: _Kept) -> MergedSite:
    assert kept.newest is not None
    site = _made(kept.newest, kept.last_ns)
    hosts = [HostShare(name, len(several)) for name, several in kept.sockets.items()]
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
