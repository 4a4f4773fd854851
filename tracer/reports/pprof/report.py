"""A report as a profile: how many sockets linger by the stack that tells of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Optional

from tracer.diagnose.telling import opener_stack, telling_stack
from tracer.model.finding import Finding, Report, Site
from tracer.model.frame import Stack
from tracer.model.merged import Merged
from tracer.reports.pprof.profile import Place, Sample, encoded, place

NO_STACK = (Place("(no stack was recorded)"),)
"""What stands for sockets that have none: those that are older than the trace, most of all."""


def profile(report: Report) -> bytes:
    """The gzipped profile. Sample type: ``sockets/count``; labels: ``verdict``, ``site``, ``program``, ``host``."""
    samples = (sample for site in report.sites for sample in _samples(site, report.host.hostname))
    started_ns = round(report.started * 1e9)
    return encoded(samples, started_ns, round(report.ended * 1e9) - started_ns)


def profile_of_merged(merged: Merged) -> bytes:
    """The same of several reports: each site with the stack that its newest report shows, counted for each host."""
    samples = (
        Sample(host.sockets, _places(one.site.findings[0]), _labels(one.site, host.hostname))
        for one in merged.sites
        for host in one.hosts
    )
    return encoded(samples, merged.started_ns, merged.ended_ns - merged.started_ns)


def _labels(site: Site, hostname: str) -> dict[str, str]:
    program = site.program or site.comm
    return {"verdict": site.verdict.value, "site": site.id, "program": program, "host": hostname}


def _samples(site: Site, hostname: str) -> Iterator[Sample]:
    labels = _labels(site, hostname)
    for places, count in Counter(map(_places, site.findings)).items():
        yield Sample(count, places, labels)


def _places(finding: Finding) -> tuple[Place, ...]:
    """The telling call's stack, else the last send's or the opener's."""
    c = finding.connection
    sent = c.sent.stack if c.sent is not None else None
    found = next((one for one in (telling_stack(finding)[0], sent, opener_stack(finding)) if _has_frames(one)), None)
    return (
        NO_STACK
        if found is None
        else tuple(place(f.function, f.module, f.offset, f.file, f.line, f.inlined) for f in found.frames)
    )


def _has_frames(stack: Optional[Stack]) -> bool:
    return stack is not None and bool(stack.frames)
