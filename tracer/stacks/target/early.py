"""Processes that are opened before any of their execs is seen: so it is known what they had mapped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from tracer.stacks.target.process import Process, ProcessGone


def open_processes(pids: Iterable[int]) -> tuple[Process, ...]:
    """Pin those of ``pids`` that there are."""
    found = []
    for pid in pids:
        with contextlib.suppress(ProcessGone):
            found.append(Process.open(pid))
    return tuple(found)


def opened_again(processes: Iterable[Process]) -> tuple[Process, ...]:
    """The same processes. Those that took another program since they were opened are opened again."""
    return tuple(one if one.same_program() else _opened_again(one) for one in processes)


def _opened_again(process: Process) -> Process:
    try:
        again = Process.open(process.pid)
    except ProcessGone:
        return process
    if again.identity != process.identity:
        again.close()
        return process
    process.close()
    again.known_since_ns = time.monotonic_ns()
    return again
