"""The whole report as text: how many, from where, why, what to do, and what was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from tracer.diagnose import reconciled, words
from tracer.model.connection import Losses, Probe
from tracer.model.finding import Cost, Report, Site, Where
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.reports.text import ended, notread
from tracer.reports.text import site as site_report
from tracer.reports.text.cells import fit, fit_left, lines, style, width_of, wrap
from tracer.reports.times import for_people, rfc3339
from tracer.stacks.registry import language

_PROSE = 110
"""Sentences wider than this are hard to read, however wide the terminal."""
_SECTIONS = 20
"""Sites, the largest first, that are told at length."""


def render(
    report: Report,
    *,
    width: int,
    color: bool,
    all_frames: bool = False,
    printed: Callable[[Site], Optional[int]] = lambda _site: None,
) -> str:
    """Everything the run found, for a terminal of ``width`` columns. No line but one with an address is wider.

    A site that stands on the terminal already as it is now, by the number that ``printed`` gives, is a line.
    """
    parts = _headline(report, width, color) + _recorded(report, width)
    if report.sites:
        parts += ["", *sites_table(report.sites, report.now_ns, width=width, color=color)]
    told = told_at_length(report, all_frames=all_frames)
    for number, site in enumerate(told, 1):
        before = printed(site)
        if before is not None:
            parts += ["", *site_report.unchanged(site, number, before, width=width, color=color)]
            continue
        whole = site_report.render(site, number, report.now_ns, width=width, color=color, all_frames=all_frames)
        parts += ["", *whole]
    if len(told) < len(report.sites):
        parts += ["", f"{len(report.sites) - len(told)} more sites are in the table alone (--all-frames tells of all)"]
    parts += ended.render(report, width=width, prose=_prose(width), color=color, all_frames=all_frames)
    parts += ["", *_reconciled(report, width)]
    parts += [*_hooks(report.plan, width), *_lost(report.losses, width, color)]
    parts += _heaps(report, width)
    parts += [*notread.told(report.unread, report.unconfined, _prose(width)), *_cost(report.cost, width)]
    return lines(parts) + "\n"


def told_at_length(report: Report, *, all_frames: bool) -> Sequence[Site]:
    """The sites that have a section of their own. The others are in the table alone."""
    return report.sites if all_frames else report.sites[:_SECTIONS]


def render_site(
    site: Site, number: int, now_ns: int, *, width: int, color: bool, all_frames: bool = False, grown_from: int = 0
) -> str:
    """One site as it appears while the trace runs; one line if it only grew, from ``grown_from`` sockets."""
    if not grown_from:
        whole = site_report.render(site, number, now_ns, width=width, color=color, all_frames=all_frames)
        return lines(whole) + "\n"
    oldest = words.duration(now_ns - site.since_ns)
    grew = f"site {number} grew from {grown_from} to {site.count} sockets, oldest {oldest}: "
    frame, how = saying.application(site)
    at = f", {how}{words.short_name(frame)}" if frame is not None else ""
    return style(grew, color, bold=True) + clean(f"{site.remote}, {site.verdict.value}{at}") + "\n"


def _prose(width: int) -> int:
    return min(width, _PROSE)


def _headline(report: Report, width: int, color: bool) -> list[str]:
    how: dict[str, Any] = {"bold": True} if report.sites else {"fg": "green" if saying.is_clear(report) else "yellow"}
    return [style(line, color, **how) for line in wrap(clean(saying.headline(report)), _prose(width))]


def _recorded(report: Report, width: int) -> list[str]:
    """Since when the agent has recorded whose records these are."""
    if report.recorded_since is None:
        return []
    since = for_people(report.recorded_since)
    for_s = words.duration(int((report.ended - report.recorded_since) * 1e9))
    return wrap(f"from the records of the agent, which has recorded since {since} ({for_s})", _prose(width))


def sites_table(sites: Sequence[Site], now_ns: int, *, width: int, color: bool) -> list[str]:
    """One row per site. Columns that do not fit are shortened or left out, those that are told below first."""
    columns = _columns(sites, now_ns)
    if len({(site.program, *(share.pid for share in site.processes)) for site in sites}) == 1:
        del columns["process"]
    for optional in ("", "last call", "process", _FRAME, "oldest", "verdict"):
        columns.pop(optional, None)
        room = width - 2 - sum(_width(t, c) + 2 for t, c in columns.items() if t != _FRAME)
        if (_FRAME in columns and room >= _ENOUGH) or (_FRAME not in columns and room >= -2):
            break
    titles = list(columns)
    if _FRAME in columns:
        columns[_FRAME] = [clean(frame(site, room)) for site in sites]
        titles[-1] = fit(_FRAME, room)
    from tabulate import tabulate  # 2 MB, which not each process that writes reports needs

    right = ("site", "sockets")
    table = tabulate(
        [titles, *zip(*columns.values())],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if title in right else "left" for title in columns],
    ).splitlines()
    return [style(f"  {row}", color, **({"bold": True} if i == 0 else {})) for i, row in enumerate(table)]


_FRAME = "first application frame"
_ENOUGH = 20
"""Columns in which a function's name can mostly be recognised."""


