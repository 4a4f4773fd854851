"""Reads integers and strings from the target's live memory, with limits."""

from __future__ import annotations

from typing import Protocol

from tracer.machine.registers import PAGE_SIZE
from tracer.stacks.chain import MemoryUnreadable


class Source(Protocol):
    """Live memory of a process, such as tracer.stacks.target.process.Process."""

    def read(self, address: int, size: int) -> bytes:
        """Read exactly ``size`` bytes. Raises MemoryUnreadable."""


class Nonsense(Exception):
    """The memory holds what the runtime never writes: it was freed, or has another layout. The text says what."""


class Reader:
    """Reads little-endian integers and strings from a Source. All methods raise MemoryUnreadable."""

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
        """The NUL-terminated string at ``address``, cut after ``limit`` bytes."""
        data = b""
        while len(data) < limit:
            here = address + len(data)
            # Never read past a page: the next one may not be mapped.
            chunk = self.read(here, min(limit - len(data), 64, PAGE_SIZE - here % PAGE_SIZE))
            head, nul, _ = chunk.partition(b"\0")
            data += head
            if nul:
                break
        return data.decode("utf-8", "replace")
