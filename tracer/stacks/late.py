"""What is said of functions whose names are read after the touch, in languages where they may be freed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

from tracer.model.frame import Frame

LATER = "named later: may be wrong"
"""Between the touch and the reading of its name another function may have come to the same address."""
UNKNOWN = "(unknown)"
"""The function of a frame whose code was gone, or was other code, when its name was read."""


@dataclass
class Window:
    """For touches of which time the names hold that were given: from ``since_ns`` to ``until_ns`` (CLOCK_MONOTONIC)."""

    since_ns: int = 0
    until_ns: Optional[int] = None

    def narrow(self, since_ns: int, until_ns: int) -> None:
        """Cut what lies outside."""
        self.since_ns = max(self.since_ns, since_ns)
        self.until_ns = until_ns if self.until_ns is None else min(self.until_ns, until_ns)


def noted(frame: Frame, note: str) -> Frame:
    """``frame`` with one more note."""
    return replace(frame, note=f"{frame.note}; {note}" if frame.note else note)


def noted_first(frames: Sequence[Frame], note: str) -> tuple[Frame, ...]:
    """``frames``, the innermost one with one more note."""
    return tuple(noted(frame, note) if index == 0 else frame for index, frame in enumerate(frames))


def noted_last(frames: tuple[Frame, ...], why: Optional[str], is_own: Callable[[Frame], bool]) -> tuple[Frame, ...]:
    """Say at the outermost frame for which ``is_own`` holds why its callers are not there; None: they are."""
    last = max((index for index, frame in enumerate(frames) if is_own(frame)), default=None)
    if why is None or last is None:
        return frames
    return (*frames[:last], noted(frames[last], why), *frames[last + 1 :])
