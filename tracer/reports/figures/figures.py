"""All figures of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tracer import __version__
from tracer.model.finding import Report, Verdict
from tracer.reports.figures import names
from tracer.reports.figures.feeder import Tally
from tracer.reports.figures.names import Metric
from tracer.reports.figures.ranking import Ranking, Rows

_GROWING = ("events", "records", "boxes", "contended", "returns", "nested", "stacks_unread")
_OF_A_LOOK = ("stacks_truncated", "descriptors", "namespaces", "threads")
_MOST_PORTS = 10


class Figure(NamedTuple):
    """A value with its labels' values, in the order of ``metric.labels``."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


class Figures:
    """Makes figures of one report after the other. Equal sites keep their figures from one to the next."""

    def __init__(self) -> None:
        self._ranking = Ranking()

    def of(self, report: Report, tallies: tuple[Tally, ...] = ()) -> tuple[Figure, ...]:
        """All figures of ``report``; ``tallies`` are those of the exporters."""
        rows = self._ranking.rows(report)
        return (
            *_sockets(rows),
            Figure(names.SITES, (), len({site.id for site in report.sites})),
            Figure(names.SITES_IN_OTHER, (), self._ranking.left),
            *_host(report),
            *_ports(report),
            *_cost(report),
            *_exports(tallies),
        )


def _sockets(rows: Rows) -> Iterator[Figure]:
    waiting: Counter[tuple[str, ...]] = Counter()
    reset: Counter[tuple[str, ...]] = Counter()
    for whose, row in sorted(rows.items()):
        of = whose.home
        home = (of.unit, of.namespace, of.pod_name, of.container_name, of.pod, of.container)
        known = (whose.program, whose.site, *home)
        if whose.verdict is Verdict.RESET_STILL_OPEN:
            reset[known] += row.count
            continue
        labels = (whose.program, whose.site, whose.verdict.value, *home)
        yield Figure(names.CLOSE_WAIT, labels, row.count)
        yield Figure(names.OLDEST, labels, row.oldest_s)
        if whose.verdict is Verdict.NEVER_ACCEPTED:
            waiting[known] += row.count
    yield from (Figure(names.NEVER_ACCEPTED, known, count) for known, count in waiting.items())
    yield from (Figure(names.RESET_OPEN, known, count) for known, count in reset.items())


def _host(report: Report) -> Iterator[Figure]:
    yield Figure(names.WATCHED, (), report.watched)
    ended: Counter[str] = Counter()
    for kind in report.ended_kinds:
        ended[kind.verdict.value] += kind.count
    yield from (Figure(names.ENDED, (verdict,), count) for verdict, count in ended.items())
    lost = vars(report.losses)
    yield from (Figure(names.LOSSES, (kind,), lost[kind]) for kind in _GROWING)
    yield from (Figure(names.INCOMPLETE, (kind,), lost[kind]) for kind in _OF_A_LOOK)
    if report.reconciliation is not None:
        yield Figure(names.RECONCILED, (), int(report.reconciliation.complete))
    yield Figure(names.RECORDING_SINCE, (), report.started)
    yield Figure(names.LAST_LOOK, (), report.ended)
    yield Figure(names.BUILD, (__version__,), 1)


def _ports(report: Report) -> Iterator[Figure]:
    for share in report.ports[:_MOST_PORTS]:
        labels = (share.source, share.destination.address, str(share.destination.port))
        yield Figure(names.PORTS_USED, labels, share.used / max(share.usable, 1))
        yield Figure(names.PORTS_TIME_WAIT, labels, share.time_wait / max(share.usable, 1))


def _cost(report: Report) -> Iterator[Figure]:
    cost = report.cost
    if cost is None:
        return
    yield Figure(names.CPU, (), cost.cpu_s)
    if cost.kernel_s is not None:
        yield Figure(names.KERNEL_CPU, (), cost.kernel_s)
    yield Figure(names.RESIDENT, (), cost.rss_bytes)
    yield Figure(names.KERNEL_MEMORY, (), cost.kernel_bytes)


def _exports(tallies: tuple[Tally, ...]) -> Iterator[Figure]:
    for tally in tallies:
        yield Figure(names.DROPPED, (tally.exporter,), tally.dropped)
        yield Figure(names.FAILED, (tally.exporter,), tally.failed)
        if tally.waiting is not None:
            yield Figure(names.WAITING, (tally.exporter,), tally.waiting)
