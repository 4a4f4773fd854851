"""Reads names of generated code from ``/tmp/perf-PID.map`` (Linux tools/perf/Documentation/jit-interface.txt)."""

from __future__ import annotations

import os
from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.target.process import Process

_MAX_BYTES = 64 << 20
_MAX_SYMBOLS = 1 << 20
"""Lines that are believed: the largest programs write some 200,000."""
_MAX_NAME = 1024
_MAX_LINE = _MAX_NAME + 40
_PLACE_BITS = 32
_PLACE_MASK = (1 << _PLACE_BITS) - 1
_OVERLAP_LOOK_BACK = 16


@dataclass(frozen=True)
class Symbol:
    """One line of a map: the code in [start, start + size), in bytes."""

    start: int
    size: int
    name: str


class PerfMap:
    """The map of one process, read as far as it has grown at each refresh; where entries overlap the last counts.

    Kept is the text, and for each line one number: its start address with its place in the text. So the longest map
    that is believed takes little more memory than its text.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._begin((0, 0))

    def _begin(self, identity: tuple[int, int]) -> None:
        """Start to read a new file."""
        self._identity = identity
        self._text = bytearray()
        self._parsed = 0
        self._entries: list[int] = []

    def find(self, address: int) -> Optional[Symbol]:
        """Find the latest symbol that covers ``address`` in what has been read."""
        index = bisect_right(self._entries, (address + 1 << _PLACE_BITS) - 1)
        latest, best, previous = -1, None, -1
        for entry in reversed(self._entries[max(0, index - _OVERLAP_LOOK_BACK) : index]):
            start, place = entry >> _PLACE_BITS, entry & _PLACE_MASK
            if start == previous:  # replaced by a later line for the same address
                continue
            previous = start
            symbol = parse_line(self._line(place))
            if symbol is not None and address < start + symbol.size and place > latest:
                latest, best = place, symbol
        return best

    def _line(self, place: int) -> bytes:
        end = self._text.find(b"\n", place, place + _MAX_LINE)
        return bytes(self._text[place : end if end >= 0 else place + _MAX_LINE])

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
            if (found.st_dev, found.st_ino) != self._identity or found.st_size < len(self._text):
                self._begin((found.st_dev, found.st_ino))
            if found.st_size <= len(self._text) or len(self._text) >= _MAX_BYTES:
                return False
            file.seek(len(self._text))
            data = file.read(min(found.st_size, _MAX_BYTES) - len(self._text))
        self._text += data
        self._add()
        return bool(data)

    def _open(self) -> Optional[int]:
        numbers = self._process.status_field("NSpid")
        if not numbers:
            return None
        return self._process.open_root(f"tmp/perf-{numbers[-1]}.map", follow_links=False)

    def _add(self) -> None:
        """Take in the whole lines that came."""
        fresh: list[int] = []
        while len(self._entries) + len(fresh) < _MAX_SYMBOLS:
            end = self._text.find(b"\n", self._parsed)
            if end < 0:
                break
            place, self._parsed = self._parsed, end + 1
            try:
                start = int(self._text[place : min(end, place + _MAX_LINE)].split(None, 1)[0], 16)
            except (ValueError, IndexError):
                continue
            if 0 < start < 1 << 64:
                fresh.append(start << _PLACE_BITS | place)
        if len(fresh) > 64:
            self._entries = sorted(self._entries + fresh)
        else:
            for entry in fresh:
                insort(self._entries, entry)


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
