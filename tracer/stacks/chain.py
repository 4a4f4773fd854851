"""The contract between the unwinders: a cursor in, frames and the next cursor (or the reason to stop) out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Protocol

from tracer.machine.registers import RBP, RETURN_ADDRESS, RSP
from tracer.model.frame import Frame


class MemoryUnreadable(Exception):
    """Neither the copied stack nor the process has these bytes; the text names the address."""


class Memory(Protocol):
    """The target's memory as it was at the touch: the copied stack first, then ``/proc/PID/mem``."""

    def read(self, address: int, size: int) -> bytes:
        """Read exactly ``size`` bytes at ``address``; raises MemoryUnreadable."""

    def u64(self, address: int) -> int:
        """Read the little-endian 64-bit word at ``address``; raises MemoryUnreadable."""

    def stack_word(self, address: int, size: int) -> int:
        """Read the little-endian word at ``address`` of the copied stack and nowhere else: the live one has moved on.

        Raises MemoryUnreadable; the text then says why the stack ends here, in words for the report.
        """


@dataclass(frozen=True)
class Cursor:
    """Where the walk stands: one value per DWARF register (index 16 is the pc), None where it is not known.

    ``is_return`` says that the pc is a return address, so that its call lies one byte before it. ``note`` is a caveat
    on how this cursor was found; it goes to its frame.
    """

    registers: tuple[Optional[int], ...]
    is_return: bool
    note: Optional[str] = None

    @property
    def pc(self) -> int:
        """Program counter; 0 if unknown (which ends every walk)."""
        return self.registers[RETURN_ADDRESS] or 0

    @property
    def sp(self) -> int:
        """Stack pointer; 0 if unknown."""
        return self.registers[RSP] or 0

    @property
    def bp(self) -> Optional[int]:
        """Frame pointer register, None if it was not preserved."""
        return self.registers[RBP]

    @property
    def lookup(self) -> int:
        """The address to look code up by: inside the call instruction for a return address."""
        return self.pc - 1 if self.is_return else self.pc


@dataclass(frozen=True)
class Step:
    """The frames of one machine frame (inlined ones first), then the caller's cursor or the end.

    With ``caller`` None the walk is over: ``complete`` tells if that is the thread's first frame, otherwise ``stop``
    says why no caller could be found.
    """

    frames: tuple[Frame, ...]
    caller: Optional[Cursor]
    complete: bool = False
    stop: Optional[str] = None


class Unwinder(Protocol):
    """One link of the chain: compiled code with unwind tables, code without, a runtime's generated code."""

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step out of ``cursor``; None if its code is not this unwinder's."""
