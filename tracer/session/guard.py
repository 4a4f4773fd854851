"""Measures what tracing costs, and takes fewer stacks if it costs too much: --max-overhead."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Optional

from tracer.flight.recorder import Recorder
from tracer.host.processes import memory_of
from tracer.kernel.accounting import RunTimeCounting, kernel_cost
from tracer.model.finding import BackOff, Cost


@dataclass(frozen=True)
class GuardPolicy:
    """The cost is averaged over ``window_s`` seconds. So the short work of one report does not count as too high.

    What was not spent is saved up, as much as the limit gives in ``saved_s`` seconds. A run begins with all of it:
    each program that is met costs once. Nothing is taken away before that is spent.

    After ``calm_s`` seconds well below the limit one step is taken back; None: never. If that was too early, the next
    one takes twice as long, up to ``longest_calm_s``.
    """

    window_s: float = 5.0
    saved_s: float = 0.0
    calm_s: Optional[float] = None
    longest_calm_s: float = 3600.0


ENDLESS = GuardPolicy(window_s=60.0, saved_s=600.0, calm_s=120.0)
"""For a run of months: one busy hour must not leave it without stacks for ever."""
_CALM = 0.8
"""The part of the limit below which it is calm. What does not depend on stacks is spent all the same."""
_STEPS_KEPT = 20

ALL, SAMPLED, OFF = 0, 15, 0xFFFFFFFF
"""Masks for bpf/blackbox.h: keep the stack of every touch, of a random one in 16, of none."""
_LEVELS = (ALL, SAMPLED, OFF)
_NAMES = {ALL: "all", SAMPLED: "sampled", OFF: "off"}


class Guard:
    """Adds up CPU time and memory. If the cost exceeds ``percent`` of one CPU, it takes fewer stacks from then on."""

    def __init__(
        self,
        recorder: Recorder,
        percent: Optional[float] = None,
        helpers_cpu_s: Callable[[], float] = lambda: 0.0,
        helpers: Callable[[], list[int]] = list,
        policy: GuardPolicy = GuardPolicy(),  # noqa: B008, it is frozen
    ) -> None:
        """``helpers`` are the processes that read stacks for this one; ``helpers_cpu_s`` is what all of them took."""
        self._recorder, self._percent = recorder, percent
        self._helpers_cpu_s, self._helpers = helpers_cpu_s, helpers
        # Counting adds about 20 ns to each run of every BPF program on the host. So it is on only with a limit.
        self._counting = RunTimeCounting() if percent is not None else None
        self._begun = self._checked = time.monotonic()
        self._cpu0 = self._last = self.cpu_s()
        self._last_kernel = 0.0
        self._policy = policy
        self._level = 0
        self._calm_since: Optional[float] = None
        self._calm_s = policy.calm_s or 0.0
        self._excused_s = 0.0
        self._saved_s = self._most_saved_s
        self._backed_off: deque[BackOff] = deque(maxlen=_STEPS_KEPT)

    def cpu_s(self) -> float:
        """CPU time of this process and its helpers so far, in seconds."""
        return time.process_time() + self._helpers_cpu_s()

    def excuse(self, cpu_s: float) -> None:
        """Do not hold this CPU time against the limit: somebody asked for what it was spent on."""
        self._excused_s += cpu_s

    def allow(self, percent: float) -> None:
        """Another limit from now on, where there is one."""
        if self._percent is not None:
            self._percent = percent

    @property
    def _most_saved_s(self) -> float:
        """CPU seconds that may be saved up."""
        return (self._percent or 0.0) / 100 * self._policy.saved_s

    def check(self) -> None:
        """Compare the cost with the limit. Called once each interval."""
        now = time.monotonic()
        if self._percent is None or now - self._checked < self._policy.window_s:
            return
        cpu, kernel = self.cpu_s(), (kernel_cost().run_ns or 0) / 1e9
        used = max(0.0, cpu - self._last - self._excused_s) + kernel - self._last_kernel
        spent = used / (now - self._checked) * 100
        left_s = self._saved_s + self._percent / 100 * (now - self._checked) - used
        self._saved_s = min(max(left_s, 0.0), self._most_saved_s)
        self._checked, self._last, self._last_kernel, self._excused_s = now, cpu, kernel, 0.0
        if left_s < 0.0 and self._level + 1 < len(_LEVELS):
            if self._level == 0 and self._backed_off:  # taken back too early
                self._calm_s = min(2 * self._calm_s, self._policy.longest_calm_s)
            self._go(self._level + 1, spent)
        elif self._level and self._has_been_calm(now, spent):
            self._go(self._level - 1, spent)

    def _go(self, level: int, spent: float) -> None:
        more, self._level, self._calm_since = level < self._level, level, None
        self._recorder.spare(_LEVELS[level])
        self._backed_off.append(BackOff(time.time(), _NAMES[_LEVELS[level]], spent, more))

    def _has_been_calm(self, now: float, spent: float) -> bool:
        if self._policy.calm_s is None or self._percent is None or spent > _CALM * self._percent:
            self._calm_since = None
            return False
        if self._calm_since is None:
            self._calm_since = now
        return now - self._calm_since >= self._calm_s

    def cost(self) -> Cost:
        """The cost of the run so far."""
        kernel = kernel_cost()
        return Cost(
            wall_s=time.monotonic() - self._begun,
            cpu_s=self.cpu_s() - self._cpu0,
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
