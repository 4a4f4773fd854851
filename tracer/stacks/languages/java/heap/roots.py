"""Where chains of holders end: static fields of classes, live threads, global references of native code.

Sources: runtime/threadSMR.hpp, javaThread.hpp, oops/oopHandle.hpp, gc/shared/oopStorage.hpp.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.classes import Classes, Klass
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.heap.objects import Objects
from tracer.stacks.languages.java.heap.policy import MIRROR, THREAD
from tracer.stacks.languages.java.heap.vm import Vm
from tracer.stacks.target.reader import Nonsense

_MAX_THREADS = 100_000
_MAX_BLOCKS, _BLOCK_HANDLES = 10_000, 64
_GLOBALS = ("JNI Global", "JNI global")


@dataclass(frozen=True)
class Static:
    """A static field that is not null: ``offset`` in the ``mirror`` of ``klass``, what it ``refers`` to (an address).

    ``name`` is the index of its name in the class's constant pool.
    """

    mirror: int
    offset: int
    refers: int
    klass: Klass
    name: int


@dataclass(frozen=True)
class JavaThread:
    """A live thread: the address of its object, which is at ``slot``, and that of the JVM's own JavaThread.

    Its stack, as far as callers of native code have it, is [low, high). ``address`` is 0 of a virtual thread.
    """

    thread: int
    slot: int
    low: int
    high: int
    address: int = 0


class Roots:
    """Finds the roots of one heap. Methods raise MissingTables, MemoryUnreadable and Nonsense."""

    def __init__(self, vm: Vm, classes: Classes, names: FieldNames, objects: Objects) -> None:
        self._vm, self._reader = vm, vm.reader
        self._classes, self._names, self._objects = classes, names, objects
        self._handles = self._mirrors_are_handles()
        self.complete = True
        """Whether all that was to be read could be read."""

    def _mirrors_are_handles(self) -> bool:
        """Klass::_java_mirror is an OopHandle, which points to a reference; in JDK 8 it is the reference itself."""
        (one,) = self._classes.named(MIRROR)[:1]
        found = self._objects.class_at(one.mirror)
        return found is None or found.name != MIRROR

    def mirror(self, klass: Klass) -> int:
        """The address of the class's java.lang.Class now."""
        return self._reader.pointer(klass.mirror) if self._handles and klass.mirror else klass.mirror

    def statics(self) -> Iterator[Static]:
        """All static fields that refer to something."""
        size = self._objects.oops.size
        for klass in self._classes.by_address.values():
            if not klass.statics:
                continue
            try:
                fields = list(self._names.static_references(klass))
                mirror = self.mirror(klass) if fields else 0
                if not mirror:
                    continue
                raw = self._reader.read(mirror, max(offset for offset, _ in fields) + size)
            except (MemoryUnreadable, Nonsense):
                self.complete = False
                continue
            for offset, name in fields:
                reference = int.from_bytes(raw[offset : offset + size], "little")
                if reference:
                    yield Static(mirror, offset, self._objects.oops.address(reference), klass, name)

    def threads(self) -> Iterator[JavaThread]:
        """All live threads, and the virtual threads that run on them."""
        base_at, size_at = (
            self._vm.offset(f"JavaThread.{name}", f"Thread.{name}") for name in ("_stack_base", "_stack_size")
        )
        anchor = self._vm.offset("JavaThread._anchor") + self._vm.offset("JavaFrameAnchor._last_Java_sp")
        at = self._vm.offset("JavaThread._threadObj")
        mounted = self._vm.maybe("JavaThread._vthread")
        for thread in self._thread_addresses():
            try:
                high, size = self._reader.pointer(thread + base_at), self._reader.pointer(thread + size_at)
                last = self._reader.pointer(thread + anchor)
                low = last if high - size < last < high else high - size
                own, slot = self._thread_object(thread + at)
                carried, beside = self._thread_object(thread + mounted.offset) if mounted else (0, 0)
            except MemoryUnreadable:
                self.complete = False
                continue
            if own:
                yield JavaThread(own, slot, low, high, thread)
            if carried and carried != own:
                yield JavaThread(carried, beside, 0, 0)

    def _thread_addresses(self) -> list[int]:
        pointer = self._reader.pointer
        if self._vm.maybe("ThreadsSMRSupport._java_thread_list"):
            listed = self._vm.word_at("ThreadsSMRSupport._java_thread_list")
            count = self._reader.unsigned(listed + self._vm.offset("ThreadsList._length"), 4)
            if count > _MAX_THREADS:
                raise Nonsense(f"it has {count} threads")
            place = pointer(listed + self._vm.offset("ThreadsList._threads"))
            return [pointer(place + 8 * index) for index in range(count)]
        found: list[int] = []
        following = self._vm.offset("JavaThread._next")
        thread = self._vm.word_at("Threads._thread_list")
        while thread and len(found) < _MAX_THREADS:
            found.append(thread)
            thread = pointer(thread + following)
        return found

    def _thread_object(self, slot: int) -> tuple[int, int]:
        """The address of a thread's object and where that is: at ``slot``, or where the handle there points.

        Zeros if neither is a thread.
        """
        value = self._reader.pointer(slot)
        for place in (slot, value):
            try:
                address = self._reader.pointer(place) if place else 0
                found = self._objects.class_at(address) if address else None
            except MemoryUnreadable:
                continue
            if found is not None and self._classes.is_a(found, THREAD):
                return address, place
        return 0, 0

    def natives(self) -> list[tuple[int, int]]:
        """Where global references of native code are, and what they refer to. Raises Nonsense if they are not found.

        JDK 10 and later: an OopStorage, whose layout is not exported. It begins with its name; then comes the array of
        its blocks (size, number of blocks, references to itself, blocks), each of which begins with 64 references.
        """
        storage = self._vm.word_at("JNIHandles._global_handles")
        if not self._is_storage(storage):
            return list(self._handle_blocks(storage))
        array = self._reader.pointer(storage + 8)
        size, count = self._reader.pointer(array), self._reader.pointer(array + 8)
        if not count <= size <= _MAX_BLOCKS:
            raise Nonsense(f"native code has {count} blocks of references")
        found = []
        for index in range(count):
            block = self._reader.pointer(array + 24 + 8 * index)
            raw = self._reader.read(block, 8 * _BLOCK_HANDLES)
            found += _references(block, raw)
        return found

    def locals(self) -> list[int]:
        """What native code of some thread refers to, or did until lately: blocks are used again."""
        at = self._vm.offset("JavaThread._active_handles", "Thread._active_handles")
        found = []
        for thread in self._thread_addresses():
            with contextlib.suppress(MemoryUnreadable, Nonsense):
                found += [value for _, value in self._handle_blocks(self._reader.pointer(thread + at))]
        return found

    def _is_storage(self, address: int) -> bool:
        try:
            return self._reader.cstring(self._reader.pointer(address), 32) in _GLOBALS
        except MemoryUnreadable:
            return False

    def constants(self) -> Iterator[int]:
        """The mirrors of all classes, and the arrays of what their constant pools have resolved."""
        constants_at, cache_at = self._vm.offset("InstanceKlass._constants"), self._vm.offset("ConstantPool._cache")
        resolved = self._vm.offset("ConstantPoolCache._resolved_references", "ConstantPool._resolved_references")
        in_cache = self._vm.maybe("ConstantPoolCache._resolved_references") is not None
        pointer = self._reader.pointer
        for klass in self._classes.by_address.values():
            yield self.mirror(klass)
            pool = 0 if klass.elements_at else pointer(klass.address + constants_at)
            owner = pointer(pool + cache_at) if pool and in_cache else pool
            handle = pointer(owner + resolved) if owner else 0
            yield pointer(handle) if handle else 0

    def blocks(self, first: int) -> list[int]:
        """What the blocks of references of native code from ``first`` on refer to; nothing if there is no block."""
        try:
            return [value for _, value in self._handle_blocks(first)]
        except (MemoryUnreadable, Nonsense):
            return []

    def _handle_blocks(self, block: int) -> Iterator[tuple[int, int]]:
        top_at, next_at = self._vm.offset("JNIHandleBlock._top"), self._vm.offset("JNIHandleBlock._next")
        handles_at = self._vm.offset("JNIHandleBlock._handles")
        for _ in range(_MAX_BLOCKS):
            if not block:
                return
            count = self._reader.unsigned(block + top_at, 4)
            if count > 1024:
                raise Nonsense(f"a block of {count} references of native code")
            raw = self._reader.read(block + handles_at, 8 * count)
            yield from _references(block + handles_at, raw)
            block = self._reader.pointer(block + next_at)


def _references(place: int, raw: bytes) -> list[tuple[int, int]]:
    """The words at ``place`` that may be references, each with its address."""
    words = ((place + at, int.from_bytes(raw[at : at + 8], "little")) for at in range(0, len(raw), 8))
    return [(at, word) for at, word in words if word and word % 8 == 0]
