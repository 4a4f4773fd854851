"""The rows of the benchmark: each runs its peers by turns and gives plain figures for tables.py and bench.json."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import measure
import tracers
import works
from tracers import Tracer

Row = dict[str, Any]
Figures = dict[tuple[Any, ...], dict[str, list[float]]]


@dataclass(frozen=True)
class Effort:
    """How much: repetitions of each A B A B turn, seconds of each run, and the sizes of the large rows."""

    turns: int
    seconds: float
    lingering: tuple[tuple[int, int], ...]
    idle: int
    depths: tuple[int, ...] = (20, 40, 100)


SMOKE = Effort(turns=1, seconds=0.4, lingering=((300, 10),), idle=500, depths=(40,))
FULL = Effort(
    turns=5,
    seconds=1.0,
    lingering=((1000, 1), (1000, 10), (1000, 100), (10000, 1), (10000, 10), (10000, 100), (100000, 1), (100000, 100)),
    idle=100000,
)


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"[{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f}] {text}", file=sys.stderr, flush=True)


def _table(figures: Figures, names: Sequence[str]) -> list[Row]:
    rows = []
    for key, columns in figures.items():
        row = dict(zip(names, key))
        row.update({column: measure.spread(values) for column, values in columns.items() if values})
        rows.append(row)
    return rows


def _ratios(figures: Figures, column: str) -> None:
    """Each value against the untraced one of the same turn; by CPU time, so that other load on the machine is out."""
    for key, columns in figures.items():
        base = figures[("nothing", *key[1:])][column]
        columns["share_of_untraced"] = [mine / other for mine, other in zip(columns[column], base) if other]


def touch(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """Ping-pong in one thread: ns of each hook run, and what the program loses."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for turn in range(effort.turns):
        for tracer in peers:
            say(f"touch, turn {turn + 1} of {effort.turns}: {tracer.name}")
            with tracers.start(tracer) as running:
                for depth in effort.depths:
                    for sockets in (1, 1000):
                        one = figures[tracer.name, depth, sockets]
                        done = works.run("touch", depth, sockets, effort.seconds)
                        one["calls_per_s"].append(done["calls_per_s"])
                        one["per_cpu_s"].append(done["calls_per_cpu_s"])
                        _hook_ns(running, one, partial(works.run, "touch", depth, sockets, effort.seconds / 2))
                running.stop()
    _ratios(figures, "per_cpu_s")
    return _table(figures, ("tracer", "depth", "sockets"))


def _hook_ns(running: tracers.Running, columns: dict[str, list[float]], work: Callable[[], object]) -> None:
    if running.pid is None:
        return
    with measure.bpf_stats():
        before = running.runs()
        work()
        columns["ns_per_run"].append((running.runs() - before).ns_per_run)


