"""Stacks of threads that are not in Java code: then all that a thread refers to is in its memory, not in registers.

Source: runtime/javaThread.hpp (JavaThreadState), runtime/javaCalls.hpp (JavaCallWrapper begins with the thread and the
block of native references that was in use before the call).
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.content import Array
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.roots import JavaThread, Roots
from tracer.stacks.languages.java.heap.vm import Vm

_LEAST_ROUNDS, _MOST_ROUNDS, _WAIT_MS = 8, 60, 3
_MOST_OF_ONE, _MOST_OF_ALL = 1 << 20, 64 << 20
_DIRECT = (
    ("Thread._pending_exception", "ThreadShadow._pending_exception"),
    ("JavaThread._vm_result", "JavaThread._vm_result_oop"),
    ("JavaThread._exception_oop", "JavaThread._exception_oop"),
)
_HANDLES = ("JavaThread._scopedValueCache", "JavaThread._extentLocalCache", "JavaThread._jvmti_vthread")
"""References that a JavaThread has, and pointers to such. Those of its locks are also in the frames that hold them."""
_AT_REST = ("_thread_in_native", "_thread_blocked")


class Resting:
    """Reads the stacks again and again. Methods raise MissingTables, MemoryUnreadable and OutOfTime."""

    def __init__(self, vm: Vm, memory: Memory, roots: Roots, threads: Sequence[JavaThread]) -> None:
        self._vm, self._reader, self._memory, self._roots = vm, vm.reader, memory, roots
        self._left = [one for one in threads if one.address]
        self._threads = list(self._left)
        self._state = vm.offset("JavaThread._thread_state")
        self._last = vm.offset("JavaThread._anchor") + vm.offset("JavaFrameAnchor._last_Java_sp")
        self._direct = [found.offset for found in map(vm.maybe, *zip(*_DIRECT)) if found]
        self._handles = [found.offset for found in map(vm.maybe, _HANDLES) if found]
        self._states = [vm.constant(name) for name in _AT_REST]
        self._bytes_left = _MOST_OF_ALL
        self._poll = select.poll()

    @property
    def all_seen(self) -> bool:
        """Whether each thread was seen at rest."""
        return not self._left

    def rounds(self) -> Iterator[Array]:
        """What threads at rest have: the words of their stacks, native references, and what the JVM notes for them."""
        for turn in range(_MOST_ROUNDS):
            if turn >= _LEAST_ROUNDS and self.all_seen:
                return
            found: list[Array] = []
            for thread in self._threads if turn < _LEAST_ROUNDS else list(self._left):
                self._memory.check()
                words = self._stack(thread)
                if words is None:
                    continue
                found += [words, self._native(thread, words), self._own(thread)]
                if thread in self._left:
                    self._left.remove(thread)
            if found:
                yield np.unique(np.concatenate(found))
            self._poll.poll(_WAIT_MS)

    def _stack(self, thread: JavaThread) -> Optional[Array]:
        """The words of its stack while it was at rest; None if it was not."""
        try:
            before = self._at_rest(thread)
            if before is None:
                return None
            last, high = before, thread.high
            size = high - last if last else 0
            if not 0 <= size <= min(_MOST_OF_ONE, self._bytes_left):
                return None
            self._bytes_left -= size
            words = self._memory.array(last, size // 8, np.dtype(np.uint64))
            return words if len(words) == size // 8 and self._at_rest(thread) == before else None
        except MemoryUnreadable:
            return None

    def _at_rest(self, thread: JavaThread) -> Optional[int]:
        """The lowest address of its Java frames, 0 if it has none; None if it is in Java code or in the JVM's."""
        state = self._reader.unsigned(thread.address + self._state, 4)
        return self._reader.pointer(thread.address + self._last) if state in self._states else None

    def _own(self, thread: JavaThread) -> Array:
        """What the JVM notes for the thread."""
        pointer = self._reader.pointer
        places = [pointer(thread.address + offset) for offset in self._handles]
        direct = [pointer(thread.address + offset) for offset in self._direct]
        return np.array(direct + [pointer(place) for place in places if place], dtype=np.uint64)

    def _native(self, thread: JavaThread, words: Array) -> Array:
        """What native code of frames further up refers to."""
        places = np.flatnonzero(words[:-1] == np.uint64(thread.address)) if len(words) else words
        found = [value for first in words[places + 1].tolist() if first for value in self._roots.blocks(first)]
        return np.array(found, dtype=np.uint64)
