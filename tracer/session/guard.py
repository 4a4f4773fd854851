"""Measures what tracing costs, and takes fewer stacks if it costs too much: --max-overhead."""

from __future__ import annotations

import os
import time
from typing import Callable, Optional

from tracer.flight.recorder import Recorder
from tracer.host.processes import memory_of
from tracer.kernel.accounting import RunTimeCounting, kernel_cost
from tracer.model.finding import BackOff, Cost

_WINDOW_S = 5.0
"""The cost is averaged over this time. So the short work of one report does not count as too high."""

ALL, SAMPLED, OFF = 0, 15, 0xFFFFFFFF
"""Masks for bpf/blackbox.h: keep the stack of every touch, of a random one in 16, of none."""
_NAMES = {SAMPLED: "sampled", OFF: "off"}


class Guard:
    """Adds up CPU time and memory. If the cost exceeds ``percent`` of one CPU, it takes fewer stacks from then on."""

    def __init__(
        self,
        recorder: Recorder,
        percent: Optional[float] = None,
        helpers_cpu_s: Callable[[], float] = lambda: 0.0,
        helpers: Callable[[], list[int]] = list,
    ) -> None:
        """``helpers`` are the processes that read stacks for this one; ``helpers_cpu_s`` is what all of them took."""
        self._recorder, self._percent = recorder, percent
        self._helpers_cpu_s, self._helpers = helpers_cpu_s, helpers
        # Counting adds about 20 ns to each run of every BPF program on the host. So it is on only with a limit.
        self._counting = RunTimeCounting() if percent is not None else None
        self._begun = self._checked = time.monotonic()
        self._cpu0 = self._last = self._cpu_s()
        self._last_kernel = 0.0
        self._level = ALL
        self._backed_off: list[BackOff] = []

    def _cpu_s(self) -> float:
        return time.process_time() + self._helpers_cpu_s()

    def check(self) -> None:
        """Compare the cost with the limit. Called once each interval."""
        now = time.monotonic()
        if self._percent is None or now - self._checked < _WINDOW_S:
            return
        cpu, kernel = self._cpu_s(), (kernel_cost().run_ns or 0) / 1e9
        spent = (cpu - self._last + kernel - self._last_kernel) / (now - self._checked) * 100
        self._checked, self._last, self._last_kernel = now, cpu, kernel
        if spent > self._percent and self._level != OFF:
            self._level = SAMPLED if self._level == ALL else OFF
            self._recorder.spare(self._level)
            self._backed_off.append(BackOff(time.time(), _NAMES[self._level], spent))

    def cost(self) -> Cost:
        """The cost of the run so far."""
        kernel = kernel_cost()
        return Cost(
            wall_s=time.monotonic() - self._begun,
            cpu_s=self._cpu_s() - self._cpu0,
            kernel_s=None if kernel.run_ns is None else kernel.run_ns / 1e9,
            rss_bytes=sum(memory_of(pid) for pid in (os.getpid(), *self._helpers())),
            kernel_bytes=kernel.memory,
            max_overhead_percent=self._percent,
            backed_off=tuple(self._backed_off),
        )

    def close(self) -> None:
        """Stop counting run times."""
        if self._counting is not None:
            self._counting.close()
