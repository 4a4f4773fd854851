"""Compiled JavaScript: which functions run at an address, and where in them (src/objects/code.h).

A Code object is found from the address alone: the object that holds the instructions begins with a map of its own
type. It is searched backwards from the address, and believed if its Code says that the address is inside.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.node.functions import Functions
from tracer.stacks.languages.node.heap import INSTANCE_TYPE, Heap, is_pointer, smi
from tracer.stacks.languages.node.layout import CodeLayout, Layout
from tracer.stacks.languages.node.positions import bytecode_offset_at, has_position_at, position_at, unpack
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

_BEFORE = (1 << 12, 1 << 16, 1 << 20)
"""How many bytes before an address are searched, one after the other."""
_INLINING = struct.Struct("<Qi4x")
_MAX_INLINED = 64
_KIND_MASK = 15
_MAX_BYTECODES = 1 << 20


@dataclass(frozen=True)
class Place:
    """A function (its SharedFunctionInfo, tagged), and the place in its script (characters; None: not known)."""

    shared: int
    offset: Optional[int]


@dataclass(frozen=True)
class Compiled:
    """What runs at an address: ``places`` innermost first, the last one is the function itself, others are inlined.

    Empty for baseline code, whose place ``bytecode_offset`` is one in ``bytecodes``.
    """

    places: tuple[Place, ...] = ()
    bytecodes: int = 0
    bytecode_offset: Optional[int] = None


class CodeSpace:
    """The compiled code of one process. Methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, process: Process, heap: Heap, layout: Layout, functions: Functions) -> None:
        self._process, self._reader = process, Reader(process)
        self._heap, self._layout, self._functions = heap, layout, functions
        self._map = 0

    def at(self, pc: int) -> Optional[Compiled]:
        """What runs at ``pc``, an address inside a call; None if that is no compiled function, or cannot be found."""
        layout = self._layout.code
        code = self._find(pc, layout) if layout is not None else None
        if layout is None or code is None:
            return None
        kind = self._reader.unsigned(code - 1 + layout.flags, 4) & _KIND_MASK
        if kind < layout.baseline:
            return None  # a copy of the interpreter's entry (--interpreted-frames-native-stack)
        offset = pc - self._start(code, layout)
        if kind == layout.baseline:
            return self._baseline(code, layout, offset)
        return self._optimised(code, layout, offset)

    def source_offset(self, bytecodes: int, offset: int) -> Optional[int]:
        """The place in the script of the bytecode ``offset`` bytes into the array ``bytecodes``; None: not known."""
        found = position_at(self._positions(bytecodes), offset)
        return found.offset if found is not None else None

    def may_call(self, bytecodes: int, offset: int) -> bool:
        """Whether a call may be ``offset`` bytes into the array ``bytecodes``. Another function has few such places."""
        table = self._positions(bytecodes)
        return 0 <= offset < self.bytecode_count(bytecodes) and (not table or has_position_at(table, offset))

    def _positions(self, bytecodes: int) -> bytes:
        """The table of source positions of a bytecode array; empty if V8 has not made it yet."""
        types = self._layout.types
        table = self._heap.word(bytecodes, self._layout.positions) if self._layout.positions else 0
        return (
            self._heap.bytes_of(table, types.byte_arrays)
            if self._heap.type_or_none(table) in types.byte_arrays
            else b""
        )

    def bytecode_count(self, bytecodes: int) -> int:
        """How many bytes of bytecode an array has."""
        if self._heap.type_of(bytecodes) != self._layout.types.bytecode_array:
            raise Nonsense("no bytecodes where some were")
        return smi(self._heap.word(bytecodes, 8))

    def _baseline(self, code: int, layout: CodeLayout, offset: int) -> Compiled:
        types, bytecodes = self._layout.types, self._heap.word(code, layout.deopt)
        if self._heap.type_of(bytecodes) == types.interpreter_data:
            bytecodes = self._heap.word(bytecodes, 8)
        count = self.bytecode_count(bytecodes)
        if not self._layout.bytecode_sizes or not 0 < count <= _MAX_BYTECODES:
            return Compiled(bytecodes=bytecodes)
        text = self._heap.read(bytecodes, self._layout.bytecodes, count)
        table = self._heap.bytes_of(self._heap.word(code, layout.positions), types.byte_arrays)
        return Compiled((), bytecodes, bytecode_offset_at(table, offset, text, self._layout.bytecode_sizes))

    def _optimised(self, code: int, layout: CodeLayout, offset: int) -> Compiled:
        types = self._layout.types
        data = self._heap.words(self._heap.word(code, layout.deopt), types.fixed_arrays)
        if len(data) <= max(layout.inlining_positions, layout.own_shared, layout.literals):
            raise Nonsense("code without deoptimization data")
        own = self._unwrapped(data[layout.own_shared])
        table = self._heap.bytes_of(self._heap.word(code, layout.positions), types.byte_arrays)
        position = position_at(table, offset)
        if position is None:
            return Compiled((Place(own, None),))
        places: list[Place] = []
        if position.inlined:
            literals = self._heap.words(data[layout.literals], types.fixed_arrays)
            inlinings = self._heap.bytes_of(data[layout.inlining_positions], types.byte_arrays)
            count = smi(data[layout.inlined_count])
        while position.inlined:
            if position.inlined * _INLINING.size > len(inlinings) or len(places) >= _MAX_INLINED:
                raise Nonsense("an inlining that is not there")
            word, number = _INLINING.unpack_from(inlinings, (position.inlined - 1) * _INLINING.size)
            if not -1 <= number < min(count, len(literals)):
                raise Nonsense("an inlined function that is not there")
            shared = literals[number] & ~3 | 1 if number >= 0 else 0
            places.append(Place(shared, position.offset))
            position = unpack(word)
        return Compiled((*places, Place(own, position.offset)))

    def _unwrapped(self, shared: int) -> int:
        return self._heap.word(shared, 8) if self._heap.type_of(shared) == self._layout.types.wrapper else shared

    def _find(self, pc: int, layout: CodeLayout) -> Optional[int]:
        """The Code (tagged) whose instructions contain ``pc``."""
        mapping = self._process.mapping(pc)
        if mapping is None:
            return None
        end = pc & ~7
        for size in _BEFORE:
            start = max(mapping.start, end - size) & ~7
            text = self._reader.read(start, end - start)
            found = self._last_stream(text, start, pc, layout)
            if found is not None or start == mapping.start:
                return found
        return None

    def _last_stream(self, text: bytes, start: int, pc: int, layout: CodeLayout) -> Optional[int]:
        if not self._map:
            return self._by_any_map(text, start, pc, layout)
        word = struct.pack("<Q", self._map)
        at = text.rfind(word)
        while at >= 0:
            code = self._believed(start + at, pc, layout) if at % 8 == 0 else None
            if code is not None:
                return code
            at = text.rfind(word, 0, at + 7)
        return None

    def _by_any_map(self, text: bytes, start: int, pc: int, layout: CodeLayout) -> Optional[int]:
        """The same while the map of the objects that hold instructions is not known, one for the whole process."""
        is_map: dict[int, bool] = {}
        for at in range(len(text) - 8, -1, -8):
            word = int.from_bytes(text[at : at + 8], "little")
            if not is_pointer(word):
                continue
            if word not in is_map:
                is_map[word] = self._type_of_map(word) == self._layout.types.stream
            code = self._believed(start + at, pc, layout) if is_map[word] else None
            if code is not None:
                self._map = word
                return code
        return None

    def _type_of_map(self, word: int) -> Optional[int]:
        try:
            return self._reader.unsigned(word - 1 + INSTANCE_TYPE, 2)
        except MemoryUnreadable:
            return None

    def _believed(self, stream: int, pc: int, layout: CodeLayout) -> Optional[int]:
        code = self._reader.pointer(stream + layout.stream_code) if layout.stream_code else stream + 1
        if self._heap.type_or_none(code) != self._layout.types.code:
            return None
        start = self._start(code, layout)
        size = self._reader.unsigned(code - 1 + layout.size, 4)
        return code if start <= pc < start + size else None

    def _start(self, code: int, layout: CodeLayout) -> int:
        return code - 1 + layout.start if layout.start_is_inside else self._heap.word(code, layout.start)
