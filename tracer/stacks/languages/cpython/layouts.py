"""Where CPython keeps its threads and their frames: offsets in bytes, by minor version, of release builds with the GIL.

They are the same in all releases of a minor version. Source: offsetof in Include/cpython/pystate.h,
Include/cpython/frameobject.h, Include/internal/pycore_runtime*.h, pycore_interp*.h and pycore_frame.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from tracer.stacks.languages.cpython.slot import Slot

_ENTRY_OWNER = 3
"""The least ``owner`` of an evaluation loop's entry frame (FRAME_OWNED_BY_CSTACK, FRAME_OWNED_BY_INTERPRETER)."""
_NO_OWNER = 255
_POINTER_MASK = (1 << 56) - 1
_INT_MASK = (1 << 32) - 1
_MOST_READS, _MOST_HEAP_FRAMES = 24, 32
"""How many frames are read one by one, each at the price of a system call's tenth: beside the data stack, without."""


@dataclass(frozen=True)
class RuntimeLayout:
    """``_PyRuntime``, PyInterpreterState and PyThreadState. ``key`` is autoTSSkey: an int, and the key if it is 1.

    It is None where a thread-local variable has the state (since 3.15): that has no symbol.
    """

    interpreters: int
    key: Optional[int]
    interpreter_next: int
    threads: int
    thread_id: int
    frame: int
    cframe: Optional[int] = None
    """The newest frame's place in the cframe that ``frame`` then points to; the previous cframe follows it."""
    chunk: int = 0
    status: Optional[int] = None
    """A byte of bits: 8 if the thread's slot has this state (bound_gilstate), 16 if it runs Python now (active)."""
    thread_next: int = 8


@dataclass(frozen=True)
class FrameLayout:
    """A frame: PyFrameObject, or since 3.11 _PyInterpreterFrame."""

    size: int
    code: int
    previous: int
    instruction: int
    instruction_mask: int = _POINTER_MASK
    owner: Optional[int] = None
    entry_owner: int = _ENTRY_OWNER
    is_entry: Optional[int] = None
    """A byte that marks the last frame of its evaluation loop; None where the loop has an entry frame."""


@dataclass(frozen=True)
class Layout:
    """One minor version. ``told``: which words of the runtime's own table (_Py_DebugOffsets) say the same, by name."""

    runtime: RuntimeLayout
    frame: FrameLayout
    told: Mapping[str, int] = field(default_factory=dict)

    def values(self, slot: Slot, main: int) -> bytes:
        """What bpf/languages/cpython.bpf.c needs, in its order.

        ``slot`` is where threads keep their state, ``main`` the first thread's state.
        """
        runtime, frame = self.runtime, self.frame
        owners = 0xFF if frame.owner is not None else 0
        owners |= frame.entry_owner << 8 | _one_more(frame.is_entry) << 16 | _one_more(runtime.status) << 24
        return struct.pack(
            "<15Q",
            slot.packed(),
            max(runtime.frame, runtime.thread_id, runtime.chunk + 8) + 8,
            runtime.frame,
            runtime.thread_id,
            runtime.chunk,
            _one_more(runtime.cframe),
            frame.size,
            frame.code,
            frame.previous,
            frame.instruction,
            frame.owner or 0,
            frame.instruction_mask,
            owners,
            _MOST_READS if runtime.chunk else _MOST_HEAP_FRAMES,
            main,
        )

    def contradiction(self, words: tuple[int, ...]) -> str:
        """What the runtime's own table, as ``words``, says otherwise; empty if nothing."""
        ours = {
            "interpreters": self.runtime.interpreters,
            "interpreter_next": self.runtime.interpreter_next,
            "threads": self.runtime.threads,
            "thread_next": self.runtime.thread_next,
            "frame": self.runtime.frame,
            "thread_id": self.runtime.thread_id,
            "chunk": self.runtime.chunk,
            "status": self.runtime.status,
            "previous": self.frame.previous,
            "code": self.frame.code,
            "instruction": self.frame.instruction,
            "owner": self.frame.owner,
        }
        return next((name for name, at in self.told.items() if words[at] != ours[name]), "")


def _one_more(offset: Optional[int]) -> int:
    return 0 if offset is None else offset + 1


def _object_frames(key: int, instruction: int) -> Layout:
    runtime = RuntimeLayout(interpreters=32, key=key, interpreter_next=0, threads=8, thread_id=176, frame=24)
    frame = FrameLayout(
        size=112, code=32, previous=24, instruction=instruction, instruction_mask=_INT_MASK, entry_owner=_NO_OWNER
    )
    return Layout(runtime, frame)


def _table(thread: int, frame: int, more: int = 0) -> dict[str, int]:
    """Places in _Py_DebugOffsets, counted in words. ``thread`` and ``frame``: where those structures' offsets begin.

    ``more``: how many words there are between the offset of a thread's frame and that of its id.
    """
    names = {"interpreters": 5, "interpreter_next": 8, "threads": 9, "thread_next": thread + 2, "frame": thread + 4}
    names.update(thread_id=thread + more + 5, chunk=thread + more + 7, status=thread + more + 8)
    return {**names, "previous": frame + 1, "code": frame + 2, "instruction": frame + 3, "owner": frame + 5}


LAYOUTS = {
    8: _object_frames(key=1392, instruction=104),
    9: _object_frames(key=584, instruction=104),
    10: _object_frames(key=584, instruction=96),
    11: Layout(
        RuntimeLayout(
            interpreters=40, key=592, interpreter_next=0, threads=16, thread_id=152, frame=56, cframe=8, chunk=296
        ),
        FrameLayout(size=72, code=32, previous=48, instruction=56, owner=69, entry_owner=_NO_OWNER, is_entry=68),
    ),
    12: Layout(
        RuntimeLayout(
            interpreters=40, key=1544, interpreter_next=0, threads=72, thread_id=136, frame=56, cframe=0, chunk=232,
            status=24,
        ),
        FrameLayout(size=72, code=0, previous=8, instruction=56, owner=70),
    ),
    13: Layout(
        RuntimeLayout(
            interpreters=632, key=2160, interpreter_next=7264, threads=7344, thread_id=152, frame=72, chunk=232,
            status=32,
        ),
        FrameLayout(size=72, code=0, previous=8, instruction=56, owner=70),
        _table(thread=19, frame=28),
    ),
    14: Layout(
        RuntimeLayout(
            interpreters=808, key=2336, interpreter_next=7272, threads=7344, thread_id=152, frame=72, chunk=232,
            status=32,
        ),
        FrameLayout(size=80, code=0, previous=8, instruction=56, owner=74),
        _table(thread=22, frame=31),
    ),
    15: Layout(
        RuntimeLayout(
            interpreters=936, key=None, interpreter_next=7264, threads=7336, thread_id=176, frame=72, chunk=256,
            status=32,
        ),
        FrameLayout(size=80, code=0, previous=8, instruction=56, owner=74),
        _table(thread=22, frame=39, more=3),
    ),
}  # fmt: skip
"""By minor version."""
