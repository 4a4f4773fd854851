"""From the JSON text of a report to a Report. Its times are ns since the epoch: ``clock_offset_ns`` is 0."""

from __future__ import annotations

import json
import sys
from typing import Any, Optional

from tracer.model.connection import Host, Losses, Probe, Touch
from tracer.model.finding import (
    BackOff,
    Cost,
    Ended,
    EndedKind,
    Process,
    Reconciliation,
    Report,
    Unconfined,
    Unread,
    Verdict,
)
from tracer.model.holder import HeapLook
from tracer.model.states import Op
from tracer.reports.json.reading import sites
from tracer.reports.json.reading.fields import BadReport, Fields, several
from tracer.reports.json.reading.record import Sockets
from tracer.reports.json.report import REPORT_SCHEMA
from tracer.reports.times import epoch_ns

_NAME, _, _VERSION = REPORT_SCHEMA.rpartition("/")
_MOST_PROCESSES = 1_000_000


def from_text(text: bytes) -> Report:
    """Read a report. Raises BadReport with what is wrong."""
    return from_document(document(text))


def document(text: bytes) -> Fields:
    """The document, if it is a report of a version that can be read. Raises BadReport."""
    try:
        found = json.loads(text, parse_constant=_no_number, **_LIMITED)
    except (ValueError, RecursionError) as error:
        reason = str(error).split(":")[0] if isinstance(error, ValueError) else "it is nested too deeply"
        raise BadReport(f"it is not JSON ({reason})") from None
    whole = Fields(found, "")
    name, _, version = whole.text("schema", "").rpartition("/")
    if name != _NAME:
        raise BadReport("it is not a report of closetrace (closetrace --json writes one)")
    if not version.isascii() or not version.isdigit() or len(version) > 9 or int(version) > int(_VERSION):
        raise BadReport(f"it was written by a newer version of closetrace (schema {name}/{version[:20]})")
    return whole


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("a number is too long")
    return int(text)


_MOST_DIGITS = 4300
_LIMITED: dict[str, Any] = {} if hasattr(sys, "get_int_max_str_digits") else {"parse_int": _number}
"""What takes hours without a limit: Python has had one since 3.10.7, and distributions put it into older ones."""


def end_ns(whole: Fields) -> int:
    """When the report was made, in ns since the epoch. Older versions told it to the microsecond."""
    return whole.whole("now_ns") if whole.has("now_ns") else epoch_ns(whole.text("ended"))


def check_time(ns: int) -> int:
    """Return ``ns`` since the epoch if a calendar knows it. Raises BadReport."""
    if not 0 <= ns < _LATEST_NS:
        raise BadReport("now_ns is not a time")
    return ns


def from_document(whole: Fields) -> Report:
    """Make the Report. Raises BadReport."""
    now_ns = check_time(end_ns(whole))
    sockets = Sockets(now_ns)
    host = whole.part("host")
    return Report(
        host=Host(host.text("hostname"), host.text("kernel"), host.text("architecture")),
        target=whole.text("target"),
        started=_epoch_s(whole, "started"),
        ended=_epoch_s(whole, "ended"),
        now_ns=now_ns,
        clock_offset_ns=0,
        recorded_since=_epoch_s(whole, "recorded_since") if whole.has("recorded_since") else None,
        linger_ns=whole.ns("linger_s"),
        plan=several(whole.parts("plan_details"), _probe),
        sites=several(whole.parts("sites"), lambda one: sites.site(one, sockets, now_ns)),
        losses=_losses(whole.part("losses")),
        ended_findings=several(whole.parts("ended_findings"), lambda one: _ended(one, sockets)),
        ended_kinds=several(whole.parts("ended_kinds"), lambda one: _ended_kind(one, sockets)),
        watched=whole.count("watched"),
        seen=whole.count("seen") if whole.has("seen") else None,
        cost=_cost(whole.part("cost")) if whole.has("cost") else None,
        reconciliation=_reconciliation(whole.part("reconciliation")) if whole.has("reconciliation") else None,
        unread=several(whole.parts("unread"), lambda one: Unread(one.text("what"), one.text("part"), one.text("why"))),
        unconfined=several(whole.parts("unconfined"), lambda one: Unconfined(one.text("part"), one.text("why"))),
        heaps=several(whole.parts("heaps"), _heap),
    )


