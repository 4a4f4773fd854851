"""Finds the CodeBlob that holds a pc, with the segment maps of the code heaps.

Source: src/hotspot/share/memory/heap.cpp (CodeHeap::find_block_for). The map has one byte for each segment. 0xff: free.
0: the first segment of a block. Other values: go back by this many segments, perhaps several times. The same loop reads
the maps of JDK 8 and those since JDK 14, which merge blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.java.layout import Layout, Member
from tracer.stacks.target.reader import Nonsense, Reader

_FREE = 0xFF
_MAX_HEAPS = 16
_MAX_HOPS = 4096
_MAX_HEAP_BYTES = 1 << 32
_MAX_FRAME_WORDS = 1 << 20
_NO_CODE = "the code cache has no code at the return address"


@dataclass(frozen=True)
class CodeHeap:
    """One reserved range of code, [low, high). Each byte at ``segmap`` is for a segment of ``1 << shift`` bytes."""

    low: int
    high: int
    segmap: int
    shift: int


@dataclass(frozen=True)
class CodeBlob:
    """A piece of generated code: compiled method, interpreter or stub.

    ``address`` is the address of the CodeBlob struct and ``raw`` its bytes. ``size`` is in bytes, ``frame_size`` in
    words of 8 bytes (0: no frame, or no fixed size).
    """

    address: int
    name: str
    size: int
    code_begin: int
    frame_size: int
    data_offset: int
    raw: bytes

    @property
    def is_nmethod(self) -> bool:
        """Whether it is a compiled method or the compiled wrapper of a native method."""
        return self.name in {"nmethod", "native nmethod"}

    @property
    def is_native_wrapper(self) -> bool:
        """Whether it is the compiled wrapper of a native method."""
        return self.name == "native nmethod"

    @property
    def is_interpreter(self) -> bool:
        """Whether it is the template interpreter."""
        return self.name == "Interpreter"

    @property
    def is_continuation(self) -> bool:
        """Whether it is a stub of virtual threads. As a return address it is the return barrier."""
        return not self.is_nmethod and "continuation" in self.name.lower()


class CodeCache:
    """The code cache of one JVM. All methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, reader: Reader, layout: Layout, bias: int) -> None:
        self._reader = reader
        self._layout = layout
        self._bias = bias
        self._heaps: tuple[CodeHeap, ...] = ()

    def heap(self, pc: int) -> Optional[CodeHeap]:
        """The code heap that contains ``pc``; None outside of generated code."""
        if not self._heaps:
            # A running JVM never changes these ranges. If there are none, it is still starting.
            self._heaps = self._read_heaps()
        return next((heap for heap in self._heaps if heap.low <= pc < heap.high), None)

    def blob(self, heap: CodeHeap, pc: int) -> CodeBlob:
        """The blob in ``heap`` that contains ``pc``. Raises Nonsense if there is no code now."""
        block = heap.low + (self._first_segment(heap, pc) << heap.shift)
        layout = self._layout.heap
        header = self._reader.read(block, layout.block_size)
        length = layout.block_length.of(header) << heap.shift
        if not layout.block_used.of(header) & 1 or not block < pc < block + length:
            raise Nonsense(_NO_CODE)
        return self._read_blob(block + layout.block_size, pc, block + length)

    def _first_segment(self, heap: CodeHeap, pc: int) -> int:
        segment = (pc - heap.low) >> heap.shift
        for _ in range(_MAX_HOPS):
            tag = self._reader.unsigned(heap.segmap + segment, 1)
            if tag == 0:
                return segment
            if tag == _FREE or tag > segment:
                break
            segment -= tag
        raise Nonsense(_NO_CODE)

    def _read_blob(self, address: int, pc: int, end: int) -> CodeBlob:
        layout = self._layout.blob
        raw = self._reader.read(address, layout.struct_size)
        name = self._reader.cstring(layout.name.of(raw), 64)
        if name in {"nmethod", "native nmethod"}:
            raw = self._reader.read(address, self._layout.nmethod.struct_size)
        if layout.code_begin is not None:
            begin = layout.code_begin.of(raw)
        else:
            begin = address + (layout.code_offset.of(raw) if layout.code_offset else 0)
        size, frame_size = layout.size.of(raw), layout.frame_size.of(raw)
        if not address < begin <= pc <= address + size <= end:
            raise Nonsense(_NO_CODE)
        if frame_size >= 1 << 31:  # -1: no fixed frame
            frame_size = 0
        if frame_size > _MAX_FRAME_WORDS:
            raise Nonsense(f"its code blob has a frame of {frame_size} words")
        return CodeBlob(address, name, size, begin, frame_size, layout.data_offset.of(raw), raw)

    def _read_heaps(self) -> tuple[CodeHeap, ...]:
        heaps = tuple(self._read_heap(address) for address in self._heap_addresses())
        for heap in heaps:
            if not 0 < heap.high - heap.low <= _MAX_HEAP_BYTES or not 4 <= heap.shift <= 16:
                raise Nonsense("the code heaps are not initialised")
        return heaps

    def _heap_addresses(self) -> list[int]:
        layout = self._layout.heap
        if layout.heaps is None:
            address = self._reader.pointer(self._bias + ((layout.single and layout.single.address) or 0))
            return [address] if address else []
        array = self._reader.pointer(self._bias + (layout.heaps.address or 0))
        if not array or layout.array_length is None or layout.array_data is None:
            return []
        count = self._member(array, layout.array_length)
        if count > _MAX_HEAPS:
            raise Nonsense(f"{count} code heaps")
        data = self._member(array, layout.array_data)
        return [self._reader.pointer(data + 8 * index) for index in range(count)]

    def _read_heap(self, address: int) -> CodeHeap:
        layout, pointer = self._layout.heap, self._reader.pointer
        return CodeHeap(
            low=pointer(address + layout.low),
            high=pointer(address + layout.high),
            segmap=pointer(address + layout.segmap),
            shift=self._reader.unsigned(address + layout.segment_shift, 4),
        )

    def _member(self, address: int, member: Member) -> int:
        return self._reader.unsigned(address + member.offset, member.width)
