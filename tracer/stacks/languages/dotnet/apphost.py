"""The small program, named like the application, that starts .NET: its frames are no part of the application."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Optional

from tracer.stacks.chain import Cursor, Memory, Step, Unwinder
from tracer.stacks.language import Target
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process


class Host:
    """The link for the program file of a process that has loaded .NET from libhostfxr.so. Implements Unwinder."""

    def __init__(self, process: Process, native: Unwinder, program: tuple[int, int]) -> None:
        """``program`` is the device and the inode of the program file."""
        self._process, self._native, self._program = process, native, program

    @classmethod
    def of(cls, target: Target) -> Optional[Host]:
        """The link for a process; None if its program is not such a host."""
        files = {posixpath.basename(mapping.path): mapping for mapping in target.process.mappings if mapping.is_file}
        if "libhostfxr.so" not in files:
            return None
        program = _program(target.process)
        return cls(target.process, target.native, program) if program is not None else None

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step out of the host's code; None for any other code."""
        mapping = self._process.mapping(cursor.lookup)
        if mapping is None or _identity(mapping) != self._program:
            return None
        step = self._native.step(cursor, memory)
        return replace(step, frames=tuple(replace(f, internal=True) for f in step.frames)) if step else None


def _identity(mapping: Mapping) -> tuple[int, int]:
    return mapping.dev, mapping.inode


def _program(process: Process) -> Optional[tuple[int, int]]:
    """The program file. It lies below all libraries."""
    first = next((mapping for mapping in process.mappings if mapping.is_file), None)
    return _identity(first) if first is not None else None
