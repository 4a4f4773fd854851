"""Rows of the start and the end of a trace, and of the memory that it takes at the start."""

from __future__ import annotations

from tests.benchmarks import measure, tracers
from tests.benchmarks.effort import Effort
from tests.benchmarks.figures import Figures, Row, by_turns, say
from tracer.kernel.source import Sizes

_MEBI = 1 << 20


def starting(effort: Effort) -> list[Row]:
    """From exec to the line that says that it traces, and from SIGINT to the end, when all is detached."""
    figures = Figures("tracer")
    ours = (tracers.first_start(), tracers.closetrace(), tracers.closetrace("--pid", "1", name="closetrace --pid"))
    for running in by_turns("starting", max(1, effort.turns * 2 - 1), (tracers.NAIVE, *ours), effort):
        one = figures.at(running.tracer.name)
        one["start_s"].append(running.start_s)
        one["start_cpu_s"].append(running.cpu_s())
        one["stop_s"].append(running.stop().stop_s)
    return figures.rows()


def memory(effort: Effort) -> list[Row]:
    """What each value of --memory gives, and what it takes."""
    rows = []
    for megabytes in effort.memories_mb:
        say(f"memory: {megabytes}")
        sizes = Sizes(megabytes * _MEBI)
        with tracers.start(tracers.closetrace("--memory", str(megabytes))) as running:
            assert running.pid is not None
            rows.append(
                {
                    "memory_mb": megabytes,
                    "records": sizes.records,
                    "boxes": sizes.boxes,
                    "small_boxes": sizes.small_boxes,
                    "kernel_maps_mb": measure.map_bytes(running.pid) / 1e6,
                    "rss_mb": measure.rss_bytes(running.pid) / 1e6,
                }
            )
            running.stop()
    return rows
