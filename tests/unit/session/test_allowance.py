"""What may be spent in a burst, and what on average."""

from __future__ import annotations

from tests.unit.session.recording import S
from tracer.session.allowance import Allowance


def test_a_burst_may_spend_all_that_was_saved() -> None:
    """It starts full."""
    allowance = Allowance(0.02, 2 * S, 100 * S)
    assert allowance.left_ns(100 * S) == 2 * S
    allowance.spend(2 * S)
    assert allowance.left_ns(100 * S) == 0


def test_it_grows_by_its_share_up_to_the_most() -> None:
    """A second brings a fiftieth; an hour no more than the most."""
    allowance = Allowance(0.02, 2 * S, 0)
    allowance.spend(2 * S)
    assert allowance.left_ns(S) == S // 50
    assert allowance.left_ns(3600 * S) == 2 * S


def test_what_was_overspent_is_made_up_for_first() -> None:
    """The mean holds although a step can take longer than it was given."""
    allowance = Allowance(0.5, S, 0)
    allowance.spend(2 * S)
    assert allowance.left_ns(2 * S) == 0
    assert allowance.left_ns(3 * S) == S // 2
