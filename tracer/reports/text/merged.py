"""Reports of several hosts or hours as one text: the sites with their hosts and times, then each as last told."""

from __future__ import annotations

from datetime import datetime, timezone

from tabulate import tabulate

from tracer.diagnose import words
from tracer.model.merged import Merged, MergedSite
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.reports.text import site as site_report
from tracer.reports.text.cells import fit, lines, style, width_of, wrap

_PROSE = 110
_SECTIONS = 20
_HOSTS = 6
_FRAME = "first application frame"


def render(merged: Merged, *, width: int, color: bool, all_frames: bool = False) -> str:
    """Everything, for a terminal of ``width`` columns. Times are UTC."""
    prose = min(width, _PROSE)
    parts = [style(line, color, bold=True) for line in wrap(_headline(merged), prose, rest="  ")]
    if merged.incomplete:
        parts += wrap(saying.incomplete(merged), prose, rest="  ")
    if merged.sites:
        parts += ["", *_table(merged, width, color)]
    told = merged.sites if all_frames else merged.sites[:_SECTIONS]
    for number, one in enumerate(told, 1):
        parts += ["", *_section(one, number, width, prose, color, all_frames)]
    if len(told) < len(merged.sites):
        parts += ["", f"{len(merged.sites) - len(told)} more sites are in the table alone (--all-frames tells of all)"]
    return lines(parts) + "\n"


def when(ns: int) -> str:
    """A minute, UTC: ``11-25 22:10``."""
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, timezone.utc):%m-%d %H:%M}"


def _headline(merged: Merged) -> str:
    found = words.plural(merged.sockets, "socket") if merged.sites else "no socket"
    sites = f" from {words.plural(len(merged.sites), 'leak site')}" if merged.sites else ""
    hosts, reports = words.plural(merged.hosts, "host"), words.plural(merged.reports, "report")
    return f"{found}{sites} on {hosts}, in {reports} of {when(merged.started_ns)} to {when(merged.ended_ns)} UTC"


def _table(merged: Merged, width: int, color: bool) -> list[str]:
    columns = {
        "site": [str(number) for number, _ in enumerate(merged.sites, 1)],
        "sockets": [str(one.sockets) for one in merged.sites],
        "hosts": [str(len(one.hosts)) for one in merged.sites],
        "first seen": [when(one.first_ns) for one in merged.sites],
        "last seen": [when(one.last_ns) for one in merged.sites],
        "program": [fit(clean(one.site.program or one.site.comm or "-"), 20) for one in merged.sites],
        "verdict": [one.site.verdict.value for one in merged.sites],
    }
    used = 2 + sum(2 + max(map(width_of, (title, *cells))) for title, cells in columns.items())
    room = width - used
    if room >= len("app+0x1234"):
        columns[fit(_FRAME, room)] = [fit(clean(saying.where(one.site)), room) for one in merged.sites]
    table = tabulate(
        [list(columns), *zip(*columns.values())],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if title in ("site", "sockets", "hosts") else "left" for title in columns],
    ).splitlines()
    return [style(fit(f"  {row}", width), color, **({"bold": True} if i == 0 else {})) for i, row in enumerate(table)]


def _section(one: MergedSite, number: int, width: int, prose: int, color: bool, all_frames: bool) -> list[str]:
    site = one.site
    of = f" of {site.program or site.comm}" if site.program or site.comm else ""
    many = f"{words.plural(one.sockets, 'socket')}{of} on {words.plural(len(one.hosts), 'host')}"
    head = f"site {number} ({site.id}): {many}, {site.verdict.value}"
    out = [style(line, color, bold=True) for line in wrap(clean(head), prose, rest="  ")]
    hosts = words.listed((f"{host.hostname} ({host.sockets})" for host in one.hosts), most=_HOSTS)
    out += wrap(clean(f"hosts: {hosts}"), prose, first="  ", rest="    ")
    seen = f"first seen {when(one.first_ns)}, last {when(one.last_ns)} UTC, in {words.plural(one.reports, 'report')}"
    told = f"the newest, of {one.newest_host}, told of {words.plural(site.count, 'socket')}:"
    out += wrap(clean(f"{seen}; {told}"), prose, first="  ", rest="    ")
    return out + site_report.body(site, one.newest_ns, width=width, color=color, all_frames=all_frames)
