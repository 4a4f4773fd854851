"""Copies the words of a waiting thread's Python frames from memory, as the kernel side does at a touch.

Nothing is stopped. If the thread has gone on meanwhile, nothing is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Optional

from tracer.model.frame import BlackBox, WordsEnd
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.layouts import Layout
from tracer.stacks.languages.cpython.process import CPython, threads
from tracer.stacks.languages.cpython.words import ENTRY, OWNER
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Reader

_MOST = 256
_HAS_NUMBER, _NUMBER = 11, 8
"""PyThreadState.native_thread_id, the thread's number in the kernel, is there since 3.11 and follows ``thread_id``."""
_TAGS = 3
"""The low bits of a pointer to a code object are no part of the address (_PyStackRef, 3.14)."""
Words = tuple[tuple[tuple[int, int], ...], WordsEnd]
_NONE: Words = ((), WordsEnd.NO_THREAD)


def words_now(process: Process, found: CPython, layout: Layout, box: BlackBox) -> Words:
    """The words of the thread of ``box``, which waits in a system call; none if it cannot be found. Never raises."""
    reader = Reader(process)
    try:
        state = _state(process, reader, found, layout, box)
        if state is None:
            return _NONE
        frame = reader.pointer(state + layout.runtime.frame)
        words = tuple(_words(reader, layout, frame))
        has_moved = reader.pointer(state + layout.runtime.frame) != frame
    except MemoryUnreadable:
        return _NONE
    return _NONE if has_moved else (words, WordsEnd.LIMIT if len(words) >= _MOST else WordsEnd.COMPLETE)


def _state(process: Process, reader: Reader, found: CPython, layout: Layout, box: BlackBox) -> Optional[int]:
    """The thread's state. Since 3.11 it has the thread's number; else its ``pthread_t`` lies above its stack.

    A thread may have a state in each of several interpreters: then one that runs a function.
    """
    at, states = layout.runtime, list(threads(reader, found.runtime, layout))
    if found.minor >= _HAS_NUMBER:
        numbers = {s: reader.unsigned(s + at.thread_id + _NUMBER, 4) for s in states}
        number = _number(process, box, set(numbers.values()))
        own = [s for s in states if numbers[s] == number]
        return next((s for s in own if _runs(reader, layout, s)), own[0] if own else None)
    if box.tid == box.pid:
        return states[-1] if states else None
    stack = process.mapping(box.sp)
    if stack is None:
        return None
    places = {reader.pointer(state + at.thread_id): state for state in states}
    above = [place for place in places if box.sp <= place < stack.end]
    return places[min(above)] if above else None


def _number(process: Process, box: BlackBox, numbers: set[int]) -> int:
    """The number that Python has for the thread, among ``numbers``: that in its own PID namespace.

    A program that forks without telling Python (uWSGI without threads) leaves it the number of its parent's thread.
    """
    own = _numbers(process, box.tid)
    if own and own[-1] not in numbers and box.tid == box.pid and len(own) == len(numbers) == 1:
        (left,) = numbers
        return left if not _numbers(process, left) else own[-1]
    return own[-1] if own else box.tid


def _numbers(process: Process, tid: int) -> tuple[int, ...]:
    """The numbers of a thread in each PID namespace, the innermost last; empty if it is no thread of ``process``."""
    status = process.read_proc(f"task/{tid}/status", 4096)
    return next((tuple(map(int, line.split()[1:])) for line in status.split(b"\n") if line.startswith(b"NSpid:")), ())


def _runs(reader: Reader, layout: Layout, state: int) -> bool:
    """Whether this state has a frame. Raises MemoryUnreadable."""
    frame, cframe = reader.pointer(state + layout.runtime.frame), layout.runtime.cframe
    return bool(frame and (cframe is None or reader.pointer(frame + cframe)))


def _words(reader: Reader, layout: Layout, frame: int) -> Iterator[tuple[int, int]]:
    """Raises MemoryUnreadable. ``frame`` is what the thread's state points to: before 3.13 perhaps a cframe."""
    at, cframe, told = layout.frame, 0, 0
    if layout.runtime.cframe is not None:
        cframe, frame = frame, reader.pointer(frame + layout.runtime.cframe)
    while frame and told < _MOST:
        place = reader.read(frame, at.size)
        owner = place[at.owner] if at.owner is not None else 0
        if owner >= at.entry_owner and at.owner is not None:
            yield frame, ENTRY << OWNER
        else:
            yield _word(place, at.code) & ~_TAGS, _word(place, at.instruction) & at.instruction_mask | owner << OWNER
        told += 1
        if at.is_entry is not None and place[at.is_entry] and layout.runtime.cframe is not None:
            yield cframe, ENTRY << OWNER
            cframe = reader.pointer(cframe + layout.runtime.cframe + 8)
        frame = _word(place, at.previous)


def _word(place: bytes, offset: int) -> int:
    return int(struct.unpack_from("<Q", place, offset)[0])
