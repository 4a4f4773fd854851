"""The program's own part of a stack: what makes two sockets leaks of the same code path."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import groupby
from typing import Optional

from tracer.diagnose.held import key_of, own_place
from tracer.diagnose.libraries import client_of
from tracer.diagnose.owners import application_frame, is_generated, is_loop, own_at_work
from tracer.diagnose.per_stack import per_stack
from tracer.diagnose.telling import most_own_first, opener_stack, sent_stack, telling_call, telling_stack
from tracer.model.finding import Application, Finding, Where
from tracer.model.frame import Frame, Stack

Path = tuple[Hashable, ...]
StackKey = tuple[tuple[Optional[str], Optional[str], int], ...]


def stack_key(stack: Optional[Stack]) -> StackKey:
    """What makes two whole stacks equal: function, module, and line (offset where no line is known)."""
    frames = stack.frames if stack is not None else ()
    return tuple((f.function, f.module, f.offset if f.line is None else f.line) for f in frames)


def path_of(stack: Optional[Stack]) -> Path:
    """The program's functions at work on a stack, the innermost first, each with its line; recursion counts once.

    What libraries and runtimes do beneath, between and above them says nothing about whose leak it is.
    """
    return () if stack is None else _path_of(stack)


@per_stack
def _path_of(stack: Stack) -> Path:
    return tuple(step for step, _ in groupby(map(_step, own_at_work(stack))))


def _step(frame: Frame) -> Hashable:
    """Without a line the offset tells two calls in one function apart; not in generated code, which is made anew."""
    place = frame.line
    if place is None and frame.file is None and not is_generated(frame):
        place = frame.offset
    return (frame.function, frame.module, frame.file if frame.module is None else None, place)


def code_path(finding: Finding) -> Hashable:
    """What tells a finding's code path: the telling stack, the last send's, opener's, the holder, the library."""
    stack, opened = telling_stack(finding)[0], opener_stack(finding)
    for source, one in most_own_first(stack, sent_stack(finding), opened):
        path = path_of(one)
        if path:
            return (source, path)
    lineage = finding.connection.lineage
    if lineage is not None and lineage.root is not None:
        return (Where.HELD, own_place(lineage) or key_of(lineage))
    library = client_of(opened, stack)
    return (Where.NONE, library.name if library is not None else None)


def application(finding: Finding, sent: Optional[Stack], opened: Optional[Stack]) -> Application:
    """The program's first own frame. ``sent`` and ``opened`` are the stacks of the site's last send and opener."""
    stack = telling_stack(finding)[0]
    for source, one in most_own_first(stack, sent, opened):
        index = application_frame(one)
        if index is not None:
            return Application(source, index)
    if own_place(finding.connection.lineage) is not None:
        return Application(Where.HELD)
    touch = telling_call(finding)
    return Application(loop=touch.actor.comm if touch is not None and is_loop(stack) else None)
