"""Typed, bounded reads of the target's live memory."""

from __future__ import annotations

from typing import Protocol

from tracer.machine.registers import PAGE_SIZE
from tracer.stacks.chain import MemoryUnreadable


class Source(Protocol):
    """Live memory of a process (tracer.stacks.process.Process is one)."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes; raises MemoryUnreadable."""


class Nonsense(Exception):
    """The memory holds what no JVM writes there (it was freed, or the layout differs); the text says what."""


class Reader:
    """Little-endian integers and strings out of a Source. All raise MemoryUnreadable."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        data = self._source.read(address, size)
        if len(data) != size:
            raise MemoryUnreadable(f"{size} bytes at {address:#x}")
        return data

    def unsigned(self, address: int, size: int) -> int:
        """An unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.read(address, size), "little")

    def signed(self, address: int, size: int) -> int:
        """A signed integer of ``size`` bytes."""
        return int.from_bytes(self.read(address, size), "little", signed=True)

    def pointer(self, address: int) -> int:
        """The 64-bit word at ``address``."""
        return self.unsigned(address, 8)

    def cstring(self, address: int, limit: int = 256) -> str:
        """The NUL-terminated string at ``address``; without a NUL in ``limit`` bytes it is cut there."""
        data = b""
        while len(data) < limit:
            here = address + len(data)
            # Never past the page: the next one may not be mapped.
            chunk = self.read(here, min(limit - len(data), 64, PAGE_SIZE - here % PAGE_SIZE))
            head, nul, _ = chunk.partition(b"\0")
            data += head
            if nul:
                break
        return data.decode("utf-8", "replace")
