"""``make bench``: every peer by turns in one run; tables on stdout, figures in build/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import measure
import rows
import tables
import tracers

REPOSITORY = tracers.REPOSITORY
_NAMES = ("touch", "java", "churn", "rates", "scope", "lingering", "budget", "idle", "starting", "tail")


def _libbpf_tools() -> Optional[Path]:
    script = Path(__file__).resolve().parent / "libbpf_tools.sh"
    done = subprocess.run(
        [str(script), str(REPOSITORY / "build/libbpf-tools")], stdout=subprocess.PIPE, text=True, check=False
    )
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def _noise(effort: rows.Effort) -> dict[str, float]:
    runs = rows.untraced(effort.seconds)
    return measure.spread([next(runs) for _ in range(2 * effort.turns)])


def _machine() -> dict[str, Any]:
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg(), "at": time.strftime("%F %T")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="short, to see that it works")
    parser.add_argument("--only", choices=_NAMES, action="append", help="these rows alone; repeatable")
    parser.add_argument("--turns", type=int, help="repetitions of each")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build/bench.json")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        print("the benchmark loads BPF programs: run it as root", file=sys.stderr)
        return 1
    effort = rows.SMOKE if asked.smoke else rows.FULL
    if asked.turns:
        effort = rows.Effort(asked.turns, effort.seconds, effort.lingering, effort.idle, effort.depths)
    tools = None if asked.smoke else _libbpf_tools()
    ours = tracers.closetrace()
    stacks, missing = tracers.working([tracers.EMPTY, tracers.NAIVE, tracers.BPFTRACE])
    states, more = tracers.working([tracers.libbpf_tool(name, tools) for name in ("tcpstates", "tcplife")])
    missing.update(more)
    if tools is None:
        missing["libbpf-tools"] = "not asked for" if asked.smoke else "Debian 13's package could not be had"
    work: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "touch": lambda: rows.touch(effort, [tracers.NOTHING, *stacks, ours]),
        "java": lambda: rows.java(effort, [tracers.NOTHING, *stacks, ours]),
        "churn": lambda: rows.churn(effort, [tracers.NOTHING, *stacks, *states, ours]),
        "rates": lambda: rows.rates(effort, [tracers.NAIVE, ours]),
        "scope": lambda: rows.scope(effort),
        "lingering": lambda: rows.lingering(effort),
        "budget": lambda: rows.budget(effort),
        "idle": lambda: rows.idle(effort),
        "starting": lambda: rows.starting(effort),
        "tail": lambda: rows.tail(effort),
    }
    results: dict[str, Any] = {"machine": _machine(), "missing_peers": missing, "rows": {}}
    results["noise"] = _noise(effort)
    for name in asked.only or _NAMES:
        results["rows"][name] = work[name]()
        print(f"\n## {name}\n\n{tables.table(results['rows'][name])}", flush=True)
    low, high = (f"{results['noise'][part]:,.0f}" for part in ("low", "high"))
    print(f"\nnoise of the untraced program: {low} to {high} calls per second of its CPU (quartiles)")
    for name, reason in missing.items():
        print(f"not run: {name}: {reason}")
    asked.output.parent.mkdir(exist_ok=True)
    asked.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
