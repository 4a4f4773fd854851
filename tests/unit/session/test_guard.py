"""What tracing costs, and when it backs off: after a whole window above the limit, one step at a time, for good."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Protocol, cast

import pytest

from tracer.flight.recorder import Recorder
from tracer.kernel.accounting import KernelCost
from tracer.session import guard
from tracer.session.guard import Guard

SAMPLED, OFF = 15, 0xFFFFFFFF
"""Masks of bpf/blackbox.h: a stack is copied where the random number has none of these bits."""


class Sparing(Protocol):
    """The part of the recorder that the guard uses; the real one is held against it, too."""

    def spare(self, mask: int) -> None: ...


_REAL: type[Sparing] = Recorder


@dataclass
class FakeRecorder:
    """Keeps the masks that it was given."""

    masks: list[int] = field(default_factory=list)

    def spare(self, mask: int) -> None:
        self.masks.append(mask)


@dataclass
class Costs:
    """Clock, CPU time and the kernel's count, set by hand; stands in for the time module."""

    now: float = 1000.0
    cpu: float = 5.0
    kernel_ns: Optional[int] = 0
    memory: int = 1 << 20

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.cpu

    def time(self) -> float:
        return self.now + 1.7e9

    def kernel(self) -> KernelCost:
        return KernelCost(self.kernel_ns, self.memory)

    def passes(self, seconds: float, cpu: float = 0.0, kernel: float = 0.0) -> None:
        """Time goes by, with CPU spent in user space and in the kernel's programs (all in seconds)."""
        self.now += seconds
        self.cpu += cpu
        if self.kernel_ns is not None:
            self.kernel_ns += int(kernel * 1e9)


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Costs:
    made = Costs()
    monkeypatch.setattr(guard, "time", made)
    monkeypatch.setattr(guard, "kernel_cost", made.kernel)
    return made


def guarding(recorder: Sparing, percent: Optional[float]) -> Guard:
    return Guard(cast(Recorder, recorder), percent)


def test_above_the_limit_it_samples_then_stops_and_never_returns(costs: Costs) -> None:
    """1 % allowed, 2 % spent: fewer stacks, then none; a quiet time after that changes nothing."""
    recorder = FakeRecorder()
    watching = guarding(recorder, 1.0)
    for _ in range(4):
        costs.passes(5, cpu=0.06, kernel=0.04)
        watching.check()
    costs.passes(60)
    watching.check()
    assert recorder.masks == [SAMPLED, OFF]
    told = watching.cost().backed_off
    assert [(one.stacks, round(one.percent, 6)) for one in told] == [("sampled", 2.0), ("off", 2.0)]
    watching.close()


def test_at_or_below_the_limit_nothing_changes(costs: Costs) -> None:
    """User space and kernel count together: each alone is below, and so is their sum."""
    recorder = FakeRecorder()
    watching = guarding(recorder, 1.0)
    for _ in range(5):
        costs.passes(5, cpu=0.02, kernel=0.025)
        watching.check()
    assert recorder.masks == []
    assert watching.cost().backed_off == ()
    watching.close()


def test_a_moment_of_work_is_not_held_against_it(costs: Costs) -> None:
    """Within a window of 5 s nothing is decided, and a peak is spread over the whole window."""
    recorder = FakeRecorder()
    watching = guarding(recorder, 1.0)
    costs.passes(0.5, cpu=0.04)
    watching.check()
    assert recorder.masks == []
    costs.passes(4.6)
    watching.check()
    assert recorder.masks == []
    watching.close()


def test_without_a_limit_it_only_adds_up(costs: Costs) -> None:
    """No limit, no back-off; the report has the whole cost since the start."""
    recorder = FakeRecorder()
    watching = guarding(recorder, None)
    costs.passes(10, cpu=9.0, kernel=1.0)
    watching.check()
    cost = watching.cost()
    assert recorder.masks == []
    assert (cost.wall_s, cost.cpu_s, cost.kernel_s, cost.kernel_bytes) == (10.0, 9.0, 1.0, 1 << 20)
    assert cost.max_overhead_percent is None
    watching.close()
    watching.close()


def test_a_kernel_that_does_not_count_costs_nothing_known(costs: Costs) -> None:
    """The kernel's part is None in the report, not 0; the limit is held against user space alone."""
    costs.kernel_ns = None
    recorder = FakeRecorder()
    watching = guarding(recorder, 1.0)
    costs.passes(5, cpu=0.2)
    watching.check()
    assert watching.cost().kernel_s is None
    assert recorder.masks == [SAMPLED]
    watching.close()


def test_a_run_of_months_takes_more_stacks_again(costs: Costs) -> None:
    """After two calm minutes one step; if it was too early, after four. What was asked for costs nothing."""
    recorder = FakeRecorder()
    watching = Guard(cast(Recorder, recorder), 1.0, policy=guard.ENDLESS)

    def minutes(count: int, cpu: float) -> None:
        for _ in range(count):
            costs.passes(60, cpu=cpu)
            watching.check()

    minutes(14, 1.02)  # it has saved 6 s, and spends 0.42 of them each minute
    assert recorder.masks == []
    minutes(1, 1.02)
    assert recorder.masks == [SAMPLED]
    minutes(2, 0.2)
    assert recorder.masks == [SAMPLED]
    minutes(1, 0.2)
    assert recorder.masks == [SAMPLED, 0]
    minutes(1, 2.3)
    minutes(4, 0.2)
    assert recorder.masks == [SAMPLED, 0, SAMPLED]
    minutes(1, 0.2)
    assert recorder.masks == [SAMPLED, 0, SAMPLED, 0]
    assert [(one.stacks, one.more) for one in watching.cost().backed_off[:2]] == [("sampled", False), ("all", True)]
    watching.excuse(90.0)
    minutes(1, 90.0)
    assert len(recorder.masks) == 4
    watching.allow(5.0)
    minutes(1, 4.9)
    assert len(recorder.masks) == 4
    watching.close()


def test_what_was_saved_is_bounded(costs: Costs) -> None:
    """A quiet week does not pay for a busy day: ten minutes' worth is saved at most, whatever the limit is by then."""
    recorder = FakeRecorder()
    watching = Guard(cast(Recorder, recorder), 1.0, policy=guard.ENDLESS)
    costs.passes(7 * 86400)
    watching.check()
    costs.passes(60, cpu=6.5)
    watching.check()
    assert recorder.masks == []
    costs.passes(60, cpu=0.8)
    watching.check()
    assert recorder.masks == [SAMPLED]
    watching.close()


def test_what_it_keeps_of_its_steps_is_bounded(costs: Costs) -> None:
    """A host that is busy each hour makes many."""
    watching = Guard(cast(Recorder, FakeRecorder()), 1.0, policy=guard.GuardPolicy(1.0, 0.0, 1.0, 1.0))
    for _ in range(200):
        costs.passes(2, cpu=1.0)
        watching.check()
        costs.passes(2)
        watching.check()
        costs.passes(2)
        watching.check()
    assert len(watching.cost().backed_off) == 20
    watching.close()