def _width(title: str, cells: Sequence[str]) -> int:
    """Columns that a column of the table takes."""
    return max(width_of(text) for text in (title, *cells))


def _columns(sites: Sequence[Site], now_ns: int) -> dict[str, list[str]]:
    return {
        "site": [str(number) for number, _ in enumerate(sites, 1)],
        "sockets": [str(site.count) for site in sites],
        "oldest": [words.duration(now_ns - site.since_ns) for site in sites],
        "process": [clean(process(site)) for site in sites],
        "remote": [clean(site.remote) for site in sites],
        "verdict": [site.verdict.value for site in sites],
        "last call": [clean(site_report.last_call(site)) for site in sites],
        _FRAME: [],
    }


def process(site: Site) -> str:
    """The program with its pid, or with the number of its processes."""
    if not site.pid:
        return "-"
    several = len(site.processes)
    return f"{site.program or site.comm} {site.pid if several < 2 else f'({several})'}"


def frame(site: Site, room: int) -> str:
    """Name and place of the first frame of the program's own, or as much of it as fits into ``room`` columns."""
    own, how = saying.application(site)
    whole = clean(saying.where(site))
    if own is None:
        return (fit_left if site.application.stack is Where.HELD else fit)(whole, room)
    cut = fit_left if language(own.language).ends_tell else fit
    left = max(room - len(how), 0)
    return whole if width_of(whole) <= room else how + cut(clean(words.short_name(own)), left)


def _reconciled(report: Report, width: int) -> list[str]:
    """Each sentence on lines of its own."""
    told = (
        wrap(clean(f"{said[0].lower()}{said[1:]}"), _prose(width), rest="  ") for said in reconciled.sentences(report)
    )
    return [line for several in told for line in several]


def _hooks(plan: Sequence[Probe], width: int) -> list[str]:
    """Which hook families work, and what each missing one costs."""
    if not plan:
        return []
    missing = [probe for probe in plan if probe.way is None]
    reasons = {probe.reason for probe in missing}
    shared = reasons.pop() if len(reasons) == 1 else ""
    head = f"hooks: {len(plan) - len(missing)} of {len(plan)}" + (f" ({shared})" if shared else "")
    out = wrap(clean(head), _prose(width), rest="  ")
    for probe in missing:
        why = f" ({probe.reason})" if probe.reason and not shared else ""
        cost = f": {probe.cost}" if probe.cost else ""
        out += wrap(clean(f"without {probe.family}{why}{cost}"), _prose(width), first="  ", rest="    ")
    return out


def _heaps(report: Report, width: int) -> list[str]:
    """Why holders could not be told."""
    said = (wrap(clean(one), _prose(width), rest="  ") for one in saying.holders_not_told(report))
    return [line for several in said for line in several]


_STEPS = 4
_KEPT = {
    "all": "all receives and sends kept their stacks",
    "sampled": "one in 16 receives and sends kept its stack",
    "off": "none of them did",
}


def _cost(cost: Optional[Cost], width: int) -> list[str]:
    """What the trace itself took, and when it spared the host."""
    if cost is None:
        return []
    kernel = "" if cost.kernel_s is None else f", {cost.kernel_s:.2f} s in the kernel's hooks"
    share = 100 * (cost.cpu_s + (cost.kernel_s or 0)) / max(cost.wall_s, 0.001)
    memory = f"{cost.rss_bytes / 1e6:.0f} MB and {cost.kernel_bytes / 1e6:.0f} MB of kernel memory"
    out = wrap(
        f"cost: {cost.cpu_s:.2f} s of CPU{kernel} ({share:.1f} % of one CPU), {memory}", _prose(width), rest="  "
    )
    for step in cost.backed_off[-_STEPS:]:
        at = rfc3339(round(step.at * 1e6) * 1000)
        did = "took more stacks again" if step.more else "backed off"
        why = f"{did} at {at}, at {step.percent:.1f} % of one CPU: from then on {_KEPT[step.stacks]} (--max-overhead)"
        out += wrap(why, _prose(width), first="  ", rest="    ")
    return out


def _lost(losses: Losses, width: int, color: bool) -> list[str]:
    """Each loss in words; that nothing was lost is said too."""
    if not losses.any():
        return ["lost: nothing"]
    text = wrap(f"lost: {saying.described(losses)}", _prose(width), rest="  ")
    return [style(line, color, fg="yellow") for line in text]
