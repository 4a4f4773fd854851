"""The report and a timeline as JSON values. docs/json.md and docs/report.schema.json are the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as quoted
from types import GeneratorType
from typing import Any, Optional

from tracer.diagnose import reconciled, words
from tracer.model.connection import Actor, Connection, Touch
from tracer.model.finding import Cost, Ended, EndedKind, Finding, Report, Share, Site
from tracer.model.frame import Frame, Stack
from tracer.model.thread import Present
from tracer.reports.json import held, sockets
from tracer.reports.json.record import Stacks, record
from tracer.reports.times import rfc3339

REPORT_SCHEMA = "closetrace.report/1"
TIMELINE_SCHEMA = "closetrace.timeline/1"
TAIL_SCHEMA = "closetrace.tail/1"

Value = dict[str, Any]
_json = json.JSONEncoder().encode


class Text(str):
    """A value that is JSON text already."""

    __slots__ = ()


def to_text(report: Report) -> Iterator[str]:
    """The whole report as JSON text. Wall-clock times are RFC 3339 in UTC, ages and lengths of time seconds as floats.

    It comes piece by piece with one socket a line: a large report is never in memory as a whole.
    """
    yield from encoded(_document(report), "")
    yield "\n"


def _is_lazy(value: Any) -> bool:
    return type(value) is GeneratorType


def encoded(value: Any, margin: str = "") -> Iterator[str]:
    """JSON text: objects with something lazy in them, and lazy lists, over several lines; else by C code on one."""
    inner = margin + "  "
    if _is_lazy(value):
        separator = f"[\n{inner}"
        for part in value:
            if _holds_lazy(part):
                yield separator
                yield from encoded(part, inner)
            else:
                yield separator + (part if type(part) is Text else _json(part))
            separator = f",\n{inner}"
        yield "[]" if separator[0] == "[" else f"\n{margin}]"
    elif _holds_lazy(value):
        separator = "{"
        for key, part in value.items():
            yield f"{separator}\n{inner}{_json(key)}: "
            yield from encoded(part, inner)
            separator = ","
        yield f"\n{margin}}}"
    else:
        yield _json(value)


def _holds_lazy(value: Any) -> bool:
    return isinstance(value, dict) and GeneratorType in map(type, value.values())


def _document(report: Report) -> Value:
    """The report with its long lists as iterators."""
    return {
        "schema": REPORT_SCHEMA,
        "host": {
            "hostname": report.host.hostname,
            "kernel": report.host.kernel,
            "architecture": report.host.architecture,
        },
        "target": report.target,
        "started": rfc3339(round(report.started * 1e6) * 1000),
        "ended": rfc3339(round(report.ended * 1e6) * 1000),
        "now_ns": report.now_ns + report.clock_offset_ns,
        "recorded_since": None if report.recorded_since is None else rfc3339(round(report.recorded_since * 1e6) * 1000),
        "linger_s": _seconds(report.linger_ns),
        "watched": report.watched,
        "seen": report.seen,
        "lingering": report.lingering,
        "lingered": report.lingered,
        "plan": {probe.family: probe.way for probe in report.plan},
        "plan_details": [{"family": p.family, "way": p.way, "reason": p.reason, "cost": p.cost} for p in report.plan],
        "sites": (site_value(site, report.now_ns, report.clock_offset_ns) for site in report.sites),
        "ended_findings": (_ended(gone, report) for gone in report.ended_findings),
        "ended_kinds": (_ended_kind(kind) for kind in report.ended_kinds),
        "cost": None if report.cost is None else _cost(report.cost),
        "unread": [vars(unread) for unread in report.unread],
        "unconfined": [vars(unconfined) for unconfined in report.unconfined],
        "heaps": [held.heap(look) for look in report.heaps],
        "losses": {
            "events": report.losses.events,
            "records": report.losses.records,
            "boxes": report.losses.boxes,
            "contended": report.losses.contended,
            "returns": report.losses.returns,
            "nested": report.losses.nested,
            "stacks_truncated": report.losses.stacks_truncated,
            "descriptors": report.losses.descriptors,
            "namespaces": report.losses.namespaces,
            "stacks_unread": report.losses.stacks_unread,
            "threads": report.losses.threads,
        },
        "reconciliation": None if report.reconciliation is None else _reconciliation(report),
    }


def timeline_to_text(connection: Connection, clock_offset_ns: int) -> str:
    """One connection with its timeline, as ``closetrace timeline --json`` prints it."""
    owner = connection.owner
    head = {
        "schema": TIMELINE_SCHEMA,
        "pid": owner.pid if owner is not None else None,
        "comm": owner.comm if owner is not None else "",
    }
    more = {
        "ended": _stamp(connection.ended_ns, clock_offset_ns),
        "closed_by": words.let_go(connection.closed) if connection.closed is not None else None,
    }
    return f"{_json(head)[:-1]}, {sockets.members(connection, clock_offset_ns)}, {_json(more)[1:]}"


_MOST_PIDS = 20


def _reconciliation(report: Report) -> Value:
    found = report.reconciliation
    assert found is not None
    return {
        "complete": found.complete,
        "namespaces": found.namespaces,
        "listed": found.listed,
        "told": found.told,
        "younger": found.younger,
        "out_of_scope": found.out_of_scope,
        "without_holder": found.without_holder,
        "descendants": {
            "sockets": found.descendants_sockets,
            "processes": [{"pid": p.pid, "comm": p.comm, "sockets": p.sockets} for p in found.descendants],
        },
        "mptcp": found.mptcp,
        "left": found.left,
        "unreadable": {
            "processes": len(found.unreadable),
            "namespaces": found.unreadable_namespaces,
            "pids": [process.pid for process in found.unreadable[:_MOST_PIDS]],
            "names": [{"pid": p.pid, "comm": p.comm} for p in found.unreadable[:_MOST_PIDS]],
            "matters": found.matters,
        },
        "text": list(reconciled.sentences(report)),
    }


def _ended_kind(kind: EndedKind) -> Value:
    stack = kind.closed.stack if kind.closed is not None else None
    return {
        "count": kind.count,
        "verdict": kind.verdict.value,
        "how": f"{kind.ender}{kind.outcome}",
        "outcome": kind.outcome,
        "closers": [_actor(actor) for actor in kind.closers],
        "lingered_s": [_seconds(kind.shortest_ns), _seconds(kind.longest_ns)],
        "closed_stack": frames(stack),
        "closed_stack_complete": stack is not None and stack.complete,
        "closed_stack_note": _closed_note(kind.closed),
    }


def _closed_note(closed: Optional[Touch]) -> Optional[str]:
    """Why there is no stack of the closing call, or why it ends early."""
    if closed is None or closed.stack_note:
        return None if closed is None else closed.stack_note
    return closed.stack.note if closed.stack is not None else None


def _cost(cost: Cost) -> Value:
    return {
        "wall_s": cost.wall_s,
        "cpu_s": cost.cpu_s,
        "kernel_s": cost.kernel_s,
        "rss_bytes": cost.rss_bytes,
        "kernel_bytes": cost.kernel_bytes,
        "max_overhead_percent": cost.max_overhead_percent,
        "backed_off": [
            {"time": rfc3339(round(b.at * 1e6) * 1000), "stacks": b.stacks, "more": b.more, "percent": b.percent}
            for b in cost.backed_off
        ],
    }


def _seconds(ns: int) -> float:
    return ns / 1e9


def _stamp(ns: Optional[int], offset_ns: int) -> Optional[str]:
    return None if ns is None else rfc3339(ns + offset_ns)


def frames(stack: Optional[Stack]) -> list[Value]:
    """The frames of a stack, innermost first; none without one."""
    return [_frame(frame) for frame in stack.frames] if stack is not None else []


def _frame(frame: Frame) -> Value:
    return {
        "function": frame.function,
        "module": None if frame.module is None else frame.module.rsplit("/", 1)[-1],
        "module_path": frame.module,
        "offset": frame.offset,
        "file": frame.file,
        "line": frame.line,
        "language": frame.language,
        "inlined": frame.inlined,
        "internal": frame.internal,
        "note": frame.note,
        "pc": f"{frame.pc:#x}",
        "of_program": frame.of_program,
    }


def site_value(site: Site, now_ns: int, offset_ns: int) -> Value:
    """A site with its sockets, lazily. ``offset_ns`` added to its times and ``now_ns`` gives ns since the epoch."""
    opened, places = site.opened_stack, held.Places(site)
    shown = (("sent_stack", site.sent_stack), ("opened_stack", opened), ("stack", site.stack))
    return {
        "id": site.id,
        "count": site.count,
        "oldest_s": _seconds(now_ns - min((f.since_ns for f in site.findings), default=now_ns)),
        "pid": site.pid,
        "comm": site.comm,
        "verdict": site.verdict.value,
        "remote": site.remote,
        "last_op": site.last_op,
        "explanation": list(site.explanation),
        "advice": " ".join(site.advice),
        "advice_parts": list(site.advice),
        "stack": frames(site.stack),
        "stack_complete": site.stack is not None and site.stack.complete,
        "stack_note": site.stack_note,
        "opened_stack": frames(opened),
        "opened_stack_complete": opened is not None and opened.complete,
        "opened_stack_note": opened.note if opened is not None else None,
        "sent_stack": frames(site.sent_stack),
        "sent_stack_complete": site.sent_stack is not None and site.sent_stack.complete,
        "sent_stack_note": site.sent_stack.note if site.sent_stack is not None else None,
        "program": site.program,
        "direction": site.direction.value,
        "listening": site.listening,
        "processes": [_share(one) for one in site.processes],
        "remotes": [{"remote": one.endpoint, "count": one.count} for one in site.remotes],
        "application": {
            "stack": site.application.stack.value,
            "index": site.application.index,
            "loop": site.application.loop,
        },
        "now": [_present(one, now_ns) for one in site.now],
        "not_looked_at": site.not_looked_at,
        "held_by": held.site_holders(site),
        "sockets": (_finding(f, now_ns, offset_ns, places, shown) for f in site.findings),
    }


def _share(share: Share) -> Value:
    who = share.identity
    return {
        "pid": share.pid,
        "comm": share.comm,
        "count": share.count,
        "unit": who.unit or None,
        "container": who.container or None,
        "pod": who.pod or None,
        "namespace": who.namespace or None,
        "pod_name": who.pod_name or None,
        "container_name": who.container_name or None,
    }


def _present(one: Present, now_ns: int) -> Value:
    return {
        "state": one.standing.value,
        "threads": [_actor(thread) for thread in one.threads],
        "syscall": one.syscall,
        "since_s": None if one.since_ns is None else _seconds(now_ns - one.since_ns),
        "longest_s": None if one.first_ns is None else _seconds(now_ns - one.first_ns),
        "beside": one.beside,
        "polls": None if one.polls is None else {"told": one.polls.told, "untold": one.polls.untold},
        "stack": frames(one.stack),
        "stack_complete": one.stack is not None and one.stack.complete,
        "stack_note": one.note,
    }


def _finding(finding: Finding, now_ns: int, offset_ns: int, places: held.Places, shown: Stacks) -> Text:
    c = finding.connection
    held_by = "null" if c.lineage is None else _json(places.of(c.lineage))
    return Text(
        f'{{{sockets.members(c, offset_ns)}, "close_wait_s": {_seconds(now_ns - finding.since_ns)}, '
        f'"verdict": {quoted(finding.verdict.value)}, "evidence": [{", ".join(map(quoted, finding.evidence))}], '
        f'"held_by": {held_by}, "record": {record(c, now_ns, shown)}}}'
    )


def _ended(gone: Ended, report: Report) -> Text:
    closed = gone.connection.closed
    stack = closed.stack if closed is not None else None
    more = {
        "verdict": gone.verdict.value,
        "lingered_s": _seconds(gone.lingered_ns),
        "how": gone.how,
        "closed_stack": frames(stack),
        "closed_stack_complete": stack is not None and stack.complete,
        "closed_stack_note": _closed_note(closed),
        "ended": _stamp(gone.connection.ended_ns, report.clock_offset_ns),
    }
    told = record(gone.connection, report.now_ns, (("closed_stack", stack),))
    own = sockets.members(gone.connection, report.clock_offset_ns)
    return Text(f'{{{own}, {_json(more)[1:-1]}, "record": {told}}}')


def _actor(actor: Actor) -> Value:
    return {"pid": actor.pid, "tid": actor.tid, "comm": actor.comm}
