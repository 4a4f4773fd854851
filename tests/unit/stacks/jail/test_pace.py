"""How slow a machine is: a factor that only ever stretches limits, and not without end."""

from __future__ import annotations

import pytest

from tracer.stacks.jail.pace import SLOWEST, slowness, within


def test_a_machine_that_tests_run_on() -> None:
    """Whatever it is, the factor is in its range."""
    assert 1.0 <= slowness() <= SLOWEST


@pytest.mark.parametrize(
    ("measured", "factor"),
    [(0.2, 1.0), (1.0, 1.0), (3.5, 3.5), (1000.0, SLOWEST), (float("inf"), SLOWEST), (float("nan"), 1.0), (-1, 1.0)],
)
def test_the_range(measured: float, factor: float) -> None:
    """Nothing that is measured or said makes a limit shorter, or endless."""
    assert within(measured) == factor
