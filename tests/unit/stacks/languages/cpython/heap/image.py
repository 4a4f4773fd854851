"""A CPython 3.11 heap, written by hand: objects as bytes at addresses, as its headers lay them out."""

from __future__ import annotations

import struct

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.codelayout import CODE_LAYOUTS
from tracer.stacks.languages.cpython.heap.layout import HEAP_LAYOUTS
from tracer.stacks.languages.cpython.heap.live import Live
from tracer.stacks.languages.cpython.heap.steps import Steps
from tracer.stacks.languages.cpython.heap.types import Types
from tracer.stacks.target.reader import Reader

BASE, SIZE = 0x10_0000, 1 << 20
HEAP_TYPE, GC, MANAGED = 1 << 9, 1 << 14, 1 << 4
LIST, TUPLE, TEXT, DICT, TYPE = 1 << 25, 1 << 26, 1 << 28, 1 << 29, 1 << 31


class Image:
    """Memory from BASE on. Each method puts an object there and gives its address."""

    def __init__(self) -> None:
        self.data = bytearray(SIZE)
        self._next = BASE
        self.type = self.room(912)
        self._fill_type(self.type, self.type, "type", 880, 0, TYPE | GC, [self.type])
        self.object_type = self.make_type("object", 16)
        self.text_type = self.make_type("str", 80, flags=TEXT)
        self.dict_type = self.make_type("dict", 48, flags=DICT | GC)
        self.list_type = self.make_type("list", 40, flags=LIST | GC)
        self.tuple_type = self.make_type("tuple", 24, item=8, flags=TUPLE | GC)
        self.deque_type = self.make_type("collections.deque", 80, flags=GC)
        self.set_type = self.make_type("set", 200, flags=GC)

    def read(self, address: int, size: int) -> bytes:
        """As Source."""
        at = address - BASE
        if at < 0 or at + size > SIZE:
            raise MemoryUnreadable(f"{address:#x}")
        return bytes(self.data[at : at + size])

    def room(self, size: int) -> int:
        """Space for an object, with the words that go before one."""
        address = self._next + 48
        self._next = (address + size + 15) & ~15
        return address

    def put(self, address: int, *words: int) -> None:
        """Write words."""
        struct.pack_into(f"<{len(words)}Q", self.data, address - BASE, *(word & (1 << 64) - 1 for word in words))

    def get(self, address: int) -> int:
        """A word."""
        return int(struct.unpack_from("<Q", self.data, address - BASE)[0])

    def cstring(self, text: str) -> int:
        """A C string."""
        address = self.room(len(text) + 1)
        self.data[address - BASE : address - BASE + len(text)] = text.encode()
        return address

    def make_type(self, name: str, basic: int, *, item: int = 0, flags: int = 0, keys: tuple[str, ...] = ()) -> int:
        """A type that is derived from nothing but itself. ``keys``: the attributes that its objects have in values."""
        address = self.room(912)
        self._fill_type(address, self.type, name, basic, item, flags, [address])
        if flags & HEAP_TYPE:
            layout = HEAP_LAYOUTS[11]
            self.put(address + layout.qualname, self.text(name))
            self.put(address + layout.cached_keys, self.keys([(self.text(key), 0) for key in keys]))
            module = [(self.text("__module__"), self.text("shop"))]
            self.put(address + 264, self.make_dict(module))
        return address

    def _fill_type(
        self, address: int, meta: int, name: str, basic: int, item: int, flags: int, bases: list[int]
    ) -> None:
        self.put(address, 1, meta)
        self.put(address + 24, self.cstring(name), basic, item)
        self.put(address + 168, flags)
        mro = self.room(24 + 8 * len(bases))
        self.put(mro, 1, 0, len(bases), *bases)
        self.put(address + 344, mro)

    def text(self, text: str) -> int:
        """A str."""
        address = self.room(48 + len(text) + 1)
        self.put(address, 1, self.text_type, len(text), 7, 1 << 2 | 1 << 5 | 1 << 6)
        self.data[address - BASE + 48 : address - BASE + 48 + len(text)] = text.encode()
        return address

    def keys(self, entries: list[tuple[int, int]], kind: int = 1) -> int:
        """A table of keys that are str, of 8 places at least."""
        address = self.room(32 + 8 + 16 * len(entries))
        self.put(address, 1)
        self.data[address - BASE + 9], self.data[address - BASE + 10] = 3, kind
        self.put(address + 24, len(entries))
        for index, entry in enumerate(entries):
            self.put(address + 40 + 16 * index, *entry)
        return address

    def make_dict(self, entries: list[tuple[int, int]]) -> int:
        """A dict with keys that are str."""
        return self.object(self.dict_type, 48, {16: len(entries), 32: self.keys(entries)})

    def object(self, kind: int, size: int, words: dict[int, int]) -> int:
        """Any object: its words by offset."""
        address = self.room(size)
        self.put(address, 1, kind)
        for offset, word in words.items():
            self.put(address + offset, word)
        return address

    def make_list(self, items: list[int], size: int) -> int:
        """A list whose place has ``items``, of which ``size`` count."""
        place = self.room(8 * len(items))
        self.put(place, *items)
        return self.object(self.list_type, 40, {16: size, 24: place})

    def make_deque(self, words: list[int], first: int, size: int) -> int:
        """A deque with one block, which has these words."""
        block = self.room(8 * 66)
        self.put(block + 8, *words)
        return self.object(self.deque_type, 80, {16: size, 24: block, 32: block, 40: first, 48: first + size - 1})

    def instance(self, kind: int, values: list[int], dictionary: int = 0) -> int:
        """An object with attributes apart."""
        address, place = self.object(kind, 16, {}), self.room(8 * max(len(values), 1))
        self.put(place, *values)
        self.put(address - 32, place if values else 0, dictionary)
        return address


def steps_of(image: Image) -> Steps:
    """What finds references in it."""
    live = Live(Reader(image), HEAP_LAYOUTS[11], CODE_LAYOUTS[11])
    return Steps(live, Types(live, image.type))
