"""The words of a thread that waits, read from memory: for a stack that no call of the kernel side belongs to."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Optional

from tracer.model.frame import BlackBox, WordsEnd
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.ruby import layouts as at
from tracer.stacks.languages.ruby.process import Ruby
from tracer.stacks.languages.ruby.words import C_FUNCTION, FINISH, POINTER_BITS
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Reader

_MOST_THREADS, _MOST_FRAMES, _MOST_STACK = 4096, 64, 1 << 24
_FLAG_FINISH = 0x20
_FRAME = struct.Struct("<5Q")
Words = tuple[tuple[tuple[int, int], ...], WordsEnd]


def words_of(process: Process, ruby: Ruby, box: BlackBox) -> Words:
    """The words of the thread whose stack is in ``box``, as bpf/languages/ruby.bpf.c tells them. Never raises."""
    reader = Reader(process)
    try:
        context = _context(reader, ruby, process, box.sp)
        return _frames(reader, ruby, context) if context is not None else ((), WordsEnd.NO_THREAD)
    except MemoryUnreadable:
        return (), WordsEnd.UNREAD


def _context(reader: Reader, ruby: Ruby, process: Process, sp: int) -> Optional[int]:
    """The context that runs on the stack with ``sp``: a thread's own, or that of its current fiber."""
    stack = process.mapping(sp)
    if stack is None:
        return None
    found = []
    for thread in _threads(reader, ruby):
        context = reader.pointer(thread + ruby.layout.thread_context)
        start = reader.pointer(context + ruby.layout.machine_stack)
        if sp < start <= stack.end:
            found.append((start, context))
    return min(found)[1] if found else None


def _threads(reader: Reader, ruby: Ruby) -> Iterator[int]:
    """The threads of the main ractor: a list whose links are at the start of each."""
    head = reader.pointer(ruby.vm + at.VM_MAIN_RACTOR) + ruby.layout.ractor_threads
    thread = reader.pointer(head)
    for _ in range(_MOST_THREADS):
        if thread == head:
            return
        yield thread
        thread = reader.pointer(thread)


def _frames(reader: Reader, ruby: Ruby, context: int) -> Words:
    base, words, frame = struct.unpack("<QQQ", reader.read(context, 24))
    end = base + 8 * words
    if words > _MOST_STACK or not base <= frame < end:
        return (), WordsEnd.NO_THREAD
    found: list[tuple[int, int]] = []
    while frame < end and len(found) < _MOST_FRAMES:
        pc, _, iseq, _, place = _FRAME.unpack(reader.read(frame, _FRAME.size))
        method, _, flags = struct.unpack("<QQQ", reader.read(place - 16, 24))
        kind = (FINISH if flags & _FLAG_FINISH else 0) | (0 if iseq else C_FUNCTION)
        found.append((iseq or method, pc | kind << POINTER_BITS))
        frame += ruby.layout.frame_bytes
    return tuple(found), WordsEnd.COMPLETE if frame >= end else WordsEnd.LIMIT
