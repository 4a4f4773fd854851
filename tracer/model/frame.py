"""Stack frames, stacks, and the raw material that they are unwound from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.machine.registers import RETURN_ADDRESS, RSP
from tracer.model.slotted import slotted


@dataclass(frozen=True)
class Frame:
    """One line of a stack, innermost first in a :class:`Stack`.

    ``function`` is None where no symbol covers the address: the frame is then known as ``module+0xoffset``.
    ``offset`` (bytes) counts from the start of ``function``, or from the module's load base without one.
    ``inlined`` frames share the machine frame of the next frame that is not inlined.
    ``language`` is a name from ``stacks/registry.py``; compiled code that no language owns is ``native``.
    ``internal`` marks frames of the runtime or its standard library (the C library), which reports fold.
    ``note`` is a caveat on this frame alone ("found by frame pointer").
    ``of_program`` is true in an installed package if that is the main program of the process, and in the generated
    script that starts it.
    """

    function: Optional[str]
    module: Optional[str]
    offset: int = 0
    file: Optional[str] = None
    line: Optional[int] = None
    language: str = "native"
    inlined: bool = False
    internal: bool = False
    note: Optional[str] = None
    pc: int = 0
    of_program: bool = False


@dataclass(frozen=True)
class Stack:
    """Frames, innermost first. ``note`` says why the stack ends where it ends unless it is ``complete``.

    ``complete`` is true only if the walk met the end that the ABI marks (return address undefined) or the
    thread's first frame of a runtime that marks it otherwise.
    """

    frames: tuple[Frame, ...]
    complete: bool
    note: Optional[str] = None


class LastExec(NamedTuple):
    """The newest exec of a process, in nanoseconds of CLOCK_MONOTONIC, and how many were seen. Both 0: none was."""

    ns: int = 0
    seen: int = 0


class WordsEnd(enum.IntEnum):
    """Why there are no more words of an interpreter's frames (enum ct_frames_end in bpf/record.h).

    NONE: none were taken. COMPLETE: down to the thread's first frame. LIMIT: as many as one call may cost. UNREAD: the
    next frame could not be read. NO_THREAD: the interpreter does not know the thread.
    """

    NONE = 0
    COMPLETE = 1
    LIMIT = 2
    UNREAD = 3
    NO_THREAD = 4


@slotted
@dataclass(frozen=True)
class BlackBox:
    """User registers and the top of the user stack at one touch, as the kernel side copied them.

    ``registers`` has one value per DWARF register number of the psABI (x86-64: rax rdx rcx rbx rsi rdi rbp rsp
    r8..r15, then the return address column 16 = rip). ``stack`` holds the bytes from ``sp`` upward.
    ``cut`` is true if the copy stopped because the box was full rather than because the stack ended, ``cramped`` if
    it was a smaller box because there was none that holds the stack. ``unknown`` has the numbers of registers whose
    values could not be had.
    ``far`` is the stack's last part, which begins ``far_offset`` bytes above ``sp``; what lies between it and ``stack``
    was not copied. Empty if there is no such gap.
    ``missing`` are parts of the copy that were not in memory: start and end in bytes above ``sp``, ascending.
    ``ns`` is the time of the touch in nanoseconds of CLOCK_MONOTONIC; None for a thread as it is now.
    ``words`` are two words for each frame of an interpreter, innermost first, as they were at the touch. What they mean
    is known to the language whose :attr:`tracer.stacks.language.Language.number` is ``language`` (0: there is none).
    ``words_end`` says why there are no more.
    """

    pid: int
    tid: int
    registers: tuple[int, ...]
    stack: bytes
    cut: bool
    unknown: frozenset[int] = frozenset()
    cramped: bool = False
    far: bytes = b""
    far_offset: int = 0
    missing: tuple[tuple[int, int], ...] = ()
    ns: Optional[int] = None
    words: tuple[tuple[int, int], ...] = ()
    words_end: WordsEnd = WordsEnd.NONE
    language: int = 0

    @property
    def pc(self) -> int:
        """User instruction pointer (the return address of the ``syscall`` instruction)."""
        return self.registers[RETURN_ADDRESS]

    @property
    def sp(self) -> int:
        """User stack pointer, the address of ``stack[0]``."""
        return self.registers[RSP]
