"""The goals of the benchmark, compared with what one run measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tests.benchmarks import interpreted
from tests.benchmarks.readout import NONE, Results, find, markdown, number, percent, ratio, rows_of, value

NEEDS = ("touch", "interpreted", "churn", "loss", "rates", "scope", "lingering", "budget", "idle", "starting", "tail")


@dataclass(frozen=True)
class Goal:
    """One figure and its bound: ``at_most`` or ``at_least``."""

    name: str
    measured: Optional[float]
    at_most: Optional[float] = None
    at_least: Optional[float] = None
    unit: str = ""

    def cells(self) -> list[str]:
        """Its line of the table."""
        bound = self.at_most if self.at_most is not None else self.at_least
        word = "at most" if self.at_most is not None else "at least"
        return [self.name, f"{word} {self._told(bound)}", self._told(self.measured), self._verdict()]

    def _told(self, figure: Optional[float]) -> str:
        if figure is None:
            return NONE
        return percent(figure, 1) if self.unit == "%" else f"{number(figure)} {self.unit}".strip()

    def _verdict(self) -> str:
        if self.measured is None:
            return NONE
        over = self.at_most is not None and self.measured > self.at_most
        under = self.at_least is not None and self.measured < self.at_least
        return "**no**" if over or under else "yes"


def table(results: Results) -> str:
    """All goals."""
    makers = (_calls, _interpreted, _connections, _others, _many, _rest)
    return markdown(
        ["goal", "to reach", "measured", "met"], [goal.cells() for make in makers for goal in make(results)]
    )


def _calls(results: Results) -> Iterator[Goal]:
    rows = rows_of(results, "touch")
    for sockets, named in ((1, "one socket"), (1000, "1000 in turn")):
        ours, theirs = (
            value(find(rows, tracer=name, depth=40, sockets=sockets), "ns_per_run")
            for name in ("closetrace", "bpftrace ustack")
        )
        name = f"hook with the whole stack, of `bpf_get_stackid`'s time, 40 callers, {named}"
        yield Goal(name, ratio(ours, theirs), at_most=0.25)
    left = value(find(rows, tracer="closetrace", depth=40, sockets=1), "share_of_untraced")
    yield Goal("loss of the tightest loop (40 callers, one socket)", _loss(left), at_most=0.10, unit="%")


def _interpreted(results: Results) -> Iterator[Goal]:
    rows = rows_of(results, "interpreted")
    for work in interpreted.OF_CPYTHON:
        ours, without = (
            value(find(rows, tracer=name, work=work.name), "ns_per_run") for name in ("closetrace", interpreted.WITHOUT)
        )
        yield Goal(f"hook with the frames, of the time without: {work.name}", ratio(ours, without), at_most=2.2)


def _loss(left: Optional[float]) -> Optional[float]:
    return None if left is None else 1 - left


def _connections(results: Results) -> Iterator[Goal]:
    names = ("closetrace", "bpftrace ustack")
    rows, many = rows_of(results, "churn"), rows_of(results, "loss")
    ours, theirs = (value(find(rows, tracer=name), "kernel_us_per_connection") for name in names)
    yield Goal("us of kernel for a short connection, both ends", ours, at_most=6)
    yield Goal("of bpftrace's", ratio(ours, theirs), at_most=0.35)
    yield Goal(
        "loss of short connections", _loss(value(find(many, tracer=names[0]), "share_of_untraced")), 0.03, unit="%"
    )
    more = [value(find(many, tracer=name), "us_more") for name in names]
    yield Goal("CPU time that a short connection takes more, of what it does with bpftrace", ratio(*more), at_most=0.5)
    cpu = [value(row, "tracer_cpu") or 0.0 for row in rows_of(results, "rates") if row["tracer"] == "closetrace"]
    yield Goal("user space CPU, the most of all rates of connections", max(cpu), at_most=0.01, unit="%")


def _others(results: Results) -> Iterator[Goal]:
    rows = rows_of(results, "scope")
    for work in dict.fromkeys(row["work"] for row in rows):
        ours, empty = (
            value(find(rows, tracer=name, work=work), "ns_per_run") for name in ("closetrace --pid", "empty program")
        )
        yield Goal(f"out of scope, of an empty program's time: {work}", ratio(ours, empty), at_most=2)


def _many(results: Results) -> Iterator[Goal]:
    rows = rows_of(results, "lingering")
    many, most = ([row for row in rows if row["sockets"] == size] for size in (10_000, 100_000))
    slowest = max((row["report_s"] for row in many), default=None)
    yield Goal("report of 10,000 lingering sockets, the slowest", slowest, at_most=2, unit="s")
    yield Goal("RSS at that, the most", max((row["rss_mb"] for row in many), default=None), at_most=150, unit="MB")
    longest = max((row["report_s"] for row in most), default=None)
    yield Goal("report of 100,000, of that of 10,000 (10 is linear)", ratio(longest, slowest), at_most=12)
    yield Goal("report of 100,000, the slowest", longest, at_most=12, unit="s")
    yield Goal("RSS at that, the most", max((row["rss_mb"] for row in most), default=None), at_most=400, unit="MB")
    left_out = sum(row["sockets"] - row["reported"] for row in (*rows, *rows_of(results, "budget")))
    yield Goal("lingering sockets not reported, with memory spent too", left_out, at_most=0)
    resting = max(row["cpu_at_rest"] for row in rows_of(results, "idle"))
    yield Goal("CPU with idle sockets tracked", resting, at_most=0.01, unit="%")


def _rest(results: Results) -> Iterator[Goal]:
    rows = rows_of(results, "starting")
    ours, naive = (value(find(rows, tracer=name), "start_s") for name in ("closetrace", "naive bcc"))
    first = value(find(rows, tracer="closetrace, its first start"), "start_s")
    yield Goal("start to attached, the first on a host", first, at_most=0.6, unit="s")
    yield Goal("start to attached, any later", ours, at_most=0.6, unit="s")
    yield Goal("any later start to attached, of the naive tracer's", ratio(ours, naive), at_most=0.5)
    ends = [value(find(rows, tracer=name), "stop_s") for name in ("closetrace", "naive bcc")]
    yield Goal("attached to detached, of the naive tracer's", ratio(*ends), at_most=0.5)
    rows = rows_of(results, "tail")
    costs = [
        value(find(rows, tracer=name), "cpu_s_per_million") for name in ("closetrace", "naive bcc, transitions only")
    ]
    yield Goal("`tail`: transitions per CPU second, of the naive tracer's", ratio(costs[1], costs[0]), at_least=3)
    wrong = [row["unaccounted"] for row in rows if str(row["tracer"]).startswith("closetrace")]
    yield Goal(
        "`tail`: transitions neither shown nor counted as lost",
        max((max(abs(one["low"]), abs(one["high"])) for one in wrong), default=None),
        at_most=0,
    )
