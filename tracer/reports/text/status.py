"""The one line that tells a person at a terminal that the trace is alive."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import words
from tracer.reports.text.cells import fit


def line(watched: int, close_wait: int, oldest_ns: Optional[int], *, width: int) -> str:
    """``412 sockets watched, 12 in CLOSE_WAIT, oldest 1m 11s``, narrower than ``width`` so that it never wraps."""
    parts = [f"{words.plural(watched, 'socket')} watched", f"{close_wait} in CLOSE_WAIT"]
    if close_wait and oldest_ns is not None:
        parts.append(f"oldest {words.duration(oldest_ns)}")
    return fit(", ".join(parts), width - 1)
