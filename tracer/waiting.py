"""Waits for several descriptors at once."""

from __future__ import annotations

import select
from typing import Optional


def wait_for(seconds: float, wakes: Optional[int], *others: int) -> bool:
    """Wait for so long, or until ``wakes`` or one of the ``others`` can be read. True if ``wakes`` can.

    The numbers are file descriptors; ``wakes`` may be None. A signal does not end the wait (PEP 475).
    """
    waiting = select.poll()
    for descriptor in (*others, *(() if wakes is None else (wakes,))):
        waiting.register(descriptor, select.POLLIN)
    return any(descriptor == wakes for descriptor, _events in waiting.poll(seconds * 1000))
