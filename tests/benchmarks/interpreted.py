"""What the frames of an interpreter cost: the same touches with them, and by closetrace that tells none."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import tracers, works
from tests.benchmarks.effort import Effort
from tests.benchmarks.figures import Columns, Figures, Row, by_turns, hook_ns, say
from tests.benchmarks.tracers import Running, Tracer

WITHOUT = "closetrace, no frames of interpreters"
_OTHERS = 0.05
"""The most runs of the hooks that may be of other programs, as a share of the calls of the work."""
_WARM_S = 0.3
_WAIT_S = 10.0


@dataclass(frozen=True)
class Work:
    """A program with an interpreter. ``waits_there``: it waits for the next batch in the frames that it calls from."""

    name: str
    command: tuple[str, ...]
    waits_there: bool = True


def _program(interpreter: str, name: str, *words: object) -> tuple[str, ...]:
    return (*interpreter.split(), str(works.SOURCES / name), *map(str, words))


OF_CPYTHON = (
    Work("CPython, 30 frames", _program("/usr/bin/python3", "ping.py", 30, 0)),
    Work("CPython, 30 frames, 2 of them called by C", _program("/usr/bin/python3", "ping.py", 30, 2)),
)
WORKS = (
    *OF_CPYTHON,
    Work("Node, sends from 30 functions", _program("node --no-turbo-inlining", "ping.js", 30), waits_there=False),
    Work("Ruby, 30 methods", _program("ruby", "ping.rb", 30)),
)
NATIVE = "C, 40 callers"


def interpreted(effort: Effort, peers: Sequence[Tracer]) -> list[Row]:
    """ns of each hook run: the least of some batches in each turn."""
    figures = Figures("tracer", "work")
    for work in WORKS:
        with works.conversation(*work.command) as program:
            program.hear()
            stack = [_stack_bytes(program.pid)] if work.waits_there else []

            def batch(seconds: float, program: works.Conversation = program) -> dict[str, Any]:
                program.go(str(seconds))
                return program.hear()

            batch(_WARM_S)
            for running in by_turns(f"interpreted, {work.name}", effort.turns, [*_ours(program.pid), *peers], effort):
                one = figures.at(running.tracer.name, work.name)
                one["c_stack_bytes"] = [*stack]
                _least(running, one, effort.batches, partial(batch, effort.ns_seconds))
    native = [_without(), tracers.closetrace()]
    for running in by_turns(f"interpreted, {NATIVE}", effort.turns, native, effort):
        one = figures.at(running.tracer.name, NATIVE)
        _least(running, one, effort.batches, partial(works.run, "touch", 40, 1, effort.ns_seconds))
    return figures.rows()


def _without(*options: str) -> Tracer:
    command = tracers.python("wordless", *options)
    return dataclasses.replace(tracers.closetrace(), name=WITHOUT, command=command)


def _ours(pid: int) -> list[Tracer]:
    """closetrace is ready when it knows the interpreter and has loaded its language's program."""
    one = ("--pid", str(pid))
    ours = dataclasses.replace(tracers.closetrace("--verbose", *one), ready="has an interpreter of language")
    return [_without(*one), ours]


def _least(running: Running, columns: Columns, batches: int, work: Callable[[], dict[str, Any]]) -> None:
    """The least ns of a run over so many batches. A batch does not count in which others used sockets, too."""
    found = []
    for _ in range(batches):
        batch: Columns = defaultdict(list)
        said: list[dict[str, Any]] = []
        ran = hook_ns(running, batch, lambda said=said: said.append(work()))  # type: ignore[misc]
        if ran.count <= said[0]["calls"] * (1 + _OTHERS):
            found += batch["ns_per_run"]
    if found:
        columns["ns_per_run"].append(min(found))
    else:
        say(f"interpreted: others used sockets during each batch of {running.tracer.name}")


def _stack_bytes(pid: int) -> int:
    """From the stack pointer at which the main thread waits (proc(5): syscall) to the stack's end (stat, field 28)."""
    until = time.monotonic() + _WAIT_S
    while len(fields := Path(f"/proc/{pid}/syscall").read_text().split()) < 9:  # it still runs
        if time.monotonic() > until:
            raise RuntimeError(f"the work program {pid} does not wait for a batch")
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[25]) - int(fields[7], 16)
