"""Rows with many sockets: lingering in CLOSE_WAIT, idle, and more than fit into the memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from tests.benchmarks import measure, tracers, works
from tests.benchmarks.effort import Effort
from tests.benchmarks.figures import Row, say
from tests.benchmarks.tracers import Running
from tests.benchmarks.works import Fleet

_LINGER_S = 2.0
# For each socket in the records' eighth of --memory. It is more than a record in bpf/record.h needs.
_RECORD_BYTES = 800
_DEFAULT_RECORDS = 20_000
_MEBI = 1 << 20


def _memory_for(sockets: int) -> tuple[str, ...]:
    """The option --memory, if the default has not a record for each socket."""
    if sockets <= _DEFAULT_RECORDS:
        return ()
    return ("--memory", str(sockets * 8 * _RECORD_BYTES // _MEBI + 1))


def lingering(effort: Effort) -> Iterator[Row]:
    """Time from the threshold (FIN plus --linger) to the report of all sockets. It is requested at that moment."""
    begun = time.monotonic()
    for sockets, paths in effort.lingering:
        if time.monotonic() - begun > effort.row_limit_s:
            say(f"lingering: no time for {sockets} sockets from {paths} paths")
            continue
        yield _linger_once(sockets, paths, *_memory_for(sockets))


def budget(effort: Effort) -> Iterator[Row]:
    """Too many sockets for the smallest --memory: records stay right, missing stacks and sites are counted."""
    yield _linger_once(max(500, min(3000, effort.idle // 10)), 10, "--memory", "4")


def _watch(fleet: Fleet, *options: str) -> tuple[str, ...]:
    """Options that watch the fleet's clients."""
    return (*(word for pid in fleet.pids for word in ("--pid", str(pid))), *options)


def _linger_once(sockets: int, paths: int, *options: str) -> Row:
    say(f"lingering: {sockets} sockets from {paths} paths {' '.join(options)}")
    with works.fleet(sockets, paths) as fleet:
        tracer = tracers.closetrace(*_watch(fleet, "--linger", str(_LINGER_S), "--json", *options))
        with tracers.start(tracer) as running:
            fleet.make()
            begun_cpu = running.cpu_s()
            hung_up, late = fleet.hang_up()
            time.sleep(max(0.0, hung_up + _LINGER_S + 0.1 - time.monotonic()))
            ended = running.stop()
            ready = time.monotonic()
    if ended.code:
        raise RuntimeError(f"closetrace ended with {ended.code}: {ended.err.strip()[-400:]}")
    report = json.loads(ended.out)
    return {
        "sockets": sockets,
        "paths": paths,
        "processes": len(fleet.pids),
        "memory_option": options[-1] if options else "default",
        "report_s": ready - hung_up - _LINGER_S,
        "cpu_s": ended.cpu_s - begun_cpu,
        "rss_mb": ended.peak_rss / 1e6,
        "json_mb": len(ended.out) / 1e6,
        "late_fins": late,
        "reported": sum(site["count"] for site in report["sites"]),
        "sites": len(report["sites"]),
        "with_stack": sum(site["count"] for site in report["sites"] if site["stack"]),
        "losses": report["losses"],
    }


def idle(effort: Effort) -> Iterator[Row]:
    """Established connections that nobody uses: memory, and CPU at rest."""
    memory = _memory_for(effort.idle)
    say(f"idle: {effort.idle} sockets {' '.join(memory)}")
    with works.fleet(effort.idle, 10) as fleet, tracers.start(tracers.closetrace(*_watch(fleet, *memory))) as running:
        fleet.make()
        assert running.pid is not None
        settling = time.monotonic()
        cpu = _settled_cpu(running, effort.seconds * 8)
        row: Row = {
            "sockets": effort.idle,
            "memory_option": memory[-1] if memory else "default",
            "kernel_maps_mb": measure.map_bytes(running.pid) / 1e6,
            "rss_mb": measure.rss_bytes(running.pid) / 1e6,
            "cpu_at_rest": cpu,
            "settled_s": time.monotonic() - settling,
        }
        row["stop_s"] = running.stop().stop_s
    yield row


def _settled_cpu(running: Running, seconds: float, spans: int = 25) -> float:
    """CPU share over the last of up to ``spans`` times ``seconds``, because boxes are drained first."""
    share = 1.0
    for _ in range(spans):
        cpu = running.cpu_s()
        time.sleep(seconds)
        before, share = share, (running.cpu_s() - cpu) / seconds
        if share < 0.01 and share > 0.5 * before:
            break
    return share
