"""Rows of the tightest loop: one byte there and back in one thread, in C and in a JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from tests.benchmarks import tracers, works
from tests.benchmarks.effort import Effort
from tests.benchmarks.figures import Figures, Row, by_turns, hook_ns, say, uncounted, untraced_twice
from tests.benchmarks.tracers import Tracer


def touch(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """Ping-pong in one thread: ns of each hook run, and loss of throughput."""
    figures = Figures("tracer", "depth", "sockets")
    for running in by_turns("touch", effort.turns, untraced_twice(peers), effort):
        for depth, sockets in effort.calls:
            one = figures.at(running.tracer.name, depth, sockets)
            done = uncounted(running, partial(works.run, "touch", depth, sockets, effort.seconds))
            one["per_cpu_s"].append(done["calls_per_cpu_s"])
            hook_ns(running, one, partial(works.run, "touch", depth, sockets, effort.ns_seconds))
    figures.compare("per_cpu_s")
    return figures.rows()


def java(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """The same in one warm JVM, which runs on while the tracers change."""
    figures = Figures("tracer", "depth", "sockets")
    with works.ping_pong(max(sockets for _, sockets in effort.java_calls)) as machine:

        def run(depth: int, sockets: int, seconds: float) -> dict[str, Any]:
            machine.go(f"{depth} {sockets} {seconds}")
            return machine.hear()

        say("java: warming up")
        for depth, sockets in effort.java_calls * 2:
            run(depth, sockets, 1.0 if effort.turns > 1 else 0.5)
        for running in by_turns("java", effort.turns, untraced_twice(peers), effort):
            for depth, sockets in effort.java_calls:
                one = figures.at(running.tracer.name, depth, sockets)
                done = uncounted(running, partial(run, depth, sockets, effort.seconds * 0.6))
                one["per_cpu_s"].append(done["calls_per_cpu_s"])
                hook_ns(running, one, partial(run, depth, sockets, effort.ns_seconds))
    figures.compare("per_cpu_s")
    return figures.rows()


def stack_bytes(effort: Effort) -> list[Row]:
    """What --stack-bytes costs in time."""
    figures = Figures("tracer", "stack_bytes", "depth")
    for size in effort.stack_bytes:
        tracer = tracers.closetrace("--stack-bytes", str(size))
        for running in by_turns(f"stack-bytes {size}", max(1, effort.turns // 2), [tracer], effort):
            for depth in (40, 100):
                one = figures.at(tracer.name, size, depth)
                hook_ns(running, one, partial(works.run, "touch", depth, 1, effort.ns_seconds * 2))
    return figures.rows()


def untraced(seconds: float) -> Iterator[float]:
    """Repeat the same run without a tracer, to measure the machine's own noise."""
    while True:
        yield float(works.run("touch", 40, 1, seconds)["calls_per_cpu_s"])
