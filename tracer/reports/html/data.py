"""What the page shows of a report, as plain values that are small: equal texts and stacks are there once.

Times are milliseconds before the end of the report, those of a socket's events microseconds. Every text is escaped for
a terminal, too: no character of it can change the direction of writing or hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from tracer.diagnose import held, present, reconciled, words
from tracer.diagnose.owners import application_frame
from tracer.model.connection import Connection, Touch
from tracer.model.finding import Direction, Finding, Report, Site
from tracer.model.frame import Frame, Stack
from tracer.model.merged import Merged, MergedSite
from tracer.reports import events as timeline
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.reports.times import rfc3339_second

Value = dict[str, Any]
_MS, _US = 1_000_000, 1000
_ORIGINS = {"local": 0, "peer": 1, "timer": 2, "unknown": 3}
_OWN, _INLINED, _MARKED = 1, 2, 4


class _Texts:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.all)
            self.all.append(clean(text))
        return found


class _Page:
    def __init__(self) -> None:
        self.texts = _Texts()
        self.stacks: list[Value] = []
        self._known: dict[int, int] = {}

    def stack(self, stack: Optional[Stack], note: Optional[str] = None) -> Value:
        """A stack by its number, or why there is none."""
        if stack is None or not stack.frames:
            return {"none": clean(note or (stack.note if stack is not None else None) or "none was kept")}
        number = self._known.get(id(stack))
        if number is None:
            number = self._known[id(stack)] = len(self.stacks)
            mark = application_frame(stack)
            grouped = zip(stack.frames, saying.groups_of(stack))
            frames = [self._frame(frame, group, place == mark) for place, (frame, group) in enumerate(grouped)]
            ends = "" if stack.complete else clean(stack.note or note or "the unwinder knows no more")
            self.stacks.append({"frames": frames, "ends": ends})
        return {"is": number}

    def _frame(self, frame: Frame, group: str, marked: bool) -> list[int]:
        flags = (_OWN if not group else 0) | (_INLINED if frame.inlined else 0) | (_MARKED if marked else 0)
        name = frame.function or words.short_name(frame)
        place = words.place(frame) if frame.function else ""
        number = self.texts.number
        return [number(name), number(place), number(group), flags, number(frame.note or "")]

    def site(self, site: Site, now_ns: int, number: int) -> Value:
        held_by = [[one.count, clean(held.chain(one.lineage)), clean(held.use(one.lineage))] for one in site.held]
        return {
            "number": number,
            "id": site.id,
            "verdict": site.verdict.value,
            "program": clean(site.program or site.comm or "-"),
            "processes": [[share.pid, clean(share.comm), share.count] for share in site.processes],
            "remote": clean(site.remote),
            "direction": _WAYS[site.direction],
            "listening": None if site.listening is None else clean(site.listening),
            "count": site.count,
            "where": clean(saying.where(site)),
            "explanation": clean(" ".join(site.explanation)),
            "advice": [clean(one) for one in site.advice],
            "held": held_by,
            "last": self._last(site),
            "now": [[clean(present.sentence(one, now_ns)), self.stack(one.stack, one.note)] for one in site.now],
            "sent": None if site.sent_stack is None else self.stack(site.sent_stack),
            "opened": self._opened(site, now_ns),
            "sockets": [self.socket(finding, now_ns) for finding in site.findings],
        }

    def _last(self, site: Site) -> Value:
        return {"call": clean(site.last_op), **self.stack(site.stack, site.stack_note)}

    def _opened(self, site: Site, now_ns: int) -> Optional[Value]:
        touches = [f.connection.opened for f in site.findings if f.connection.opened is not None]
        if not touches:
            return None
        touch: Touch = next((one for one in touches if one.stack is not None), touches[0])
        ago = words.duration(now_ns - touch.ns)
        text = clean(f"{touch.op.label} by {words.thread(touch.actor)}, {ago} before the report")
        return {"text": text, **self.stack(site.opened_stack, touch.stack_note)}

    def socket(self, finding: Finding, now_ns: int) -> list[Any]:
        """Addresses, descriptor, when it began to linger, its state, then its events one after another."""
        c = finding.connection
        told: list[Any] = [
            str(c.local),
            str(c.remote),
            _descriptor(c),
            (now_ns - finding.since_ns) // _MS,
            c.state.name,
        ]
        for event in timeline.events(c):
            by = "" if event.actor is None else words.thread(event.actor)
            origin = _ORIGINS[event.origin.value if event.origin is not None else "unknown"]
            told += [(now_ns - event.ns) // _US, self.texts.number(event.name), origin]
            told += [self.texts.number(event.text), self.texts.number(by)]
        return told


_WAYS = {Direction.ACCEPTED: "from", Direction.OPENED: "to", Direction.UNKNOWN: "with"}


def _descriptor(c: Connection) -> Optional[int]:
    pid = c.owner.pid if c.owner is not None else None
    own = [h.fd for h in c.holders if h.pid == pid] or [h.fd for h in c.holders]
    return own[0] if own else None


def of_report(report: Report) -> Value:
    """The values of one report."""
    page, end_ns = _Page(), report.now_ns + report.clock_offset_ns
    sites = [page.site(site, report.now_ns, number) for number, site in enumerate(report.sites, 1)]
    began_ns = round(report.started * 1e6) * 1000
    facts = [
        ["host", f"{report.host.hostname}, Linux {report.host.kernel}, {report.host.architecture}"],
        ["watched", saying.watched(report)],
        ["trace", f"{_time(began_ns)} to {_time(end_ns)} UTC, {words.duration(end_ns - began_ns)}"],
        ["threshold", words.duration(report.linger_ns)],
    ]
    return {
        "title": clean(f"closetrace: {report.target} on {report.host.hostname}"),
        "headline": clean(saying.headline(report)),
        "clear": saying.is_clear(report),
        "facts": [[name, clean(text)] for name, text in facts],
        "began": (end_ns - began_ns) // _MS,
        "ended": _ended(report),
        "endings": [clean(line) for line in _endings(report)],
        "notes": [clean(line) for line in _notes(report)],
        **_common(page, sites),
    }


def of_merged(merged: Merged) -> Value:
    """The values of several reports; each site is as its newest report tells it."""
    page = _Page()
    sites = [_merged(page, one, number) for number, one in enumerate(merged.sites, 1)]
    return {
        "title": f"closetrace: {words.plural(merged.reports, 'report')} of {words.plural(merged.hosts, 'host')}",
        "headline": f"{words.plural(merged.sockets, 'socket')} from {words.plural(len(sites), 'leak site')}",
        "clear": not sites and not merged.incomplete,
        "facts": [
            ["reports", f"{merged.reports}, of {words.plural(merged.hosts, 'host')}"],
            ["time", f"{_time(merged.started_ns)} to {_time(merged.ended_ns)} UTC"],
        ],
        "began": None,
        "ended": [],
        "endings": [],
        "notes": [
            *([f"{saying.incomplete(merged)}."] if merged.incomplete else []),
            "Text, stacks and sockets of a site are those of the newest report that has it.",
        ],
        **_common(page, sites),
    }


def _merged(page: _Page, one: MergedSite, number: int) -> Value:
    told = page.site(one.site, one.newest_ns, number)
    hosts = [[clean(host.hostname), host.sockets] for host in one.hosts]
    seen = {"first_seen": _time(one.first_ns), "last_seen": _time(one.last_ns), "reports": one.reports}
    return {**told, "count": one.sockets, "hosts": hosts, "newest": clean(one.newest_host), **seen}


def _common(page: _Page, sites: Sequence[Value]) -> Value:
    return {"sites": list(sites), "stacks": page.stacks, "texts": page.texts.all}


def _time(ns: int) -> str:
    return rfc3339_second(ns // 1_000_000_000).replace("T", " ")


def _ended(report: Report) -> list[list[int]]:
    """When those that have ended began to linger, and when they ended."""
    found = []
    for gone in report.ended_findings:
        ended_ns = gone.connection.ended_ns
        if ended_ns is not None:
            ago = (report.now_ns - ended_ns) // _MS
            found.append([ago + gone.lingered_ns // _MS, ago])
    return found


def _endings(report: Report) -> list[str]:
    return [
        f"{words.plural(kind.count, 'socket')}, {kind.verdict.value}, {kind.ender} after "
        f"{words.duration(kind.shortest_ns)} to {words.duration(kind.longest_ns)}{kind.outcome}"
        for kind in report.ended_kinds
    ]


def _notes(report: Report) -> list[str]:
    found = list(reconciled.sentences(report))
    working = sum(1 for probe in report.plan if probe.way is not None)
    if report.plan:
        found.append(f"Hooks: {working} of {len(report.plan)}.")
    found += [
        f"Without {p.family}: {p.cost or p.reason}." for p in report.plan if p.way is None and (p.cost or p.reason)
    ]
    found += saying.holders_not_told(report) + saying.not_read(report.unread, report.unconfined)
    lost = saying.described(report.losses)
    return [*found, f"Lost: {lost or 'nothing'}."]
