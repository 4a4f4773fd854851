"""The target's memory at one touch: the stack from the black box, everything else from the live process."""

from __future__ import annotations

from typing import Optional, Protocol

from tracer.model.frame import BlackBox
from tracer.stacks.chain import CopyEnds, MemoryUnreadable

_MAX_STACK = 1 << 30


class Extent(Protocol):
    """A range of addresses, [start, end)."""

    @property
    def start(self) -> int:
        """The first address."""

    @property
    def end(self) -> int:
        """The first address after the range."""


class Live(Protocol):
    """The parts of the live process that are used. :class:`tracer.stacks.target.process.Process` has them."""

    def mapping(self, address: int) -> Optional[Extent]:
        """The mapping that contains ``address``; None if there is none."""

    def read(self, address: int, size: int) -> bytes:
        """Read exactly ``size`` bytes. Raises MemoryUnreadable."""


class BoxMemory:
    """Implements :class:`tracer.stacks.chain.Memory` for one black box.

    The stack beyond the copy is never read from the live process: later calls have overwritten it there.
    """

    def __init__(self, box: BlackBox, process: Live) -> None:
        self._box = box
        self._stack = box.stack
        self._start = box.sp
        self._end = box.sp + len(box.stack)
        self._process = process

    def read(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes at ``address``. Raises MemoryUnreadable."""
        copied = self._copied(address, size)
        if copied is not None:
            return copied
        if address < self._end and address + size > self._start or self._on_same_stack(address):
            raise self._unreadable(address, size)
        return self._process.read(address, size)

    def u64(self, address: int) -> int:
        """Read the little-endian 64-bit word at ``address``. Raises MemoryUnreadable."""
        return int.from_bytes(self.read(address, 8), "little")

    def stack_word(self, address: int, size: int) -> int:
        """Read the little-endian word of ``size`` bytes in the copied stack. Raises MemoryUnreadable."""
        copied = self._copied(address, size)
        if copied is None:
            raise self._unreadable(address, size)
        return int.from_bytes(copied, "little")

    def _copied(self, address: int, size: int) -> Optional[bytes]:
        """What the box holds of these addresses; None unless it holds all of it."""
        offset, box = address - self._start, self._box
        if offset < 0 or box.missing and self._missing(offset, size):
            return None
        if offset + size <= len(self._stack):
            return self._stack[offset : offset + size]
        offset -= box.far_offset
        if box.far and offset >= 0 and offset + size <= len(box.far):
            return box.far[offset : offset + size]
        return None

    def _missing(self, offset: int, size: int) -> bool:
        return any(start < offset + size and offset < end for start, end in self._box.missing)

    def _unreadable(self, address: int, size: int) -> MemoryUnreadable:
        box, offset = self._box, address - self._start
        if offset >= 0 and self._missing(offset, size):
            return MemoryUnreadable("this part of the stack was not in memory when it was copied")
        beyond = box.far and offset + size > box.far_offset + len(box.far)
        if offset < 0 or beyond or not self._on_same_stack(address):
            return MemoryUnreadable(f"the stack goes on at {address:#x}, on memory that was not copied")
        copied = _kib(len(self._stack) + len(box.far))
        if box.cramped:
            return CopyEnds(f"cut at {copied} KiB: the memory for deeper stacks was used up (raise --memory)")
        if box.cut:
            return CopyEnds(f"stack deeper than the {copied} KiB that were copied (raise --stack-bytes)")
        return CopyEnds("the rest of the stack was not in memory when it was copied")

    def _on_same_stack(self, address: int) -> bool:
        stack = self._process.mapping(self._start)
        if stack is None:
            return self._start <= address < self._start + _MAX_STACK
        return stack.start <= address < stack.end


def _kib(size: int) -> str:
    return f"{size / 1024:.1f}".rstrip("0").rstrip(".")
