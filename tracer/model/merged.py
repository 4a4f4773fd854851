"""Reports of several hosts or hours as one. Times are nanoseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.model.finding import Site


@dataclass(frozen=True)
class HostShare:
    """How many different sockets of a site a host had."""

    hostname: str
    sockets: int


@dataclass(frozen=True)
class MergedSite:
    """One site in several reports: ``site`` as the newest of them tells it.

    ``newest_ns`` is when that report was made, on the host ``newest_host``. ``sockets`` counts different sockets over
    all reports, ``hosts`` has them by host, the most first. ``reports`` counts the reports that have the site. Its
    oldest socket began to linger at ``first_ns``; ``last_ns`` is the end of the last report that has it.
    """

    site: Site
    newest_ns: int
    newest_host: str
    sockets: int
    hosts: tuple[HostShare, ...]
    reports: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True)
class Merged:
    """All reports together: how many they are, of how many hosts, from the first one's start to the last one's end.

    ``incomplete`` counts reports that may lack sockets: not everything in their scope could be read.
    """

    reports: int
    hosts: int
    started_ns: int
    ended_ns: int
    sites: tuple[MergedSite, ...]
    incomplete: int = 0

    @property
    def sockets(self) -> int:
        """Different sockets of all sites."""
        return sum(one.sockets for one in self.sites)
