"""Reads Go's own function table. The runtime needs it, so ``-ldflags "-s -w"`` does not remove it.

It has the names of functions, source lines, and for each instruction the distance from the stack pointer to the return
address (Go source: src/internal/abi/symtab.go, src/runtime/symtab.go, src/debug/gosym/pclntab.go). Go 1.16 and later.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional

from tracer.machine import registers as arch
from tracer.stacks.elf.cfi import RegisterPlus, Rule
from tracer.stacks.elf.facts import Section
from tracer.stacks.languages.go import starts_stack

_MAX_TABLE_BYTES = 512 << 20
_GO_1_16, _GO_1_18, _GO_1_20 = 0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1
_PCDATA_INLINED = 2
_DAMAGED = (struct.error, ValueError, IndexError, OverflowError)
"""What a read may raise if the table is damaged."""


@dataclass(frozen=True)
class GoFunction:
    """One function: its name, its first address, and the offset of its ``_func`` record in the table (bytes)."""

    name: str
    entry: int
    record: int


def open_table(descriptor: int, section: Section, text: Optional[Section]) -> Optional[GoTable]:
    """Read the table in ``section`` of the ELF file behind ``descriptor``; None if it cannot be read.

    ``text`` is the section that holds the code.
    """
    if section.size > _MAX_TABLE_BYTES:
        return None
    try:
        return GoTable(os.pread(descriptor, section.size, section.offset), text.address if text else 0)
    except (OSError, *_DAMAGED):
        return None


class GoTable:
    """The function table of one file. Addresses are those of the file."""

    def __init__(self, data: bytes, text: int) -> None:
        """Parse the header. Raises ValueError or struct.error for any other table."""
        magic, _, quantum, pointer = struct.unpack_from("<IHBB", data)
        if magic not in (_GO_1_16, _GO_1_18, _GO_1_20) or pointer != 8:
            raise ValueError("unknown version of Go's function table")
        self._data = data
        self._quantum = quantum
        self._wide = magic == _GO_1_16
        # Go 1.18 added the address of the text after the two counts. Position-independent files relocate it.
        words = struct.unpack_from("<8Q", data, 8)
        if self._wide:
            self._text = 0
        else:
            self._text = words[2] or text
            words = (*words[:2], *words[3:])
        self._count, _, self._names, self._units, self._files, self._values, self._functions = words[:7]
        # _func: entry (4 or 8), nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset, [startLine,] 4 bytes
        self._fixed = (8 if self._wide else 4) + 32 + (4 if magic == _GO_1_20 else 0) + 4
        self._find_cached = lru_cache(maxsize=4096)(self._find)

    def function(self, address: int) -> Optional[GoFunction]:
        """Find the function that contains ``address``; None if there is none."""
        try:
            return self._find_cached(address)
        except _DAMAGED:
            return None

    def rule(self, address: int) -> Optional[Rule]:
        """Make the unwind rule for ``address`` only. Go preserves no register over calls except the frame pointer."""
        function = self.function(address)
        if function is None or starts_stack(function.name):
            return None
        try:
            size = self._value(function, self._field(function, 3), address)
        except _DAMAGED:
            return None
        if size is None or size < 0:
            return None
        # Every function with a frame saves the frame pointer just below the return address.
        frame_pointer = ((arch.RBP, -16),) if size >= 8 else ()
        return Rule(
            start=address,
            end=address + 1,
            cfa=RegisterPlus(arch.RSP, size + 8),
            saved=((arch.RETURN_ADDRESS, -8), *frame_pointer),
            values=((arch.RSP, 0),),
            copies=() if frame_pointer else ((arch.RBP, arch.RBP),),
            expressions=(),
            return_register=arch.RETURN_ADDRESS,
            signal=False,
        )

    def line(self, address: int) -> tuple[Optional[str], Optional[int]]:
        """Find file and line of ``address``; None in an inlined call, because its line is in another function."""
        function = self.function(address)
        if function is None:
            return None, None
        try:
            tables = self._field(function, 6)
            if tables > _PCDATA_INLINED:
                (inlined,) = struct.unpack_from("<I", self._data, function.record + self._fixed + 4 * _PCDATA_INLINED)
                if inlined and (self._value(function, inlined, address) or 0) >= 0:
                    return None, None
            number = self._value(function, self._field(function, 4), address)
            line = self._value(function, self._field(function, 5), address)
            unit = self._field(function, 7)
            if number is None or number < 0 or unit == 0xFFFFFFFF:
                return None, None
            (offset,) = struct.unpack_from("<I", self._data, self._units + 4 * (unit + number))
            return self._string(self._files + offset), line
        except _DAMAGED:
            return None, None

    def _find(self, address: int) -> Optional[GoFunction]:
        entry_format, size = ("<QQ", 16) if self._wide else ("<II", 8)
        target = address - self._text
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if struct.unpack_from(entry_format, self._data, self._functions + middle * size)[0] <= target:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return None
        entry, record = struct.unpack_from(entry_format, self._data, self._functions + (low - 1) * size)
        # The entry after the last function has only the end of the text.
        (end,) = struct.unpack_from(entry_format[:2], self._data, self._functions + low * size)
        if target >= end:
            return None
        record += self._functions
        (name,) = struct.unpack_from("<i", self._data, record + (8 if self._wide else 4))
        return GoFunction(self._string(self._names + name), entry + self._text, record)

    def _field(self, function: GoFunction, index: int) -> int:
        """Read a 32-bit field of ``_func``. ``index`` counts from nameOff."""
        base = function.record + (8 if self._wide else 4)
        return int(struct.unpack_from("<I", self._data, base + 4 * index)[0])

    def _value(self, function: GoFunction, offset: int, address: int) -> Optional[int]:
        """Read a pc-value table: pairs of a zigzag change of the value and the number of instructions that have it."""
        if offset == 0:
            return None
        position = self._values + offset
        value, pc, first = -1, function.entry, True
        while True:
            change, position = self._varint(position)
            if change == 0 and not first:
                return None
            first = False
            value += -(change >> 1) - 1 if change & 1 else change >> 1
            step, position = self._varint(position)
            pc += step * self._quantum
            if address < pc:
                return value

    def _varint(self, position: int) -> tuple[int, int]:
        result = shift = 0
        while shift < 35:
            byte = self._data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, position
            shift += 7
        raise ValueError("a number in the table does not end")

    def _string(self, offset: int) -> str:
        end = self._data.find(b"\0", offset, offset + 4096)
        if offset < 0 or end < 0:
            raise ValueError("a name in the table does not end")
        return self._data[offset:end].decode("utf-8", "replace")
