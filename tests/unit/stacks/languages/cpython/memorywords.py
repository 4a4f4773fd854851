"""Copies the words of a stopped thread's Python frames from memory, as the kernel side does at a touch."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from tracer.stacks.languages.cpython.process import CPython
from tracer.stacks.target.process import Process

_ENTRY = 0xFF << 56


class Layout(NamedTuple):
    """Offsets by pyconfig's default build."""

    head: int
    threads: int
    thread_id: int
    frame: int
    previous: int
    code: int
    instruction: int
    owner: Optional[int] = None
    cframe: Optional[int] = None


LAYOUTS = {
    8: Layout(32, 8, 176, 24, 24, 32, 104),
    9: Layout(32, 8, 176, 24, 24, 32, 104),
    10: Layout(32, 8, 176, 24, 24, 32, 96),
    11: Layout(40, 16, 152, 56, 48, 32, 56, 69, 8),
    12: Layout(40, 72, 136, 56, 8, 0, 56, 70, 0),
    13: Layout(632, 7344, 152, 72, 8, 0, 56, 70),
    14: Layout(808, 7344, 152, 72, 8, 0, 56, 74),
}


def words(process: Process, python: CPython, fs: int, most: int = 64) -> tuple[tuple[tuple[int, int], ...], bool]:
    """The words of the thread with thread pointer ``fs``, and whether they are all."""
    layout = LAYOUTS[python.minor]

    def u64(address: int) -> int:
        return int(struct.unpack("<Q", process.read(address, 8))[0])

    thread = u64(u64(python.runtime + layout.head) + layout.threads)
    while u64(thread + layout.thread_id) != fs:
        thread = u64(thread + 8)
    frame = u64(thread + layout.frame)
    cframe = 0
    if layout.cframe is not None:
        cframe = frame
        frame = u64(frame + layout.cframe)
    found: list[tuple[int, int]] = []
    while frame and len(found) < most:
        code = u64(frame + layout.code) & ~3
        if python.minor < 11:
            found.append((code, u64(frame + layout.instruction) & 0xFFFFFFFF))
        else:
            assert layout.owner is not None
            owner = process.read(frame + layout.owner, 1)[0]
            if python.minor >= 12 and owner == 3:
                found.append((frame, _ENTRY))
            else:
                found.append((code, u64(frame + layout.instruction) | owner << 56))
            if python.minor == 11 and process.read(frame + 68, 1)[0]:
                found.append((cframe, _ENTRY))
                cframe = u64(cframe + 16)
        frame = u64(frame + layout.previous)
    return tuple(found), not frame
