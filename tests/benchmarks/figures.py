"""What all rows use: peers by turns, throughput and run times measured separately, spreads."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

from tests.benchmarks import measure, tracers
from tests.benchmarks.effort import Effort
from tests.benchmarks.tracers import Running, Tracer

Row = dict[str, Any]
Columns = dict[str, list[float]]
Key = tuple[Any, ...]

MISSING: dict[str, str] = {}
"""Peers that do not start here, and why."""

_GRACE_S = 60.0
"""A peer has at least this time to start, even if the row is late."""

COUNTED: set[str] = set()
"""Tracers whose run times another process counted while throughput was measured. Those figures are too low."""


def say(text: str) -> None:
    """Print progress on stderr."""
    print(f"[{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f}] {text}", file=sys.stderr, flush=True)


def by_turns(row: str, turns: int, peers: Sequence[Tracer], effort: Effort) -> Iterator[Running]:
    """Yield each peer attached, A B A B ... A peer is ended when the next one is requested.

    No later turn begins that would end after ``effort.row_limit_s``. In the first turn no peer begins after it, except
    the untraced run that ends the turn. A peer that does not start here is left out from then on. Raises RuntimeError
    if closetrace does not start.
    """
    begun, left = time.monotonic(), list(peers)
    for turn in range(turns):
        if turn and (time.monotonic() - begun) * (turn + 1) > effort.row_limit_s * turn:
            say(f"{row}: no time for more turns")
            return
        for tracer in tuple(left):
            say(f"{row}, turn {turn + 1} of {turns}: {tracer.name}")
            left_s = effort.row_limit_s + begun - time.monotonic()
            late = not turn and left_s < 0 and tracer.command
            limited = dataclasses.replace(tracer, start_limit_s=min(tracer.start_limit_s, max(left_s, 0) + _GRACE_S))
            running = _attached(limited, f"no time for it in {row}" if late else None)
            if running is None:
                left.remove(tracer)
                continue
            running.tracer = tracer
            with running:
                yield running
                running.stop()


def _attached(tracer: Tracer, obstacle: Optional[str]) -> Optional[Running]:
    """Start a peer. Return None, and put the reason into MISSING, if it cannot start."""
    try:
        if obstacle is None:
            return tracers.start(tracer)
    except (RuntimeError, OSError) as error:
        if tracer.name.startswith("closetrace"):
            raise
        obstacle = str(error)
    MISSING[tracer.name] = obstacle
    return None


def untraced_twice(peers: Sequence[Tracer]) -> list[Tracer]:
    """The peers with an untraced run before and after them. These two show the noise of the turn."""
    return [tracers.NOTHING, *peers, tracers.AGAIN]


class Figures:
    """The values of all turns, by tracer and the other parts of a row's key."""

    def __init__(self, *names: str) -> None:
        """``names`` are the names of the key's parts. The first is ``tracer``."""
        self._names = names
        self._columns: dict[Key, Columns] = defaultdict(lambda: defaultdict(list))

    def at(self, *key: object) -> Columns:
        """The columns of one row."""
        return self._columns[key]

    def compare(self, column: str) -> None:
        """Compute each value as a share of the mean of the untraced runs before and after it in the same turn.

        The second untraced run is compared with the first: that is the noise.
        """
        for key, columns in self._columns.items():
            first = self._columns[(tracers.NOTHING.name, *key[1:])][column]
            again = self._columns[(tracers.AGAIN.name, *key[1:])][column]
            base = first if key[0] == tracers.AGAIN.name else [(a + b) / 2 for a, b in zip(first, again)]
            if key[0] != tracers.NOTHING.name:
                columns["share_of_untraced"] = [mine / other for mine, other in zip(columns[column], base) if other]

    def rows(self) -> list[Row]:
        """One row for each key, with the spread of each column."""
        rows = []
        for key, columns in self._columns.items():
            row: Row = dict(zip(self._names, key))
            row.update({column: measure.spread(values) for column, values in columns.items() if values})
            rows.append(row)
        return rows


def uncounted(running: Running, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run ``work`` at full speed. Note if another process counted run times, which costs each hook some ns."""
    before = running.runs().count
    done = work()
    if running.runs().count != before:
        COUNTED.add(running.tracer.name)
    return done


def hook_ns(running: Running, columns: Columns, work: Callable[[], object]) -> measure.Runs:
    """Run ``work`` while run times are counted, for ``ns_per_run``."""
    if running.pid is None:
        return measure.Runs(0, 0)
    with measure.bpf_stats():
        before = running.runs()
        work()
        ran = running.runs() - before
    if ran.count:
        columns["ns_per_run"].append(ran.ns_per_run)
    return ran
