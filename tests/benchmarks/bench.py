"""``make bench``: measures all peers by turns in one run. Tables go to stdout, figures to build/bench.json.

``--markdown`` measures nothing. It writes the tables of docs/overhead.md from the figures of the last runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Optional

from tests.benchmarks import (
    calls,
    document,
    effort,
    figures,
    guest_peers,
    interpreted,
    measure,
    scale,
    starting,
    tables,
    tracers,
    traffic,
)
from tests.benchmarks.figures import Row

BUILD = tracers.REPOSITORY / "build"
Rows = dict[str, Callable[[], Iterable[Row]]]


def _libbpf_tools() -> Optional[Path]:
    script = Path(__file__).resolve().parent / "libbpf_tools.sh"
    done = subprocess.run([str(script), str(BUILD / "libbpf-tools")], stdout=subprocess.PIPE, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def _host_rows(size: effort.Effort) -> Rows:
    """All rows on this machine."""
    smoke = size is effort.SMOKE
    tools = None if smoke else _libbpf_tools()
    if tools is None:
        figures.MISSING["libbpf-tools"] = "not asked for" if smoke else "Debian 13's package could not be downloaded"
    ours = tracers.closetrace()
    stacks = [tracers.EMPTY, tracers.NAIVE, tracers.BPFTRACE, ours]
    states = [tracers.libbpf_tool(name, tools) for name in ("tcpstates", "tcplife")] if tools else []
    return {
        "touch": lambda: calls.touch(size, stacks),
        "java": lambda: calls.java(size, stacks),
        "interpreted": lambda: interpreted.interpreted(size, [] if smoke else [tracers.BPFTRACE]),
        "churn": lambda: traffic.churn(size, [*states, *stacks]),
        "loss": lambda: traffic.loss(size, [ours, tracers.BPFTRACE]),
        "rates": lambda: traffic.rates(size, [tracers.NAIVE, ours]),
        "scope": lambda: traffic.scope(size),
        "starting": lambda: starting.starting(size),
        "tail": lambda: traffic.tail(size),
        "memory": lambda: starting.memory(size),
        "stack_bytes": lambda: calls.stack_bytes(size),
        "budget": lambda: scale.budget(size),
        "lingering": lambda: scale.lingering(size),
        "idle": lambda: scale.idle(size),
    }


def _guest_rows(size: effort.Effort) -> Rows:
    """The rows that need only ratios, with the peers that need kprobes or kernel headers."""
    stacks = guest_peers.stacks()
    return {
        "touch": lambda: calls.touch(size, stacks),
        "churn": lambda: traffic.churn(size, [*stacks, *guest_peers.states()]),
    }


def _machine() -> dict[str, Any]:
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg(), "at": time.strftime("%F %T")}


def _noise(size: effort.Effort) -> dict[str, float]:
    runs = calls.untraced(size.seconds)
    return measure.spread([next(runs) for _ in range(4 * size.turns)])


def _measure(name: str, row: Callable[[], Iterable[Row]], results: dict[str, Any]) -> None:
    """Measure one row. If it fails, keep what it measured and the reason, and go on with the others."""
    begun, rows = time.monotonic(), results["rows"].setdefault(name, [])
    try:
        for one in row():
            rows.append(one)
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        results["failed"][name] = str(error)
        figures.say(f"{name} failed: {error}")
    results["seconds"][name] = round(time.monotonic() - begun, 1)
    print(f"\n## {name} ({results['seconds'][name]:.0f} s)\n\n{tables.table(rows)}", flush=True)


def _run(asked: argparse.Namespace) -> int:
    size = effort.SMOKE if asked.smoke else effort.GUEST if asked.guest else effort.FULL
    if asked.turns:
        size = dataclasses.replace(size, turns=asked.turns)
    results: dict[str, Any] = {"machine": _machine(), "effort": dataclasses.asdict(size)}
    rows = (_guest_rows if asked.guest else _host_rows)(size)
    results.update(noise=_noise(size), missing_peers=figures.MISSING, failed={}, seconds={}, rows={})
    for name in asked.only or rows:
        _measure(name, rows[name], results)
        results["counted_meanwhile"] = sorted(figures.COUNTED)
        asked.output.parent.mkdir(exist_ok=True)
        asked.output.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{document.conditions(results)}")
    for name, reason in [*figures.MISSING.items(), *results["failed"].items()]:
        print(f"not run: {name}: {reason}")
    return 1 if results["failed"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="short, to see that it works")
    parser.add_argument(
        "--guest", action="store_true", help="measure the rows and peers of make bench-vm on this machine"
    )
    parser.add_argument("--only", action="append", metavar="ROW", help="only this row; may be repeated")
    parser.add_argument("--turns", type=int, help="repetitions of each")
    parser.add_argument("--output", type=Path, default=BUILD / "bench.json")
    parser.add_argument("--markdown", action="store_true", help="only write docs/overhead.md's tables")
    asked = parser.parse_args()
    if asked.markdown:
        document.renew(BUILD)
        return 0
    if os.geteuid() != 0:
        print("the benchmark loads BPF programs: run it as root", file=sys.stderr)
        return 1
    return _run(asked)


if __name__ == "__main__":
    sys.exit(main())
