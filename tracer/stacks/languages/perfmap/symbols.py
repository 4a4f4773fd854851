"""Reads names of generated code from ``/tmp/perf-PID.map`` (Linux tools/perf/Documentation/jit-interface.txt)."""

from __future__ import annotations

import os
from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.target.process import Process

_MAX_BYTES = 64 << 20
_MAX_NAME = 1024
_OVERLAP_LOOK_BACK = 16


@dataclass(frozen=True)
class Symbol:
    """One line of a map: the code in [start, start + size), in bytes."""

    start: int
    size: int
    name: str


class PerfMap:
    """The map of one process. Each refresh reads what was added. If entries overlap, the last one counts."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._begin((0, 0))

    def _begin(self, identity: tuple[int, int]) -> None:
        """Start to read a new file."""
        self._identity = identity
        self._offset = 0
        self._tail = b""
        self._count = 0
        self._starts: list[int] = []
        # By start address: a serial number and the line. A line is parsed only when it is needed.
        self._lines: dict[int, tuple[int, bytes]] = {}

    def find(self, address: int) -> Optional[Symbol]:
        """Find the latest symbol that contains ``address``; None if what was read has none."""
        index = bisect_right(self._starts, address)
        latest, best = 0, None
        for start in self._starts[max(0, index - _OVERLAP_LOOK_BACK) : index]:
            serial, line = self._lines[start]
            symbol = parse_line(line)
            if symbol is not None and address < start + symbol.size and serial > latest:
                latest, best = serial, symbol
        return best

    def refresh(self) -> bool:
        """Read what was added since the last time. True if there was anything.

        The file must be regular and belong to the process's user or to root: anyone can write to /tmp.
        """
        descriptor = self._open()
        if descriptor is None:
            return False
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if found.st_uid != 0 and str(found.st_uid) not in self._process.status_field("Uid"):
                return False
            if (found.st_dev, found.st_ino) != self._identity or found.st_size < self._offset:
                self._begin((found.st_dev, found.st_ino))
            if found.st_size <= self._offset or self._offset >= _MAX_BYTES:
                return False
            file.seek(self._offset)
            data = file.read(_MAX_BYTES - self._offset)
        self._offset += len(data)
        self._add(data)
        return True

    def _open(self) -> Optional[int]:
        numbers = self._process.status_field("NSpid")
        if not numbers:
            return None
        return self._process.open_root(f"tmp/perf-{numbers[-1]}.map", follow_links=False)

    def _add(self, data: bytes) -> None:
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()[:_MAX_NAME]
        fresh = []
        for line in lines:
            try:
                start = int(line.split(None, 1)[0], 16)
            except (ValueError, IndexError):
                continue
            self._count += 1
            if start not in self._lines:
                fresh.append(start)
            self._lines[start] = (self._count, line[:_MAX_NAME])
        if len(fresh) > 64:
            self._starts = sorted(self._starts + fresh)
        else:
            for start in fresh:
                insort(self._starts, start)


def parse_line(line: bytes) -> Optional[Symbol]:
    """Parse ``START SIZE name`` (both numbers hexadecimal); None if the line has another form."""
    fields = line.split(None, 2)
    if len(fields) != 3:
        return None
    try:
        start, size = int(fields[0], 16), int(fields[1], 16)
    except ValueError:
        return None
    if not 0 < start < 1 << 64 or not 0 < size < 1 << 40:
        return None
    return Symbol(start, size, fields[2][:_MAX_NAME].decode("utf-8", "replace"))
