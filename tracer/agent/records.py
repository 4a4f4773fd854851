"""The answer to a census: which socket is of which site, without stacks. Lines of JSON, written here and read here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tracer.agent.protocol import NoAnswer
from tracer.diagnose import words
from tracer.diagnose.census.recorded import Calls, CodePath, Known, Records
from tracer.diagnose.sites import process_of
from tracer.model.connection import Connection
from tracer.model.finding import Finding, Report, Site
from tracer.reports import saying
from tracer.stacks.registry import language

_LONGEST_NAME = 200
_TEXTS = ("id", "program", "verdict", "function", "where")


def lines(report: Report) -> Iterator[str]:
    """When this was told, and a line for each site. The report itself is not needed any more once this has returned."""
    head = {
        "told": report.ended,
        "linger_ms": report.linger_ns // 1_000_000,
        "crowded_out": report.losses.records,
    }
    told = [json.dumps(head)]
    told += [json.dumps(_site(site, report.now_ns)) for site in report.sites]
    return (f"{line}\n" for line in told)


def _site(site: Site, now_ns: int) -> dict[str, Any]:
    frame, how = saying.application(site)
    where = saying.where(site)
    return {
        "id": site.id,
        "program": (site.program or site.comm)[:_LONGEST_NAME],
        "verdict": site.verdict.value,
        "function": (f"{how}{words.short_name(frame)}" if frame is not None else where)[:_LONGEST_NAME],
        "where": where[:_LONGEST_NAME],
        "end_tells": frame is not None and language(frame.language).ends_tell,
        "sockets": [_socket(finding, now_ns) for finding in site.findings],
    }


def _socket(finding: Finding, now_ns: int) -> list[Any]:
    c = finding.connection
    return [c.netns, c.cookie, max(now_ns - finding.since_ns, 0) // 1_000_000, _calls(c).value, process_of(finding)]


def _calls(c: Connection) -> Calls:
    if c.unrecorded:
        return Calls.NOT_FOLLOWED
    seen = any(touch is not None for touch in (c.opened, c.last, c.eof, c.sent, c.shutdown))
    return Calls.OLDER if c.preexisting and not seen else Calls.RECORDED


def records_from(text: bytes, since: float) -> Records:
    """The inverse of :func:`lines`. ``since`` is what the agent greeted with. Raises NoAnswer."""
    try:
        head, *sites = (json.loads(line) for line in text.splitlines())
        told, linger_ms, crowded_out = float(head["told"]), int(head["linger_ms"]), int(head["crowded_out"])
        return Records(since, told, linger_ms, crowded_out, tuple(map(_path, sites)))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise NoAnswer("it says what no agent of this version says") from None


def _path(values: dict[str, Any]) -> CodePath:
    return CodePath(
        **{name: str(values[name]) for name in _TEXTS},
        end_tells=bool(values["end_tells"]),
        sockets=tuple(
            Known(int(netns), int(cookie), int(age_ms), Calls(calls), int(pid))
            for netns, cookie, age_ms, calls, pid in values["sockets"]
        ),
    )
