"""Sockets that lingered and then ended, as text: how they ended, and which code closed them."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.diagnose import words
from tracer.diagnose.paths import StackKey, stack_key
from tracer.model.finding import Ended, EndedKind, Report
from tracer.reports.printable import clean
from tracer.reports.text import stacks, timeline
from tracer.reports.text.cells import wrap

_FEW = 3
"""Up to so many sockets are described one by one. Up to so many closing stacks are shown."""


def render(report: Report, *, width: int, prose: int, color: bool, all_frames: bool) -> list[str]:
    """Each socket's story if they are few, else a count by who ended them; then the stacks that closed them."""
    kinds = report.ended_kinds
    if not kinds:
        return []
    total = sum(kind.count for kind in kinds)
    told = _each(report.ended_findings, prose) if total <= _FEW else _counted(kinds, total, prose)
    return ["", *told, *_closers(kinds, total, width, prose, color, all_frames)]


def _head(total: int) -> str:
    return f"{words.plural(total, 'socket')} lingered and then ended"


def _each(ended: Sequence[Ended], prose: int) -> list[str]:
    stories = (clean(f"{timeline.route(gone.connection)}, {gone.verdict.value}: {gone.how}") for gone in ended)
    return [f"{_head(len(ended))}:", *(line for one in stories for line in wrap(one, prose, first="  ", rest="    "))]


def _counted(kinds: Sequence[EndedKind], total: int, prose: int) -> list[str]:
    ways: dict[tuple[str, str], list[EndedKind]] = {}
    for kind in kinds:
        ways.setdefault((kind.ender, kind.outcome), []).append(kind)
    counted = [(sum(kind.count for kind in several), way, several) for way, several in ways.items()]
    parts = []
    for count, (who, then), several in sorted(counted, key=lambda one: (-one[0], one[1])):
        low = words.duration(min(kind.shortest_ns for kind in several))
        high = words.duration(max(kind.longest_ns for kind in several))
        parts.append(f"{count} {who} after {low if low == high else f'{low} to {high}'}{then}")
    return wrap(f"{_head(total)}: {'; '.join(parts)}.", prose, rest="  ")


def _closers(
    kinds: Sequence[EndedKind], total: int, width: int, prose: int, color: bool, all_frames: bool
) -> list[str]:
    """The stacks of the closing calls, those that closed the most sockets first."""
    calls: dict[StackKey, list[EndedKind]] = {}
    for kind in kinds:
        if kind.closed is not None and kind.closed.stack is not None and kind.closed.stack.frames:
            calls.setdefault(stack_key(kind.closed.stack), []).append(kind)
    counted = [(sum(kind.count for kind in several), several) for several in calls.values()]
    out = []
    for count, several in sorted(counted, key=lambda one: one[0], reverse=True)[:_FEW]:
        actors = (actor for kind in several for actor in kind.closers)
        names = dict.fromkeys(words.thread(actor) for actor in actors)
        who = f" by {words.listed(names, most=2)}" if names else ""  # reports of older versions do not tell
        which = "" if count == total else f" ({count} of them)"
        closed = several[0].closed
        out += ["", *wrap(clean(f"closed{which}{who}"), prose, first="  ", rest="    ")]
        if closed is not None:
            out += stacks.render(closed.stack, closed.stack_note, width=width, color=color, all_frames=all_frames)
    return out
