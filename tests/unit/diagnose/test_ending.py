"""How a socket that had lingered came to its end."""

from __future__ import annotations

from typing import Optional

import pytest

from tests.unit.builders import S, connection, touch
from tracer.diagnose.ending import ender, outcome, tell_ending
from tracer.model.states import Op, Origin


@pytest.mark.parametrize(
    ("later_ns", "said"),
    [(1, "answered by RST"), (None, "answered by RST"), (-1, "reset by the peer before that")],
)
def test_a_reset_is_an_answer_only_after_the_close(later_ns: Optional[int], said: str) -> None:
    """A peer that resets first answers nothing: the program closed what was gone."""
    closed = touch(Op.CLOSE, 150, 0)
    reset_ns = None if later_ns is None else closed.ns + later_ns
    gone = connection(closed=closed, reset_by=Origin.PEER, reset_ns=reset_ns)
    assert outcome(gone) == f", {said}"
    assert tell_ending(gone, 4 * S).endswith(f"after 4.0 s, {said}")


def test_a_reset_without_a_close_is_said_once() -> None:
    """It is how the socket ended, no answer to anything."""
    gone = connection(reset_by=Origin.PEER, reset_ns=150 * S)
    assert (ender(gone), outcome(gone)) == ("reset by the peer", "")
    assert tell_ending(gone, 4 * S) == "reset by the peer after 4.0 s"
