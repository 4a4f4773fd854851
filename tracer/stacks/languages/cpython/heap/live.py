"""Single values of live memory: words, text and dicts of a CPython, each with what has to be true for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.cpython.codelayout import CodeLayout
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.layout import HeapLayout
from tracer.stacks.target.reader import Nonsense, Reader

LOWEST = 4096
_MOST_ENTRIES = 1 << 24
_CHARACTERS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
_LONGEST = 512
_READ_AT_ONCE = 1 << 20
GENERAL, TEXT_KEYS, SPLIT = 0, 1, 2


@dataclass(frozen=True)
class Fact:
    """The word at ``address``, of which only the bits of ``mask`` count, is from ``least`` to ``most``."""

    address: int
    least: int
    most: int
    mask: int = (1 << 64) - 1


def is_word(address: int, value: int) -> Fact:
    """The word is exactly this."""
    return Fact(address, value, value)


def is_more(address: int, value: int) -> Fact:
    """The word is a larger number."""
    return Fact(address, value + 1, (1 << 63) - 1)


@dataclass(frozen=True)
class Entry:
    """One entry of a dict: addresses of key and value, where the value is, and what leads there."""

    key: int
    value: int
    facts: tuple[Fact, ...]


class Live:
    """Raises MemoryUnreadable and Nonsense, everywhere."""

    def __init__(self, reader: Reader, layout: HeapLayout, code: CodeLayout) -> None:
        self.reader, self.layout, self.code = reader, layout, code

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """``count`` words."""
        return struct.unpack(f"<{count}Q", self.reader.read(address, 8 * count))

    def text(self, address: int) -> str:
        """A str."""
        head = self.reader.read(address, 40)
        length, state = struct.unpack_from("<q", head, at.SIZE)[0], struct.unpack_from("<I", head, 32)[0]
        kind, compact, is_ascii = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if not compact or kind not in _CHARACTERS or not 0 <= length <= _LONGEST:
            raise Nonsense("a str that is none")
        start = address + (self.code.ascii if is_ascii else self.code.wide)
        return self.reader.read(start, length * kind).decode(_CHARACTERS[kind], "replace")

    def entries(self, address: int) -> Iterator[Entry]:
        """The entries of the dict at ``address`` that have a value."""
        keys, values = self.words(address + at.DICT_KEYS, 2)
        kind, base, count = self.keys(keys)
        facts = (is_word(address + at.DICT_KEYS, keys),)
        if kind == SPLIT or values:
            yield from self._split(base, kind, values, count, (*facts, is_word(address + at.DICT_VALUES, values)))
            return
        width = 3 if kind == GENERAL else 2
        for first in range(0, count, _READ_AT_ONCE // 8 // width):
            some = min(count - first, _READ_AT_ONCE // 8 // width)
            place = base + 8 * width * first
            words = self.words(place, width * some)
            for index in range(some):
                key, value = words[width * index + width - 2], words[width * index + width - 1]
                if value:
                    slot = place + 8 * (width * index + width - 1)
                    yield Entry(key, value, (*facts, is_word(slot - 8, key), is_word(slot, value)))

    def _split(self, base: int, kind: int, values: int, count: int, facts: tuple[Fact, ...]) -> Iterator[Entry]:
        start = values + self.layout.split_values
        for index, value in enumerate(self.words(start, min(count, 64))):
            if value:
                yield Entry(self.key(base, kind, index), value, (*facts, is_word(start + 8 * index, value)))

    def keys(self, address: int) -> tuple[int, int, int]:
        """Of a table of keys: the kind, where the entries begin, and how many there are."""
        head = self.reader.read(address, at.KEYS_END)
        log, kind, count = head[at.KEYS_LOG], head[at.KEYS_KIND], struct.unpack_from("<q", head, at.KEYS_COUNT)[0]
        if log > 40 or kind > SPLIT or not 0 <= count <= _MOST_ENTRIES:
            raise Nonsense("a table of keys that is none")
        return kind, address + at.KEYS_END + (1 << log), count

    def key(self, base: int, kind: int, index: int) -> int:
        """The address of a key in a table whose entries begin at ``base``."""
        return self.reader.pointer(base + (24 * index + 8 if kind == GENERAL else 16 * index))

    def where(self, code: int) -> tuple[str, str]:
        """A code object's name for people, ``fetch (app.py:29)``, and its file."""
        head = self.reader.read(code, 136)
        name, file = (self.text(struct.unpack_from("<Q", head, place)[0]) for place in (128, self.code.filename))
        line = struct.unpack_from("<i", head, self.code.first_line)[0]
        return f"{name} ({file.rpartition('/')[2]}:{line})", file

    def variable(self, code: int, index: int) -> Optional[str]:
        """The name of a variable of a code object, by its place in a frame; None on the evaluation stack."""
        count = self.reader.unsigned(code + self.layout.variable_count, 4)
        if index >= count:
            return None
        names = self.reader.pointer(code + self.layout.variable_names)
        return self.text(self.reader.pointer(names + self.layout.tuple_items + 8 * index))
