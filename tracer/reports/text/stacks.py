"""A stack as lines: the program's own code marked, runs of library frames folded, the end explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional, Union

from tracer.diagnose import words
from tracer.diagnose.owners import application_frame
from tracer.model.frame import Frame, Stack
from tracer.reports import saying
from tracer.reports.printable import clean
from tracer.reports.text.cells import fit, fit_left, pad, style, width_of, wrap
from tracer.stacks.registry import language

_INDENT = 6
_OWN_SHOWN = 10
"""Frames of the program's own code in one run that are worth a line each."""


@dataclass(frozen=True)
class Fold:
    """Frames that are counted rather than shown, and what each belongs to."""

    frames: tuple[Frame, ...]
    groups: tuple[str, ...]


Row = Union[int, Fold]


def render(
    stack: Optional[Stack], note: Optional[str], *, width: int, color: bool, all_frames: bool = False
) -> list[str]:
    """Lines of at most ``width`` columns, indented. ``note`` says why there is no stack."""
    if stack is None or not stack.frames:
        why = note or (stack.note if stack is not None else None) or "none was kept"
        return [" " * _INDENT + clean(f"no stack: {why}")]
    mark = application_frame(stack)
    rows: list[Row] = list(range(len(stack.frames))) if all_frames else _folded(stack, mark)
    lines = _lines(stack.frames, rows, mark, width, color)
    if not stack.complete:
        ends = clean(f"the stack ends here: {stack.note or note or 'the unwinder knows no more'}")
        lines.append(style(fit(" " * _INDENT + ends, width), color, fg="yellow"))
    return lines


def same_way(opened: Stack, last: Stack) -> bool:
    """Whether both stacks came through the same function of the program's own code, by the same callers."""
    ours, theirs = application_frame(opened), application_frame(last)
    if ours is None or theirs is None:
        return False
    return _names(opened.frames[ours:]) == _names(last.frames[theirs:])


def common_callers(opened: Stack, last: Stack) -> int:
    """How many outermost frames both stacks share."""
    shared = 0
    for one, other in zip(reversed(_names(opened.frames)), reversed(_names(last.frames))):
        if one != other:
            break
        shared += 1
    return shared


def _names(frames: Iterable[Frame]) -> list[tuple[Optional[str], Optional[str], int]]:
    return [(f.function, f.module, 0 if f.function else f.offset) for f in frames]


def _runs(groups: Sequence[str]) -> list[tuple[str, list[int]]]:
    runs: list[tuple[str, list[int]]] = []
    for index, group in enumerate(groups):
        if not runs or runs[-1][0] != group:
            runs.append((group, []))
        runs[-1][1].append(index)
    return runs


def _folded(stack: Stack, mark: Optional[int]) -> list[Row]:
    """Below the marked frame the first of each library's run is shown, above it none; runs of one are never folded.

    A first one without a name (the interpreter's, between the functions that it runs) says no more than the count.
    """
    frames, groups = stack.frames, saying.groups_of(stack)
    rows: list[Row] = []
    above: list[int] = []
    for group, run in _runs(groups):
        if mark is not None and run[0] > mark and group:
            above += run
            continue
        rows += _fold(frames, groups, above)
        above = []
        shown = _OWN_SHOWN if not group else 1 if frames[run[0]].function or not rows else 0
        rows += run[:shown]
        rows += _fold(frames, groups, run[shown:])
    return rows + _fold(frames, groups, above)


def _fold(frames: Sequence[Frame], groups: Sequence[str], indices: Sequence[int]) -> list[Row]:
    if len(indices) < 2:
        return list(indices)
    return [Fold(tuple(frames[i] for i in indices), tuple(groups[i] for i in indices))]


def _place(frame: Frame) -> str:
    where = words.place(frame) if frame.function else ""
    return clean(where + (" (inlined)" if frame.inlined else ""))


def _name(frame: Frame) -> str:
    return clean(frame.function if frame.function else words.short_name(frame))


def _lines(frames: Sequence[Frame], rows: Sequence[Row], mark: Optional[int], width: int, color: bool) -> list[str]:
    shown = [frames[row] for row in rows if isinstance(row, int)]
    room = max(width - _INDENT, 20)
    places = max((width_of(_place(f)) for f in shown), default=0)
    names = min(max((width_of(_name(f)) for f in shown), default=0), max(room - places - 2, room // 2))
    lines, hinted = [], False
    for row in rows:
        if isinstance(row, Fold):
            lines.append(style(fit(" " * _INDENT + _counted(row, hinted), width), color, dim=True))
            hinted = True
            lines += (style(part, color, dim=True) for part in _why_nameless(row, room))
            continue
        frame = frames[row]
        cut = fit_left if language(frame.language).ends_tell else fit
        line = fit(f"{pad(cut(_name(frame), names), names)}  {_place(frame)}".rstrip(), room)
        beside, below = _noted(frame, line, room)
        own = row == mark
        lines.append(style(f"    {'>' if own else ' '} {beside}", color, **({"bold": True} if own else {})))
        lines += (style(part, color, dim=True) for part in below)
    return lines


def _noted(frame: Frame, line: str, room: int) -> tuple[str, list[str]]:
    """``line`` with the frame's note if there is room for it, else the note's own lines below."""
    if not frame.note:
        return line, []
    note = f"({clean(frame.note)})"
    if width_of(line) + 1 + width_of(note) <= room:
        return f"{line} {note}", []
    indent = " " * (_INDENT + 2)
    return line, wrap(note, room + _INDENT, first=indent, rest=indent)


def _why_nameless(fold: Fold, room: int) -> list[str]:
    """Why functions that ran there have no frame of their own: who looks for them must not need --all-frames."""
    notes = dict.fromkeys(clean(f.note) for f in fold.frames if f.note and not f.function)
    indent = " " * (_INDENT + 2)
    return [line for note in notes for line in wrap(f"({note})", room + _INDENT, first=indent, rest=indent)]


def _counted(fold: Fold, hinted: bool) -> str:
    groups = list(dict.fromkeys(group or "the program" for group in fold.groups))
    of = f" of {words.listed(groups, most=3)}"
    hint = "" if hinted else " (--all-frames shows them)"
    return clean(f"... {len(fold.frames)} frames{of}{hint}")
