"""Reports of several hosts or hours as one JSON document. docs/json.md tells its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracer.model.merged import Merged, MergedSite
from tracer.reports.json.report import encoded, site_value
from tracer.reports.times import rfc3339

SCHEMA = "closetrace.merged/1"


def to_text(merged: Merged) -> Iterator[str]:
    """The document, piece by piece."""
    document = {
        "schema": SCHEMA,
        "reports": merged.reports,
        "incomplete": merged.incomplete,
        "hosts": merged.hosts,
        "started": rfc3339(merged.started_ns),
        "ended": rfc3339(merged.ended_ns),
        "sockets": merged.sockets,
        "sites": (_site(one) for one in merged.sites),
    }
    yield from encoded(document)
    yield "\n"


def _site(one: MergedSite) -> dict[str, Any]:
    """The newest report's site is a value of its own: its counts and ages are those of that report."""
    return {
        "id": one.site.id,
        "program": one.site.program,
        "verdict": one.site.verdict.value,
        "sockets": one.sockets,
        "hosts": ({"hostname": host.hostname, "sockets": host.sockets} for host in one.hosts),
        "reports": one.reports,
        "first_seen": rfc3339(one.first_ns),
        "last_seen": rfc3339(one.last_ns),
        "newest_host": one.newest_host,
        "newest": site_value(one.site, one.newest_ns, 0),
    }