_LATEST_NS = 253_402_300_800 * 1_000_000_000
"""The year 10000, which no calendar here knows."""


def _epoch_s(fields: Fields, key: str) -> float:
    return epoch_ns(fields.text(key)) / 1000 / 1e6


def _probe(one: Fields) -> Probe:
    return Probe(one.text("family"), one.maybe_text("way"), one.text("reason", ""), one.text("cost", ""))


def _losses(fields: Fields) -> Losses:
    return Losses(**{name: fields.count(name) for name in vars(Losses())})


def _ended(one: Fields, sockets: Sockets) -> Ended:
    shown = {"closed_stack": sites.stack(one, "closed_stack")}
    return Ended(sockets.connection(one, shown), one.one_of("verdict", Verdict), one.ns("lingered_s"), one.text("how"))


def _ended_kind(one: Fields, sockets: Sockets) -> EndedKind:
    how, outcome = one.text("how"), one.text("outcome", "")
    stack = sites.stack(one, "closed_stack")
    closers = several(one.parts("closers"), sockets.thread)
    closed: Optional[Touch] = None
    if stack is not None or closers:
        by = closers[0] if closers else sockets.actor(0, 0, "?", one.where)
        closed = Touch(Op.CLOSE, 0, by, stack=stack, stack_note=one.maybe_text("closed_stack_note"))
    lengths = [Fields({"s": value}, f"{one.where}.lingered_s").ns("s") for value in one.items("lingered_s")]
    if len(lengths) != 2:
        raise BadReport(f"{one.where}.lingered_s is not two numbers")
    return EndedKind(
        verdict=one.one_of("verdict", Verdict),
        ender=how[: len(how) - len(outcome)] if how.endswith(outcome) else how,
        outcome=outcome if how.endswith(outcome) else "",
        closed=closed,
        closers=closers,
        count=one.count("count"),
        shortest_ns=lengths[0],
        longest_ns=lengths[1],
    )


def _cost(fields: Fields) -> Cost:
    return Cost(
        wall_s=fields.number("wall_s"),
        cpu_s=fields.number("cpu_s"),
        kernel_s=fields.number("kernel_s") if fields.has("kernel_s") else None,
        rss_bytes=fields.count("rss_bytes"),
        kernel_bytes=fields.count("kernel_bytes"),
        max_overhead_percent=fields.number("max_overhead_percent") if fields.has("max_overhead_percent") else None,
        backed_off=several(fields.parts("backed_off"), _back_off),
    )


def _back_off(one: Fields) -> BackOff:
    return BackOff(_epoch_s(one, "time"), one.text("stacks"), one.number("percent"), one.flag("more"))


def _reconciliation(fields: Fields) -> Reconciliation:
    below, missed = fields.part("descendants"), fields.part("unreadable")
    counts = ("namespaces", "listed", "told", "younger", "out_of_scope", "without_holder", "mptcp", "left")
    return Reconciliation(
        complete=fields.flag("complete"),
        descendants_sockets=below.count("sockets"),
        descendants=several(below.parts("processes"), _process),
        unreadable=_unreadable(missed),
        matters=missed.flag("matters", default=not fields.flag("complete")),
        unreadable_namespaces=missed.count("namespaces"),
        **{name: fields.count(name) for name in counts},
    )


def _process(one: Fields) -> Process:
    return Process(one.whole("pid"), one.text("comm"), one.count("sockets"))


def _unreadable(missed: Fields) -> tuple[Process, ...]:
    """The first are named, the others only counted."""
    total = missed.count("processes")
    if total > _MOST_PROCESSES:
        raise BadReport(f"{missed.where}.processes is not a number of processes")
    named = several(missed.parts("names"), _process) or tuple(_numbered(pid, missed) for pid in missed.items("pids"))
    return (*named[:total], *([Process(0, "?")] * (total - len(named))))


def _numbered(pid: Any, missed: Fields) -> Process:
    return Process(Fields({"pid": pid}, missed.where).whole("pid"), "?")


def _heap(one: Fields) -> HeapLook:
    return HeapLook(
        pid=one.whole("pid"),
        comm=one.text("comm"),
        sockets=one.count("sockets"),
        found=one.count("found"),
        note=one.text("note", ""),
        heap_bytes=one.count("heap_bytes"),
        scans=one.count("scans"),
        collector=one.text("collector", ""),
    )
