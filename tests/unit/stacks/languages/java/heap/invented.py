"""An invented heap: classes and objects at chosen addresses, in a file that is read as a process's memory is."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from tracer.stacks.languages.java.heap.classes import Klass
from tracer.stacks.languages.java.heap.content import Array, Content
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.oops import Oops
from tracer.stacks.languages.java.heap.reach import Reach
from tracer.stacks.languages.java.heap.scan import Noted, scan
from tracer.stacks.languages.java.heap.spaces import Space

NARROW = Oops(4, 0, 0, 4, 0x7F0000000000, 3, 12)
FULL = Oops(8, 0, 0, 8, 0, 0, 16)
COMPACT = Oops(4, 0, 3, 0, 0x7F0000000000, 10, 8)
FORMS = {"narrow": NARROW, "full": FULL, "compact": COMPACT}
BOTTOM = 0x100000
_METADATA = 0x7F0000000000


@dataclass
class Invented:
    """A heap in use from BOTTOM to ``top``. Close it."""

    oops: Oops
    descriptor: int = field(default_factory=lambda: os.memfd_create("heap"))
    classes: list[Klass] = field(default_factory=list)
    top: int = BOTTOM

    def __post_init__(self) -> None:
        os.ftruncate(self.descriptor, BOTTOM + (64 << 20))

    def close(self) -> None:
        os.close(self.descriptor)

    def klass(self, name: str, references: int = 0, array: bool = False) -> Klass:
        """A class with that many fields, all of which are references; or an array of references."""
        at = self.oops.length_at + 4 if array and self.oops.length_at % 8 else self.oops.length_at
        begin = (at + self.oops.size - 1) // self.oops.size * self.oops.size
        address = _METADATA + 0x400 * (len(self.classes) + 1)
        made = Klass(
            address=address,
            number=self.oops.class_number(address),
            name=name,
            superclass=0,
            size=0 if array else begin + max(references, 1) * self.oops.size,
            is_reference_array=array,
            elements_at=self.oops.length_at + 8 if array else 0,
            references=() if array else tuple(range(begin, begin + references * self.oops.size, self.oops.size)),
            statics=False,
            mirror=0,
        )
        self.classes.append(made)
        return made

    def put(self, klass: Klass, *refers: int, at: int = 0) -> int:
        """An object, after those that are there or ``at`` an address; where it is."""
        address = at or self.top
        size = klass.elements_at + len(refers) * self.oops.size if klass.is_reference_array else klass.size
        raw = bytearray((size + 7) // 8 * 8)
        mark = 1 | (klass.number << 42 if self.oops.compact else 0)
        struct.pack_into("<Q", raw, 0, mark)
        if self.oops.class_bytes:
            raw[8 : 8 + self.oops.class_bytes] = klass.number.to_bytes(self.oops.class_bytes, "little")
        if klass.is_reference_array:
            struct.pack_into("<I", raw, self.oops.length_at, len(refers))
        begin = klass.elements_at if klass.is_reference_array else (klass.references or (0,))[0]
        for index, target in enumerate(refers):
            place = begin + index * self.oops.size
            raw[place : place + self.oops.size] = self.reference(target).to_bytes(self.oops.size, "little")
        os.pwrite(self.descriptor, raw, address)
        self.top = max(self.top, address + len(raw))
        return address

    def reference(self, address: int) -> int:
        return self.oops.reference(address) if address else 0

    def memory(self) -> Memory:
        return Memory(self.descriptor, float("inf"))

    def content(self, weak: tuple[str, ...] = ()) -> Content:
        made = Content(self.oops, self.classes)
        made.use([[(offset, klass.name in weak) for offset in klass.references] for klass in made.classes])
        return made

    def noted(self, content: Content, always: Klass) -> Noted:
        return scan(self.memory(), content, [Space(BOTTOM, self.top)], content.index[always.address])

    def reach(self, content: Content, noted: Noted, *threads: int) -> Reach:
        return Reach(self.memory(), content, noted, self.stored(content, *threads))

    @staticmethod
    def stored(content: Content, *addresses: int) -> Array:
        import numpy as np

        return content.encoded(np.array(sorted(addresses), dtype=np.uint64))
