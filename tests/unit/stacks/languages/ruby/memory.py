"""Hand-made memory of a Ruby process: objects as include/ruby/internal/core and iseq.h lay them out."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.ruby.layouts import Layout

STRING, ARRAY, IMEMO = 5, 7, 26
NOT_EMBEDDED = 1 << 13
CODE = 0x7000_0000


class Memory:
    """Implements :class:`tracer.stacks.target.reader.Source`. Objects are put one after the other."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytearray] = {}
        self._next = 0x10000

    def put(self, data: bytes) -> int:
        """Put ``data`` at an address of its own, which is returned."""
        address, self._next = self._next, (self._next + len(data) + 63) // 64 * 64
        self._pieces[address] = bytearray(data)
        return address

    def change(self, address: int, data: bytes) -> None:
        """Write over what is at ``address``."""
        for start, piece in self._pieces.items():
            if start <= address < start + len(piece):
                piece[address - start : address - start + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        """As a process: raises MemoryUnreadable where there is nothing."""
        for start, piece in self._pieces.items():
            if start <= address and address + size <= start + len(piece):
                return bytes(piece[address - start : address - start + size])
        raise MemoryUnreadable(f"{address:#x}")

    def string(self, text: str, layout: Layout) -> int:
        """A String, short ones within the object."""
        data = text.encode()
        if len(data) > 20:
            return self.put(struct.pack("<QQQQ", STRING | NOT_EMBEDDED, 0, len(data), self.put(data)))
        if layout.embedded_length is None:
            return self.put(struct.pack("<QQQ", STRING, 0, len(data)) + data)
        return self.put(struct.pack("<QQ", STRING | len(data) << layout.embedded_length, 0) + data)

    def array(self, *elements: int) -> int:
        """An Array, short ones within the object."""
        if len(elements) <= 3:
            return self.put(struct.pack(f"<QQ{len(elements)}Q", ARRAY | 1 << 13 | len(elements) << 15, 0, *elements))
        place = self.put(struct.pack(f"<{len(elements)}Q", *elements))
        return self.put(struct.pack("<QQQQQ", ARRAY, 0, len(elements), 0, place))

    def iseq(
        self, layout: Layout, label: str, path: int, lines: Sequence[tuple[int, int]], words: int, age: int = 0
    ) -> int:
        """Compiled code at CODE of so many ``words``. ``lines``: from which place on which line is."""
        entries = self.put(b"".join(struct.pack("<iii", line, 0, 0) for _, line in lines))
        table = self.put(succinct([place for place, _ in lines], words))
        body = bytearray(512)
        struct.pack_into("<IIQ", body, 0, 1, words, CODE)
        struct.pack_into("<QQQ", body, 64, path, 0, self.string(label, layout))
        struct.pack_into("<QQIxxxxQ", body, layout.information, entries, 0, len(lines), table)
        return self.put(struct.pack("<QQQQQ", IMEMO | 7 << 12 | age << 5, 0, self.put(bytes(body)), 0, 0))


def succinct(places: Sequence[int], size: int) -> bytes:
    """struct succ_index_table, by succ_index_table_create in iseq.c."""
    first = [0] * 6
    rank = 0
    for place in range(54):
        rank += place in places
        first[place // 9] |= rank << place % 9 * 7
    data = struct.pack("<6Q", *first)
    for start in range(54, max(size, 55), 512):
        before, bits, ranks, within = rank, [0] * 8, 0, 0
        for small in range(8):
            if small:
                ranks |= within << (small - 1) * 9
            for bit in range(64):
                if start + small * 64 + bit in places:
                    bits[small] |= 1 << bit
                    within += 1
        data += struct.pack("<IxxxxQ8Q", before, ranks, *bits)
        rank += within
    return data
