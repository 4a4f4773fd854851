"""The target's memory at one touch: the stack from the black box, everything else from the live process."""

from __future__ import annotations

from typing import Optional, Protocol

from tracer.model.frame import BlackBox
from tracer.stacks.chain import MemoryUnreadable

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
        if self._start <= address and address + size <= self._end:
            return self._stack[address - self._start : address - self._start + size]
        if address < self._end and address + size > self._start or self._on_same_stack(address):
            raise MemoryUnreadable(self._why(address))
        return self._process.read(address, size)

    def u64(self, address: int) -> int:
        """Read the little-endian 64-bit word at ``address``. Raises MemoryUnreadable."""
        return int.from_bytes(self.read(address, 8), "little")

    def stack_word(self, address: int, size: int) -> int:
        """Read the little-endian word of ``size`` bytes in the copied stack. Raises MemoryUnreadable."""
        offset = address - self._start
        if offset < 0 or address + size > self._end:
            raise MemoryUnreadable(self._why(address))
        return int.from_bytes(self._stack[offset : offset + size], "little")

    def _why(self, address: int) -> str:
        if address < self._start or not self._on_same_stack(address):
            return f"the stack goes on at {address:#x}, on memory that was not copied"
        if self._box.cramped:
            return f"cut at {_kib(len(self._stack))} KiB: the memory for deeper stacks was used up (raise --memory)"
        if self._box.cut:
            return f"stack deeper than the {_kib(len(self._stack))} KiB that were copied (raise --stack-bytes)"
        return "the rest of the stack was not in memory when it was copied"

    def _on_same_stack(self, address: int) -> bool:
        stack = self._process.mapping(self._start)
        if stack is None:
            return self._start <= address < self._start + _MAX_STACK
        return stack.start <= address < stack.end


def _kib(size: int) -> str:
    return f"{size / 1024:.1f}".rstrip("0").rstrip(".")
