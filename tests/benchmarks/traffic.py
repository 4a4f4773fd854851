"""Rows of short connections to a real server: loss of throughput, user space CPU, cost of traffic out of scope."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Optional

from tests.benchmarks import measure, tracers, works
from tests.benchmarks.effort import Effort
from tests.benchmarks.figures import Columns, Figures, Row, by_turns, hook_ns, uncounted, untraced_twice
from tests.benchmarks.tracers import Ended, Running, Tracer

TRANSITIONS = 9
"""Transitions of one connection whose client closes first (RFC 9293, figure 5). Client: to SYN_SENT, ESTABLISHED,
FIN_WAIT1, FIN_WAIT2, CLOSE (TIME_WAIT has no socket). Server: to ESTABLISHED, CLOSE_WAIT, LAST_ACK, CLOSE. The naive
tracer shows one more, because the server's socket begins in SYN_RECV.
"""


def churn(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """Short connections to nginx, as fast as possible."""
    figures = Figures("tracer")
    with works.nginx() as server:
        for running in by_turns("churn", effort.turns, untraced_twice(peers), effort):
            _churn_once(figures.at(running.tracer.name), running, server, effort)
    figures.compare("per_cpu_s")
    return figures.rows()


def loss(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """CPU time that a short connection takes more with each peer, by many turns.

    Each run is compared with the mean of the two untraced runs right before and after it. "Again" compares each
    untraced run with the one before: that is the noise.
    """
    took: dict[str, list[float]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    enough = dataclasses.replace(effort, row_limit_s=2 * effort.row_limit_s)
    with works.nginx() as server:
        run = partial(_churned, server, effort.seconds)
        run()
        before = _us_each(run())
        for running in by_turns("loss", effort.pairs, peers, enough):
            with_it = _us_each(uncounted(running, run))
            running.stop()
            after = _us_each(run())
            pairs = ((running.tracer.name, with_it, (before + after) / 2), (tracers.AGAIN.name, after, before))
            for name, mine, without in pairs:
                took[name].append(mine - without)
                shares[name].append(without / mine)
            before = after
    return [
        {"tracer": name, "us_more": measure.middle(took[name]), "share_of_untraced": measure.middle(shares[name])}
        for name in took
    ]


def _churned(server: works.Server, seconds: float) -> dict[str, Any]:
    """What the client says, with ``both_cpu_s``: CPU seconds of client and server."""
    served = server.cpu_s()
    done = server.churn(seconds)
    return {**done, "both_cpu_s": done["cpu_s"] + server.cpu_s() - served}


def _us_each(done: dict[str, Any]) -> float:
    """us of CPU time for one connection."""
    return float(done["both_cpu_s"] / done["done"] * 1e6)


def _churn_once(columns: Columns, running: Running, server: works.Server, effort: Effort) -> None:
    before, cpu = time.monotonic(), running.cpu_s()
    done = uncounted(running, partial(_churned, server, effort.seconds * 2))
    took = time.monotonic() - before
    columns["per_s"].append(done["connections_per_s"])
    columns["per_cpu_s"].append(done["done"] / done["both_cpu_s"])
    if running.pid is None:
        return
    columns["tracer_cpu"].append((running.cpu_s() - cpu) / took)
    connections = []
    ran = hook_ns(running, columns, lambda: connections.append(server.churn(effort.seconds)["done"]))
    columns["kernel_us_per_connection"].append(ran.ns / 1000 / max(1, connections[0]))


def rates(effort: Effort, peers: Sequence[Tracer], base: int = 250) -> list[Row]:
    """User space CPU of the tracers at 1, 4 and 16 times ``base`` connections a second."""
    figures = Figures("tracer", "connections_per_s")
    with works.nginx() as server:
        for running in by_turns("rates", max(1, effort.turns // 2), peers, effort):
            for factor in (1, 4, 16):
                before, cpu = time.monotonic(), running.cpu_s()
                server.churn(effort.seconds * 5, base * factor)
                share = (running.cpu_s() - cpu) / (time.monotonic() - before)
                figures.at(running.tracer.name, base * factor)["tracer_cpu"].append(share)
    return figures.rows()


def scope(effort: Effort) -> list[Row]:
    """Traffic of other processes while one idle process is traced."""
    figures = Figures("tracer", "work")
    other = subprocess.Popen(["sleep", "100000"])
    try:
        ours = tracers.closetrace("--pid", str(other.pid), name="closetrace --pid")
        with works.nginx() as server:
            for running in by_turns("scope", effort.turns, untraced_twice([tracers.EMPTY, ours]), effort):
                _churn_once(figures.at(running.tracer.name, "connections"), running, server, effort)
                for sockets in (1, 1000):
                    work = f"calls, {'one socket' if sockets == 1 else f'{sockets} sockets in turn'}"
                    one = figures.at(running.tracer.name, work)
                    done = uncounted(running, partial(works.run, "touch", 20, sockets, effort.seconds))
                    one["per_cpu_s"].append(done["calls_per_cpu_s"])
                    hook_ns(running, one, partial(works.run, "touch", 20, sockets, effort.ns_seconds))
    finally:
        other.kill()
        other.wait()
    figures.compare("per_cpu_s")
    return figures.rows()


def tail(effort: Effort) -> list[Row]:
    """Transitions to a file at full speed: CPU for a million, and whether each is shown or counted as lost.

    The work has its own network namespace. So `tail --netns` sees only its connections, and what it shows and counts as
    lost can be compared with their number.
    """
    figures = Figures("tracer")
    with works.nginx() as server:
        only = ("--netns", str(server.pid))
        ours = (
            tracers.closetrace("tail", *only),
            tracers.closetrace("tail", "--json", *only, name="closetrace --json"),
        )
        for running in by_turns("tail", effort.turns, (tracers.NAIVE, tracers.NAIVE_TAIL, *ours), effort):
            cpu = running.cpu_s()
            done = server.churn(effort.seconds * 3)
            time.sleep(0.5)
            used = running.cpu_s() - cpu
            counts = _tail_counts(running.tracer, running.stop())
            transitions = TRANSITIONS * done["done"]
            produced = transitions if counts.produced is None else counts.produced
            one = figures.at(running.tracer.name)
            one["transitions_per_s"].append(transitions / (effort.seconds * 3))
            one["cpu_s_per_million"].append(used / max(1, counts.printed) * 1e6)
            one["produced"].append(produced)
            one["shown"].append(counts.shown)
            one["lost"].append(counts.lost)
            one["unaccounted"].append(produced - counts.shown - counts.lost)
    return figures.rows()


@dataclass(frozen=True)
class _Counts:
    """``printed``: transitions. ``shown``, ``lost``: events. ``produced``: events, if the tracer counts them."""

    printed: int
    shown: int
    lost: int
    produced: Optional[int] = None


def _tail_counts(tracer: Tracer, ended: Ended) -> _Counts:
    if tracer in (tracers.NAIVE, tracers.NAIVE_TAIL):
        said = json.loads(ended.err.splitlines()[-1])
        return _Counts(said["printed"], said["shown"], said["lost"], said["produced"])
    read = _read_json if "--json" in tracer.command else _read_text
    shown, lost, totals = read(ended.out.decode(errors="replace").splitlines())
    if totals != (shown, lost):
        raise RuntimeError(f"{tracer.name} says at its end {totals}, but its lines are of {shown} shown, {lost} lost")
    return _Counts(shown, shown, lost)


def _read_json(lines: Sequence[str]) -> tuple[int, int, tuple[int, int]]:
    """Transitions, losses by the lines of losses, and both numbers by the last line."""
    words = [json.loads(line) for line in lines]
    shown = sum(1 for word in words if word["event"] == "transition")
    lost = sum(word["transitions"] for word in words if word["event"] == "loss")
    return shown, lost, (words[-1].get("transitions", -1), words[-1].get("lost", -1))


def _read_text(lines: Sequence[str]) -> tuple[int, int, tuple[int, int]]:
    """As :func:`_read_json`; the first line is the header."""
    shown = sum(1 for line in lines[1:] if " -> " in line)
    lost = sum(_figure(found[1]) for line in lines if (found := re.match(r"-- ([\d,]+) transitions? lost --", line)))
    total = re.match(r"-- ([\d,]+) transitions? shown, ([\d,]+) lost", lines[-1])
    return shown, lost, (_figure(total[1]), _figure(total[2])) if total else (-1, -1)


def _figure(text: str) -> int:
    return int(text.replace(",", ""))
