"""What each module tells of its steps, and how long a step took: the lines of ``--verbose``."""

from __future__ import annotations

import sys
import time


class Trail:
    """Where a module tells what it does: ``_log = Trail(__name__)``, then ``_log.debug(...)`` as with a logger.

    The lines go to the logger ``name``, which only ``--verbose`` gives an output (`tracer/commands/verbose.py`).
    Otherwise nobody has to import logging, which takes some 3 ms of each start.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, text: str, *values: object) -> None:
        """Tell ``text % values``. The text is worked out only where somebody reads it."""
        logging = sys.modules.get("logging")
        if logging is not None:
            logging.getLogger(self._name).debug(text, *values)


class Took:
    """The time since it was made; as text ``12.3 ms``. It is worked out only when a line is written."""

    __slots__ = ("_begun_ns",)

    def __init__(self) -> None:
        self._begun_ns = time.monotonic_ns()

    def __str__(self) -> str:
        return f"{(time.monotonic_ns() - self._begun_ns) / 1e6:.1f} ms"
