"""Both pools of black boxes as one, by the slot numbers of bpf/record.h."""

from __future__ import annotations

import ctypes as ct
import struct
from operator import itemgetter
from typing import NamedTuple, Optional

from tracer.flight import layout
from tracer.kernel.maps import BoxPool
from tracer.kernel.program import Program
from tracer.kernel.source import SMALL_STACK, Sizes
from tracer.machine.registers import PT_REGS_OF_DWARF
from tracer.model.frame import BlackBox

_HEAD = ct.sizeof(layout.BoxHead)
_BOX = struct.Struct("<IIQQQIIIHH21Q")  # struct ct_box_head
_registers = itemgetter(*PT_REGS_OF_DWARF)
_SLOTS = 256
"""How many slots are looked at in one step."""


class SlotHeader(NamedTuple):
    """Whose touch lies in a slot; ``version`` changes with every writing."""

    slot: int
    version: int
    sk: int
    birth_ns: int
    ns: int
    touch_seq: int
    which: int


class _Pool:
    """One pool: its slots have the numbers from ``base`` on and hold ``stack_bytes`` each.

    ``cramped``: what is cut here would have had more room in another pool.
    """

    def __init__(self, pool: BoxPool, base: int, stack_bytes: int, cramped: bool) -> None:
        self.pool, self._base, self._stack_bytes, self._cramped = pool, base, stack_bytes, cramped
        self._versions = [0] * pool.count

    def read(self, slot: int) -> Optional[tuple[SlotHeader, BlackBox]]:
        data = self.pool.read(slot - self._base, lambda head: _HEAD + int(_BOX.unpack_from(head)[1]))
        if data is None:
            return None
        version, length, sk, birth, ns, pid, tid, touch_seq, which, _, *saved = _BOX.unpack_from(data)
        cut = length == self._stack_bytes
        box = BlackBox(pid, tid, _registers(saved), data[_HEAD : _HEAD + length], cut, cramped=cut and self._cramped)
        return SlotHeader(slot, version, sk, birth, ns, touch_seq, which), box

    def written(self) -> list[SlotHeader]:
        found: list[SlotHeader] = []
        idle = 0
        for first in range(0, self.pool.count, _SLOTS):
            known = self._versions[first : first + _SLOTS]
            versions = self.pool.versions(first, first + len(known))
            if versions != known:
                changed = [at for at, version in enumerate(versions) if version != known[at]]
                found += [header for at in changed if (header := self._header(first + at)) is not None]
            # free slots are given out last in, first out: a long untouched run is the end of the used part
            idle = 0 if any(versions) else idle + 1
            if idle > 4:
                break
        for header in found:
            self._versions[header.slot - self._base] = header.version
        return found

    def _header(self, index: int) -> Optional[SlotHeader]:
        data = self.pool.read(index, lambda _: _HEAD)
        if data is None:
            return None
        version, _, sk, birth, ns, _, _, touch_seq, which, *_ = _BOX.unpack_from(data)
        return SlotHeader(self._base + index, version, sk, birth, ns, touch_seq, which)


class Boxes:
    """The pools of a loaded program, with all slots free at first."""

    def __init__(self, program: Program, sizes: Sizes) -> None:
        self.count = sizes.boxes + sizes.small_boxes
        cramped = sizes.stack_bytes > SMALL_STACK
        self._large = _pool(program, "boxes", sizes.boxes, 0, sizes.stack_bytes, False)
        self._small = _pool(program, "small_boxes", sizes.small_boxes, layout.SMALL_BOX, SMALL_STACK, cramped)

    def read(self, slot: int) -> Optional[tuple[SlotHeader, BlackBox]]:
        """The content of a slot, None if it could not be read whole."""
        return self._of(slot).read(slot)

    def written(self) -> list[SlotHeader]:
        """The slots that have been written since the last call, in pool order."""
        return self._large.written() + self._small.written()

    def give_back(self, slot: int) -> None:
        """Free a slot that user space owns."""
        self._of(slot).pool.give_back(slot & ~layout.SMALL_BOX)

    def _of(self, slot: int) -> _Pool:
        return self._small if slot & layout.SMALL_BOX else self._large

    def close(self) -> None:
        """Unmap."""
        self._large.pool.close()
        self._small.pool.close()


def _pool(program: Program, name: str, count: int, base: int, stack_bytes: int, cramped: bool) -> _Pool:
    size = _HEAD + stack_bytes
    pool = BoxPool(program.map(name, 4, size).descriptor, program.map(f"free_{name}", 0, 4), count, size)
    pool.fill()
    return _Pool(pool, base, stack_bytes, cramped)
