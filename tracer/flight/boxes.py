"""All pools of black boxes as one, by the handles of bpf/record.h."""

from __future__ import annotations

import ctypes as ct
import struct
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple, Optional

from tracer.flight import layout
from tracer.kernel.maps import BoxPool
from tracer.kernel.program import Program
from tracer.kernel.source import FAR_SHARE, PAGE, SMALL_STACK, Sizes
from tracer.machine.registers import PT_REGS_OF_DWARF
from tracer.model.frame import BlackBox, WordsEnd

_HEAD = ct.sizeof(layout.BoxHead)
_BOX = struct.Struct("<IIQQQIII4BII21Q")  # struct ct_box_head
# of the same head, what tells how much of the box is in use
_USED = struct.Struct(f"<{layout.BoxHead.length.offset}xI{layout.BoxHead.language.offset - 8}xB")
_PAIR = struct.Struct("<QQ")
_ENDS = {int(end): end for end in WordsEnd}
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
        data = self.pool.read(handle, self._used)
        if data is None:
            return None
        version, length, sk, birth, ns, pid, tid, touch_seq, which, *rest = _BOX.unpack_from(data)
        language, frames, end, missing, gap, *saved = rest
        room = layout.WORDS_BYTES if language else 0
        stack = data[_HEAD : _HEAD + length]
        cut = length == self._stack_bytes - room
        box = BlackBox(pid, tid, _registers(saved), stack, cut, cramped=cut and self._cramped, ns=ns)
        if language:
            box = with_words(box, data[_HEAD:], language, (frames, end), gap)
        if missing or gap:
            box = with_holes(box, missing, gap, room)
        return BoxHeader(handle, version, sk, birth, ns, touch_seq, which), box

    def _used(self, head: bytes) -> int:
        """How many bytes of the box whose head this is are in use: the words lie at its end."""
        length, language = _USED.unpack_from(head)
        return _HEAD + (self._stack_bytes if language else int(length))

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


def with_words(box: BlackBox, area: bytes, language: int, told: tuple[int, int], gap: int) -> BlackBox:
    """``box`` with the words of an interpreter's frames, which lie in ``area``, the kernel side's box without its head.

    ``told`` are how many frames there are and why there are no more, as the head has them. The words come before the
    far part (see ``gap``), which then belongs to the stack.
    """
    far_bytes = _far_bytes(len(area)) if gap else 0
    near_end = len(area) - far_bytes
    frames, end = told
    if frames > layout.MOST_FRAMES:
        frames, end = 0, WordsEnd.NONE  # pending
    at = near_end - layout.WORDS_BYTES
    words = tuple(_PAIR.iter_unpack(area[at : at + frames * _PAIR.size]))
    stack = area[:at] + area[near_end:] if gap else box.stack
    return replace(box, stack=stack, words=words, words_end=_ENDS.get(end, WordsEnd.NONE), language=language)


def with_holes(box: BlackBox, missing: int, gap: int, room: int = 0) -> BlackBox:
    """``box``, whose stack is what lies in the kernel side's box, as ``missing`` and ``gap`` of its head say it is.

    See struct ct_box_head and ct_copy_stack in bpf/. What is missing at the end is no part of the stack. ``room`` is
    how many bytes of the near part are not the stack's.
    """
    copied, far_bytes = box.stack, _far_bytes(len(box.stack) + room) if gap else 0
    near_bytes = len(copied) - far_bytes
    far_offset = near_bytes + gap
    holes = _pages(box.sp, near_bytes, missing, 0)
    if gap:
        near_pages = (near_bytes + room) // PAGE
        holes += _pages(box.sp + far_offset, far_bytes, missing >> (near_pages + 1), far_offset)
    far, stack = copied[near_bytes:], copied[:near_bytes]
    if not gap and holes and holes[-1][1] == near_bytes:
        stack = stack[: holes.pop()[0]]
        return replace(box, stack=stack, cut=False, cramped=False, missing=tuple(holes))
    return replace(box, stack=stack, far=far, far_offset=far_offset if gap else 0, missing=tuple(holes))


def _far_bytes(size: int) -> int:
    """How many bytes of a box for ``size`` bytes are its far part."""
    return size // PAGE // FAR_SHARE * PAGE


def _pages(address: int, size: int, missing: int, offset: int) -> list[tuple[int, int]]:
    """Which parts of ``size`` bytes at ``address`` are missing, by a bit for each page; counted from ``offset``."""
    holes: list[tuple[int, int]] = []
    start = 0
    while start < size:
        end = min(size, start + PAGE - (address + start) % PAGE)
        if missing & 1:
            joined = holes and holes[-1][1] == offset + start
            holes.append((holes.pop()[0] if joined else offset + start, offset + end))
        start, missing = end, missing >> 1
    return holes


class Boxes:
    """The pools of a loaded program, with all boxes free at first."""

    def __init__(self, program: Program, sizes: Sizes) -> None:
        usual, most = sizes.usual_stack, sizes.stack_bytes
        self.deep_count = sizes.deep_boxes
        self.count = sizes.boxes + sizes.small_boxes + sizes.deep_boxes
        self._usual = _pool(program, "boxes", sizes.boxes, layout.FIRST_BOX, usual, usual < most)
        self._small = _pool(
            program, "small_boxes", sizes.small_boxes, layout.FIRST_SMALL_BOX, SMALL_STACK, most > SMALL_STACK
        )
        self._pools = [self._usual, self._small]
        if sizes.deep_boxes:
            self._deep = _pool(program, "deep_boxes", sizes.deep_boxes, layout.FIRST_DEEP_BOX, most)
            self._pools.append(self._deep)

    def read(self, handle: int) -> Optional[Box]:
        """What lies in a box, None if it could not be read whole."""
        return self._of(handle).read(handle)

    def written(self) -> list[BoxHeader]:
        """The boxes that have been written since the last call, in pool order."""
        return [header for pool in self._pools for header in pool.written()]

    def give_back(self, handle: int) -> None:
        """Free a box that user space owns."""
        self._of(handle).pool.give_back(handle)

    def _of(self, handle: int) -> _Pool:
        if handle & layout.SMALL_BOX:
            return self._small
        return self._deep if handle & layout.DEEP_BOX else self._usual

    def close(self) -> None:
        """Unmap the memory of all pools."""
        for pool in self._pools:
            pool.pool.close()


def _pool(program: Program, name: str, count: int, first: int, stack_bytes: int, cramped: bool = False) -> _Pool:
    size = _HEAD + stack_bytes
    handles = range(first, first + count)
    pool = BoxPool(program.map(name, 4, size).descriptor, program.map(f"free_{name}", 0, 4), handles, size)
    pool.fill()
    return _Pool(pool, stack_bytes, cramped)
