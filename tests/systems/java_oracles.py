"""Compares the Java stacks of a report with those that the program itself recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.live.workload import Workload

Place = tuple[str, str, int]


def application_frames(stack: Sequence[dict[str, Any]], package: str = "com.acme.") -> list[Place]:
    """The frames of the application, innermost first: (class.method, file, line).

    The frames of hidden lambda classes are left out, as in Throwable.
    """
    names = ((frame, frame["function"] or "") for frame in stack)
    frames = [frame for frame, name in names if name.startswith(package) and "$$Lambda" not in name]
    return [(frame["function"], frame["file"], frame["line"]) for frame in frames]


def recorded_frames(program: Workload, op: str) -> set[tuple[Place, ...]]:
    """The application frames that the program recorded with its own Throwable at its calls."""
    return {
        tuple((f["function"], f["file"], f["line"]) for f in word["stack"] if f["function"].startswith("com.acme."))
        for word in program.touches(op)
    }


def assert_in_order(stack: Sequence[dict[str, Any]], *functions: str) -> None:
    """Check that the stack has these functions in this order, innermost first. Others may be between them."""
    names = [frame["function"] for frame in stack]
    rest = iter(names)
    for function in functions:
        assert function in rest, (function, names)
