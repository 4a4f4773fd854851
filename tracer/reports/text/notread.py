"""Lines on what was not read of the targets' files, and on what reads them without being confined as it should be."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.model.finding import Unconfined, Unread
from tracer.reports.printable import clean
from tracer.reports.text.cells import wrap

_MOST_UNREAD = 10


def told(unread: Sequence[Unread], unconfined: Sequence[Unconfined], width: int) -> list[str]:
    """A line for each file, or part of one, that was not read any more, with the reason; one for the confinement."""
    out: list[str] = []
    for one in unread[:_MOST_UNREAD]:
        what = f"{one.part} of {clean(one.what)}" if one.what else one.part
        out += wrap(f"not read: {what}: {clean(one.why)}", width, rest="  ")
    if len(unread) > _MOST_UNREAD:
        out.append(f"not read: {len(unread) - _MOST_UNREAD} more")
    if unconfined:
        parts = ", ".join(f"{clean(one.part)} ({clean(one.why)})" for one in unconfined)
        out += wrap(f"not confined: the process that reads files keeps {parts}", width, rest="  ")
    return out
