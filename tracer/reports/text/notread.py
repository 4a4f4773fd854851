"""Lines on what was not read of the targets' files, and on what reads them without being confined as it should be."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.model.finding import Unconfined, Unread
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.reports.text.cells import wrap


def told(unread: Sequence[Unread], unconfined: Sequence[Unconfined], width: int) -> list[str]:
    """A line for each file, or part of one, that was not read any more, with the reason; one for the confinement."""
    said = (wrap(clean(one), width, rest="  ") for one in saying.not_read(unread, unconfined))
    return [line for several in said for line in several]
