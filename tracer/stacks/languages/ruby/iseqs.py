"""Reads compiled Ruby code (an iseq): what it is called, its file, and the line of an instruction (iseq.c)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.ruby import layouts as at
from tracer.stacks.languages.ruby.layouts import Layout
from tracer.stacks.languages.ruby.values import ISEQ, METHOD_ENTRY, Values
from tracer.stacks.target.reader import Nonsense

_MOST_WORDS, _MOST_ENTRIES, _MOST_LINE, _MOST_TYPE = 1 << 20, 1 << 18, 1 << 24, 9
_AGE_SHIFT, _AGE_MASK = 5, 3
OLD = 3
"""The collections that an object has surely survived that is marked as old (RVALUE_OLD_AGE in gc.c)."""
# struct succ_index_table: ranks of 7 bits, nine a word, for the first places, then blocks of 512 places.
_FIRST_PLACES, _PER_WORD, _RANK_BITS = 54, 9, 7
_BLOCK_PLACES, _BLOCK_BYTES, _SMALL_PLACES, _SMALL_BITS = 512, 80, 64, 9
_TABLE_HEAD = _FIRST_PLACES // _PER_WORD * 8
_WORD = 8


@dataclass(frozen=True)
class Iseq:
    """Compiled code. Two are the same code if they are equal. ``code`` and ``words``: where its instructions lie.

    ``known_by`` is what :func:`known_by` gives.
    """

    address: int
    known_by: int
    body: int
    code: int
    words: int
    label: str
    file: str

    def position(self, pc: int) -> int:
        """The place of the instruction in words; -1 if ``pc`` is not in this code."""
        place, rest = divmod(pc - self.code, _WORD)
        return place if 0 <= place <= self.words and not rest else -1


@dataclass(frozen=True)
class Method:
    """The entry of a method that is written in C."""

    address: int
    known_by: int
    name: str


def known_by(body: int, head: bytes) -> int:
    """What tells code from other code at the same place: where its body, its instructions, its name and path lie."""
    places = (at.BODY_CODE, at.BODY_PATH, at.BODY_LABEL)
    return hash((body, *(head[place : place + _WORD] for place in places)))


class Iseqs:
    """The compiled code of one process. All methods raise Nonsense and MemoryUnreadable.

    ``symbols`` is the address of the table of symbols, None if it is not known.
    """

    def __init__(self, values: Values, layout: Layout, symbols: Optional[int]) -> None:
        self._values, self._reader, self._layout, self._symbols = values, values.reader, layout, symbols

    def method(self, address: int) -> tuple[Method, int]:
        """The method entry at ``address``, and how many garbage collections it has surely survived."""
        flags = self._values.internal(address, METHOD_ENTRY)
        definition = self._reader.pointer(address + at.METHOD_DEFINITION)
        name = self._values.symbol(self._reader.pointer(definition + at.DEFINITION_NAME), self._symbols)
        return Method(address, hash(definition), name), self._age(flags)

    def read(self, address: int) -> tuple[Iseq, int]:
        """The code at ``address``, and how many garbage collections it has surely survived."""
        flags = self._values.internal(address, ISEQ)
        body = self._reader.pointer(address + at.ISEQ_BODY)
        head = self._reader.read(body, at.KNOWN_BYTES)
        kind, words, code = struct.unpack_from("<IIQ", head, at.BODY_TYPE)
        path, label = (int.from_bytes(head[place : place + 8], "little") for place in (at.BODY_PATH, at.BODY_LABEL))
        if kind > _MOST_TYPE or not 0 < words <= _MOST_WORDS or code % _WORD:
            raise Nonsense(f"the code at {address:#x} is not intact")
        name, file = self._values.string(label), self._values.path(path)
        return Iseq(address, known_by(body, head), body, code, words, name, file), self._age(flags)

    def handler(self, iseq: Iseq) -> int:
        """The address of the machine code for its first instruction."""
        return self._reader.pointer(iseq.code)

    def _age(self, flags: int) -> int:
        age = flags >> _AGE_SHIFT & _AGE_MASK
        return age if self._layout.counts_ages else OLD if age else 0

    def line(self, iseq: Iseq, position: int) -> int:
        """The line of the call before the instruction at ``position``, as Ruby's own backtraces have it."""
        information = iseq.body + self._layout.information
        entries, _, size, table = struct.unpack("<QQIxxxxQ", self._reader.read(information, 32))
        if not 0 < size <= _MOST_ENTRIES:
            raise Nonsense("the code has no lines")
        index = self._rank(table, max(position - 1, 0)) - 1 if size > 1 else 0
        if not 0 <= index < size:
            raise Nonsense("the table of lines is not intact")
        line = self._reader.signed(entries + index * at.INSTRUCTION_INFO_BYTES, 4)
        if not 0 <= line < _MOST_LINE:
            raise Nonsense("the line is not intact")
        return line

    def _rank(self, table: int, place: int) -> int:
        """How many entries of the lines begin at or before ``place`` (succ_index_lookup)."""
        if place < _FIRST_PLACES:
            word = self._reader.pointer(table + place // _PER_WORD * 8)
            return word >> place % _PER_WORD * _RANK_BITS & ((1 << _RANK_BITS) - 1)
        block, within = divmod(place - _FIRST_PLACES, _BLOCK_PLACES)
        data = self._reader.read(table + _TABLE_HEAD + block * _BLOCK_BYTES, _BLOCK_BYTES)
        rank, ranks, *bits = struct.unpack("<IxxxxQ8Q", data)
        small, bit = divmod(within, _SMALL_PLACES)
        before = ranks >> (small - 1) * _SMALL_BITS & ((1 << _SMALL_BITS) - 1) if small else 0
        return int(rank + before + bin(bits[small] & ((2 << bit) - 1)).count("1"))
