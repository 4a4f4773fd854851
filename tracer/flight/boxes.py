"""Both pools of black boxes as one, by the handles of bpf/record.h."""

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
_AT_ONCE = 256
"""How many boxes are looked at in one step."""


class BoxHeader(NamedTuple):
    """Whose touch lies in a box; ``version`` changes with every writing. Times are CLOCK_MONOTONIC ns."""

    handle: int
    version: int
    sk: int
    birth_ns: int
    ns: int
    touch_seq: int
    which: int


Box = tuple[BoxHeader, BlackBox]


class _Pool:
    """One pool, whose boxes hold ``stack_bytes`` each.

    ``cramped``: what is cut here would have had more room in another pool.
    """

    def __init__(self, pool: BoxPool, stack_bytes: int, cramped: bool) -> None:
        self.pool, self._stack_bytes, self._cramped = pool, stack_bytes, cramped
        self._versions = [0] * pool.count

    def read(self, handle: int) -> Optional[Box]:
        data = self.pool.read(handle, lambda head: _HEAD + int(_BOX.unpack_from(head)[1]))
        if data is None:
            return None
        version, length, sk, birth, ns, pid, tid, touch_seq, which, _, *saved = _BOX.unpack_from(data)
        cut = length == self._stack_bytes
        box = BlackBox(pid, tid, _registers(saved), data[_HEAD : _HEAD + length], cut, cramped=cut and self._cramped)
        return BoxHeader(handle, version, sk, birth, ns, touch_seq, which), box

    def written(self) -> list[BoxHeader]:
        found: list[BoxHeader] = []
        idle = 0
        for first in range(0, self.pool.count, _AT_ONCE):
            known = self._versions[first : first + _AT_ONCE]
            versions = self.pool.versions(first, first + len(known))
            if versions != known:
                changed = [first + at for at, version in enumerate(versions) if version != known[at]]
                found += [header for index in changed if (header := self._changed(index)) is not None]
            # free boxes are given out last in, first out: a long untouched run is the end of the used part
            idle = 0 if any(versions) else idle + 1
            if idle > 4:
                break
        return found

    def _changed(self, index: int) -> Optional[BoxHeader]:
        """The header of a box that has been written; None while it is written again, which the next call will see."""
        handle = self.pool.handles[index]
        data = self.pool.read(handle, lambda _: _HEAD)
        if data is None:
            return None
        version, _, sk, birth, ns, _, _, touch_seq, which, *_ = _BOX.unpack_from(data)
        self._versions[index] = version
        return BoxHeader(handle, version, sk, birth, ns, touch_seq, which)


class Boxes:
    """The pools of a loaded program, with all boxes free at first."""

    def __init__(self, program: Program, sizes: Sizes) -> None:
        self.count = sizes.boxes + sizes.small_boxes
        cramped = sizes.stack_bytes > SMALL_STACK
        self._large = _pool(program, "boxes", sizes.boxes, layout.FIRST_BOX, sizes.stack_bytes)
        self._small = _pool(program, "small_boxes", sizes.small_boxes, layout.FIRST_SMALL_BOX, SMALL_STACK, cramped)

    def read(self, handle: int) -> Optional[Box]:
        """What lies in a box, None if it could not be read whole."""
        return self._of(handle).read(handle)

    def written(self) -> list[BoxHeader]:
        """The boxes that have been written since the last call, in pool order."""
        return self._large.written() + self._small.written()

    def give_back(self, handle: int) -> None:
        """Free a box that user space owns."""
        self._of(handle).pool.give_back(handle)

    def _of(self, handle: int) -> _Pool:
        return self._small if handle & layout.SMALL_BOX else self._large

    def close(self) -> None:
        """Unmap the pool's memory."""
        self._large.pool.close()
        self._small.pool.close()


def _pool(program: Program, name: str, count: int, first: int, stack_bytes: int, cramped: bool = False) -> _Pool:
    size = _HEAD + stack_bytes
    handles = range(first, first + count)
    pool = BoxPool(program.map(name, 4, size).descriptor, program.map(f"free_{name}", 0, 4), handles, size)
    pool.fill()
    return _Pool(pool, stack_bytes, cramped)
