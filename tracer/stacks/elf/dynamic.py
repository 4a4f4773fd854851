"""Reads ``.dynsym`` alone, without libdw: for a file whose other symbols may not be read (System V gABI)."""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from typing import NamedTuple

from tracer.stacks.elf.facts import ElfFacts

_MAX_BYTES = 8 << 20
_MAX_NAME = 4096
_SYMBOL = struct.Struct("<IBBHQQ")
_STT_FUNC = 2


class _Function(NamedTuple):
    start: int
    size: int
    name: int


class DynamicSymbols:
    """The functions that a file exports or imports by name; none if its sections are missing or too large."""

    def __init__(self, descriptor: int, facts: ElfFacts) -> None:
        self._names = _section(descriptor, facts, b".dynstr")
        table = _section(descriptor, facts, b".dynsym")
        found = [
            _Function(value, size, name)
            for name, info, _, section, value, size in _SYMBOL.iter_unpack(table[: len(table) // 24 * 24])
            if info & 15 == _STT_FUNC and section and size
        ]
        self._functions = sorted(found)
        self._starts = [function.start for function in self._functions]

    def find(self, address: int) -> tuple[str, int]:
        """The function that covers ``address``, and how far in it lies (bytes); an empty name if there is none."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._functions[index].start + self._functions[index].size:
            return "", 0
        function = self._functions[index]
        end = self._names.find(b"\0", function.name, function.name + _MAX_NAME)
        return self._names[function.name : max(end, 0)].decode("utf-8", "replace"), address - function.start


def _section(descriptor: int, facts: ElfFacts, name: bytes) -> bytes:
    section = facts.sections.get(name)
    if section is None or section.size > _MAX_BYTES:
        return b""
    try:
        return os.pread(descriptor, section.size, section.offset)
    except (OSError, OverflowError):
        return b""