def java(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """The same in a JVM that is warm: it stays while the tracers come and go."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with contextlib.ExitStack() as stack:
        machines = {}
        for depth in effort.depths:
            words = ("java", "-cp", str(works.build_java()), "PingPong", str(depth))
            machines[depth] = stack.enter_context(works.conversation(*words))
        for machine in machines.values():
            machine.hear()

        def second(depth: int) -> float:
            machines[depth].go()
            return float(machines[depth].hear()["calls_per_s"])

        for turn in range(effort.turns):
            for tracer in peers:
                say(f"java, turn {turn + 1} of {effort.turns}: {tracer.name}")
                with tracers.start(tracer) as running:
                    for depth in effort.depths:
                        one = figures[tracer.name, depth]
                        one["calls_per_s"].append(second(depth))
                        _hook_ns(running, one, partial(second, depth))
                    running.stop()
    _ratios(figures, "calls_per_s")
    return _table(figures, ("tracer", "depth"))


def churn(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """Short connections to nginx as fast as they go."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with works.nginx() as server:
        for turn in range(effort.turns):
            for tracer in peers:
                say(f"churn, turn {turn + 1} of {effort.turns}: {tracer.name}")
                with tracers.start(tracer) as running:
                    _churn_once(figures[(tracer.name,)], running, server, effort.seconds * 2)
                    running.stop()
    _ratios(figures, "per_cpu_s")
    return _table(figures, ("tracer",))


def _churn_once(
    columns: dict[str, list[float]], running: tracers.Running, server: works.Server, seconds: float
) -> None:
    before, cpu, served = time.monotonic(), running.cpu_s(), server.cpu_s()
    done = works.run("churn", server.port, seconds)
    took = time.monotonic() - before
    columns["per_s"].append(done["connections_per_s"])
    columns["per_cpu_s"].append(done["done"] / (done["cpu_s"] + server.cpu_s() - served))
    if running.pid is None:
        return
    columns["tracer_cpu"].append((running.cpu_s() - cpu) / took)
    with measure.bpf_stats():
        counted = running.runs()
        connections = works.run("churn", server.port, seconds / 2)["done"]
        ran = running.runs() - counted
    columns["ns_per_run"].append(ran.ns_per_run)
    columns["kernel_us_per_connection"].append(ran.ns / 1000 / max(1, connections))


def rates(effort: Effort, peers: Sequence[Tracer], base: int = 250) -> list[Row]:
    """User space CPU of the tracers at 1, 4 and 16 times a rate."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with works.nginx() as server:
        for turn in range(max(1, effort.turns // 2)):
            for tracer in peers:
                say(f"rates, turn {turn + 1}: {tracer.name}")
                with tracers.start(tracer) as running:
                    for factor in (1, 4, 16):
                        before, cpu = time.monotonic(), running.cpu_s()
                        works.run("churn", server.port, max(2.0, effort.seconds * 5), base * factor)
                        share = (running.cpu_s() - cpu) / (time.monotonic() - before)
                        figures[tracer.name, base * factor]["tracer_cpu"].append(share)
                    running.stop()
    return _table(figures, ("tracer", "connections_per_s"))


def scope(effort: Effort) -> list[Row]:
    """Traffic of others while one idle process is traced."""
    other = subprocess.Popen(["sleep", "100000"])
    try:
        peers = [tracers.NOTHING, tracers.EMPTY, tracers.closetrace("--pid", str(other.pid), name="closetrace --pid")]
        figures: Figures = defaultdict(lambda: defaultdict(list))
        with works.nginx() as server:
            for turn in range(effort.turns):
                for tracer in peers:
                    say(f"scope, turn {turn + 1} of {effort.turns}: {tracer.name}")
                    with tracers.start(tracer) as running:
                        _churn_once(figures[tracer.name, "churn"], running, server, effort.seconds * 2)
                        for sockets in (1, 1000):
                            one = figures[tracer.name, f"touch, {sockets}"]
                            done = works.run("touch", 20, sockets, effort.seconds)
                            one["per_s"].append(done["calls_per_s"])
                            one["per_cpu_s"].append(done["calls_per_cpu_s"])
                            _hook_ns(running, one, partial(works.run, "touch", 20, sockets, effort.seconds / 2))
                        running.stop()
    finally:
        other.kill()
        other.wait()
    _ratios(figures, "per_cpu_s")
    return _table(figures, ("tracer", "work"))


def lingering(effort: Effort) -> list[Row]:
    """From the threshold (FIN plus --linger) to the report of all sockets, asked for at that moment."""
    sizes = dict.fromkeys((_possible(sockets), paths) for sockets, paths in effort.lingering)
    return [_linger_once(sockets, paths) for sockets, paths in sizes]


def _possible(sockets: int) -> int:
    """As many as one process may have open here, where not even root may raise the limit."""
    return min(sockets, max(resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100, 900))


def _linger_once(sockets: int, paths: int, *options: str) -> Row:
    say(f"lingering: {sockets} sockets from {paths} paths")
    linger_s = 2.0
    with works.linger(sockets, paths) as program:
        # The program connects only once it is traced: stopped until then.
        os.kill(program.pid, signal.SIGSTOP)
        tracer = tracers.closetrace("--pid", str(program.pid), "--linger", str(linger_s), "--json", *options)
        with tracers.start(tracer) as running:
            begun_cpu = running.cpu_s()
            os.kill(program.pid, signal.SIGCONT)
            program.hear()
            program.go()
            hung_up = program.hear()["at"]
            time.sleep(max(0.0, hung_up + linger_s + 0.1 - time.monotonic()))
            ended = running.stop()
            ready = time.monotonic()
    report = json.loads(ended.out)
    return {
        "sockets": sockets,
        "paths": paths,
        "report_s": ready - hung_up - linger_s,
        "cpu_s": ended.cpu_s - begun_cpu,
        "rss_mb": ended.peak_rss / 1e6,
        "json_mb": len(ended.out) / 1e6,
        "reported": sum(site["count"] for site in report["sites"]),
        "sites": len(report["sites"]),
        "with_stack": sum(site["count"] for site in report["sites"] if site["stack"]),
        "losses": report["losses"],
    }


def budget(effort: Effort) -> list[Row]:
    """The least memory, spent: records stay right, stacks are counted as missing, sites still counted."""
    sockets = max(500, min(3000, effort.idle // 10))
    return [_linger_once(sockets, 10, "--memory", "4")]


def idle(effort: Effort) -> list[Row]:
    """Established connections that nobody touches: memory, and CPU at rest."""
    sockets = _possible(effort.idle)
    memory = str(max(16, sockets * 8 * 800 // 1_000_000 + 1))
    say(f"idle: {sockets} sockets, --memory {memory}")
    with works.linger(sockets, 10) as program:
        os.kill(program.pid, signal.SIGSTOP)
        tracer = tracers.closetrace("--pid", str(program.pid), "--memory", memory)
        with tracers.start(tracer) as running:
            os.kill(program.pid, signal.SIGCONT)
            program.hear()
            assert running.pid is not None
            settle = time.monotonic()
            cpu = _settled_cpu(running, effort.seconds * 5)
            row: Row = {
                "sockets": sockets,
                "memory_option_mb": int(memory),
                "kernel_maps_mb": measure.map_bytes(running.pid) / 1e6,
                "rss_mb": measure.rss_bytes(running.pid) / 1e6,
                "cpu_at_rest": cpu,
                "settled_s": time.monotonic() - settle,
            }
            ended = running.stop()
    row["stop_s"] = ended.stop_s
    return [row]


def _settled_cpu(running: tracers.Running, seconds: float) -> float:
    """CPU share over the last of up to 12 spans: boxes are drained first."""
    share = 1.0
    for _ in range(12):
        cpu = running.cpu_s()
        time.sleep(seconds)
        before, share = share, (running.cpu_s() - cpu) / seconds
        if share > 0.5 * before and share < 0.02:
            break
    return share


def starting(effort: Effort) -> list[Row]:
    """Process start to attached, and SIGINT to its end."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for _ in range(effort.turns * 2):
        for tracer in (tracers.NAIVE, tracers.closetrace(), tracers.closetrace("--pid", "1", name="closetrace --pid")):
            with tracers.start(tracer) as running:
                figures[(tracer.name,)]["start_s"].append(running.start_s)
                figures[(tracer.name,)]["start_cpu_s"].append(running.cpu_s())
                figures[(tracer.name,)]["stop_s"].append(running.stop().stop_s)
    say("starting: done")
    return _table(figures, ("tracer",))


def tail(effort: Effort) -> list[Row]:
    """Transitions to a file at full churn: CPU for a million, and what was lost where."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    ours = (tracers.closetrace("tail"), tracers.closetrace("tail", "--json", name="tail --json"))
    peers = (tracers.NAIVE, tracers.NAIVE_TAIL, *ours)
    with works.nginx() as server:
        for turn in range(effort.turns):
            for tracer in peers:
                say(f"tail, turn {turn + 1} of {effort.turns}: {tracer.name}")
                with tracers.start(tracer) as running:
                    cpu = running.cpu_s()
                    works.run("churn", server.port, effort.seconds * 3)
                    time.sleep(0.5)
                    used = running.cpu_s() - cpu
                    shown, lost = _tail_counts(tracer, running.stop())
                    one = figures[(tracer.name,)]
                    one["transitions_per_s"].append(shown / (effort.seconds * 3))
                    one["lost"].append(lost)
                    one["cpu_s_per_million"].append(used / max(1, shown) * 1e6)
    return _table(figures, ("tracer",))


def _tail_counts(tracer: Tracer, ended: tracers.Ended) -> tuple[int, int]:
    lines = ended.out.decode(errors="replace").splitlines()
    if tracer in (tracers.NAIVE, tracers.NAIVE_TAIL):
        counts = json.loads(ended.err.splitlines()[-1])
        return counts["printed"], counts["lost"]
    if "--json" in tracer.command:
        words = [json.loads(line) for line in lines]
        return (
            sum(1 for word in words if word["event"] == "transition"),
            sum(word["transitions"] for word in words if word["event"] == "loss"),
        )
    lost = sum(int(line.split()[1]) for line in lines if line.startswith("lost "))
    return len(lines) - 1, lost


def untraced(seconds: float) -> Iterator[float]:
    """The machine's own noise: the same run without any tracer, again and again."""
    while True:
        yield float(works.run("touch", 40, 1, seconds)["calls_per_cpu_s"])
