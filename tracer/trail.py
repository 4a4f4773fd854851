"""How long a step took, for the lines of ``--verbose``.

Every module tells what it does by its own logger: ``logging.getLogger(__name__).debug(...)``. Only the command line
gives these loggers an output (`tracer/commands/verbose.py`); without it a line costs a test of one flag.
"""

from __future__ import annotations

import time


class Took:
    """The time since it was made; as text ``12.3 ms``. It is worked out only when a line is written."""

    __slots__ = ("_begun_ns",)

    def __init__(self) -> None:
        self._begun_ns = time.monotonic_ns()

    def __str__(self) -> str:
        return f"{(time.monotonic_ns() - self._begun_ns) / 1e6:.1f} ms"
