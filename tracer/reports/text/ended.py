"""Sockets that lingered and then ended, as text: how they ended, and which code closed them."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.diagnose import words
from tracer.diagnose.ending import outcome
from tracer.diagnose.paths import StackKey, stack_key
from tracer.model.connection import Connection, Touch
from tracer.model.finding import Ended
from tracer.model.states import Origin
from tracer.reports.printable import clean
from tracer.reports.text import stacks, timeline
from tracer.reports.text.cells import wrap

_FEW = 3
"""Up to so many sockets are described one by one. Up to so many closing stacks are shown."""


def render(ended: Sequence[Ended], *, width: int, prose: int, color: bool, all_frames: bool) -> list[str]:
    """How each socket ended if they are few, else counts by who ended them. Then the stacks of the closing calls."""
    if not ended:
        return []
    told = _each(ended, prose) if len(ended) <= _FEW else _counted(ended, prose)
    return ["", *told, *_closers(ended, width, prose, color, all_frames)]


def _head(ended: Sequence[Ended]) -> str:
    return f"{words.plural(len(ended), 'socket')} lingered and then ended"


def _each(ended: Sequence[Ended], prose: int) -> list[str]:
    stories = (clean(f"{timeline.route(gone.connection)}, {gone.verdict.value}: {gone.how}") for gone in ended)
    return [f"{_head(ended)}:", *(line for one in stories for line in wrap(one, prose, first="  ", rest="    "))]


def _counted(ended: Sequence[Ended], prose: int) -> list[str]:
    ways: dict[tuple[str, str], list[int]] = {}
    for gone in ended:
        ways.setdefault((_ender(gone.connection), outcome(gone.connection)), []).append(gone.lingered_ns)
    parts = []
    for (who, then), times in sorted(ways.items(), key=lambda way: (-len(way[1]), way[0])):
        low, high = words.duration(min(times)), words.duration(max(times))
        parts.append(f"{len(times)} {who} after {low if low == high else f'{low} to {high}'}{then}")
    return wrap(f"{_head(ended)}: {'; '.join(parts)}.", prose, rest="  ")


def _ender(connection: Connection) -> str:
    if connection.closed is not None:
        return "closed by the program"
    return "reset by the peer" if connection.reset_by is Origin.PEER else "gone (no close was seen)"


def _closers(ended: Sequence[Ended], width: int, prose: int, color: bool, all_frames: bool) -> list[str]:
    """The stacks of the closing calls, most sockets first."""
    calls: dict[StackKey, list[Touch]] = {}
    for gone in ended:
        closed = gone.connection.closed
        if closed is not None and closed.stack is not None and closed.stack.frames:
            calls.setdefault(stack_key(closed.stack), []).append(closed)
    out = []
    for several in sorted(calls.values(), key=len, reverse=True)[:_FEW]:
        who = words.listed(dict.fromkeys(words.thread(call.actor) for call in several), most=2)
        which = "" if len(several) == len(ended) else f" ({len(several)} of them)"
        out += ["", *wrap(clean(f"closed{which} by {who}"), prose, first="  ", rest="    ")]
        stack = several[0].stack
        out += stacks.render(stack, several[0].stack_note, width=width, color=color, all_frames=all_frames)
    return out
