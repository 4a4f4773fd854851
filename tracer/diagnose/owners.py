"""Whose code a frame is: the program's own, a runtime's, or a well-known library's or framework's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from tracer.diagnose.libraries import client_frame
from tracer.diagnose.per_stack import per_frame, per_stack
from tracer.model.frame import Frame, Stack
from tracer.stacks.language import TLS, Part
from tracer.stacks.registry import package_of
from tracer.stacks.registry import part_of as _look_part_of

_GENERATED = ("[", "memfd:", "anon_inode:")
"""How the names of mappings begin that no file backs: code made while the program runs."""


@per_frame
def owner_of(frame: Frame) -> str:
    """The library, framework or server that a frame belongs to; empty for any other code."""
    client = client_frame(frame)
    return package_of(frame) if client is None else client.name


_part_of = per_frame(_look_part_of)


def speaks_tls(stack: Optional[Stack]) -> bool:
    """Whether a TLS library's frames are on the stack."""
    return stack is not None and _speaks_tls(stack)


@per_stack
def _speaks_tls(stack: Stack) -> bool:
    return any(package_of(frame) == TLS for frame in stack.frames)


def is_application(frame: Frame) -> bool:
    """Whether a frame is the program's own code, as far as one can tell: no runtime's and no well-known library's.

    Generated code without a name is not: nobody knows whose it is.
    """
    return not frame.internal and not _is_nameless(frame) and not owner_of(frame)


def _is_of_program(frame: Frame) -> bool:
    """Whether a frame is of the installed package that is the program: not the program's where that is a library."""
    return frame.of_program and not frame.internal and client_frame(frame) is None


def _own(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Indices of the program's own frames: those of its own files, else those of the package that is the program.

    The generated script that starts such a package says nothing by itself: it is of the package.
    """
    own = tuple([index for index, frame in enumerate(frames) if is_application(frame)])
    if _has_file(frames, own) or not any(frame.of_program for frame in frames):
        return own
    return tuple([index for index, frame in enumerate(frames) if index in own or _is_of_program(frame)])


def _has_file(frames: Sequence[Frame], own: Iterable[int]) -> bool:
    return any(not frames[index].of_program for index in own)


@per_stack
def own_frames(stack: Stack) -> tuple[Frame, ...]:
    """The program's own frames, innermost first, also those that called the event loop."""
    return tuple(stack.frames[index] for index in _own(stack.frames))


def own_at_work(stack: Stack) -> tuple[Frame, ...]:
    """The program's own frames at work, innermost first."""
    return tuple([stack.frames[index] for index in _at_work(stack)])


@per_stack
def _at_work(stack: Stack) -> tuple[int, ...]:
    return _own(own_part(stack))


def has_own_file(stack: Optional[Stack]) -> bool:
    """Whether a frame at work is of the program's own files, and not only of an installed package."""
    return stack is not None and _works_in_own_file(stack)


@per_stack
def _works_in_own_file(stack: Stack) -> bool:
    return _has_file(stack.frames, _at_work(stack))


def application_frame(stack: Optional[Stack]) -> Optional[int]:
    """Index of the innermost frame of the program's own code that is at work; None if there is none."""
    own = _at_work(stack) if stack is not None else None
    return own[0] if own else None


def own_part(stack: Stack) -> tuple[Frame, ...]:
    """The frames up to the event loop, server or pool that called them: whoever started that is not at work."""
    loop = next((index for index, frame in enumerate(stack.frames) if _part_of(frame) is Part.LOOP), len(stack.frames))
    return stack.frames[:loop]


def is_loop(stack: Optional[Stack]) -> bool:
    """Whether an event loop or the worker of a pool is on the stack."""
    return stack is not None and not _parts(stack).isdisjoint((Part.LOOP, Part.IDLE))


def waits_for_work(stack: Stack) -> bool:
    """Whether a waiting thread has nothing to do. Not if the program may have functions there that have no name."""
    if not stack.complete or application_frame(stack) is not None or _hides_program(stack):
        return False
    return next((part for part in map(_part_of, stack.frames) if part in (Part.LOOP, Part.IDLE)), None) is Part.IDLE


def moves_between_threads(stack: Optional[Stack]) -> bool:
    """Whether the work on this stack may go on in another thread, so that its thread tells nothing of it later."""
    return stack is not None and Part.MOVES in _parts(stack)


def tries_again(stack: Optional[Stack]) -> bool:
    """Whether a thread here runs now and then though it waits for one lock all the time."""
    return stack is not None and Part.RETRIES in _parts(stack)


def joins_or_sleeps(stack: Optional[Stack]) -> bool:
    """Whether a thread waits here for others to end, or lets time pass."""
    return stack is not None and not _parts(stack).isdisjoint((Part.JOINS, Part.SLEEPS))


@per_stack
def _parts(stack: Stack) -> frozenset[Part]:
    return frozenset(map(_part_of, stack.frames))


def _hides_program(stack: Stack) -> bool:
    """Whether an interpreter or generated code is on the stack and none of its functions has a name."""
    return is_compiled(stack) and any(_is_nameless(f) or _part_of(f) is Part.INTERPRETER for f in stack.frames)


def is_compiled(stack: Stack) -> bool:
    """Whether all frames are of compiled code, with none of an interpreter's or a virtual machine's language."""
    return all(frame.language == "native" for frame in stack.frames)


def is_generated(frame: Frame) -> bool:
    """Whether the code was made while the program ran: no file has it."""
    return not frame.module or frame.module.startswith(_GENERATED)


def _is_nameless(frame: Frame) -> bool:
    return frame.function is None and is_generated(frame)
