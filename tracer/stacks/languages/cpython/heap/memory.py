"""Reads a process's memory for a walk through its objects: in blocks, few of which are kept, many words at a time.

What cannot be read is zeros. Positions are bytes in all regions put one behind the other; blocks never span two.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = Any
BLOCK_BYTES = 1 << 14
_BLOCK_WORDS = BLOCK_BYTES // 8
KEPT_BYTES = 96 << 20
_PAGE = 4096
_MOST_MAPPED = 16 << 30
_CHUNK_BYTES = 1 << 20
MOST_WORDS = 1 << 18
"""So many words of arrays are looked at together."""


class OutOfTime(Exception):
    """The time for a heap is over."""


class TooLarge(Exception):
    """The heap is larger than may be read; the text says how large it is."""


class Memory:
    """``regions`` are ranges of addresses, at most ``most_bytes`` of which are read, and ``kept_bytes`` kept.

    ``until_cpu_s`` is the CPU time of this process (:func:`time.process_time`) at which reading has to end.
    Raises TooLarge, as do all that read.
    """

    def __init__(
        self,
        descriptor: int,
        regions: Sequence[tuple[int, int]],
        until_cpu_s: float,
        most_bytes: int,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._descriptor, self._until_cpu_s, self._most = descriptor, until_cpu_s, most_bytes
        self.regions = _joined(regions)
        bases, total = [], 0
        for start, end in self.regions:
            bases.append(total)
            total += -(-(end - start) // BLOCK_BYTES) * BLOCK_BYTES
        if total > _MOST_MAPPED or not total:
            raise TooLarge(f"it maps {total / (1 << 30):.1f} GB of memory")
        self.total = total
        self._bases = bases
        self._base_array = np.array(bases, dtype=np.int64)
        self._starts = np.array([start for start, _ in self.regions], dtype=np.uint64)
        self._ends = np.array([end for _, end in self.regions], dtype=np.uint64)
        count = total // BLOCK_BYTES
        self._slots = np.full(count, -1, dtype=np.int32)
        self._touched = np.zeros(count, dtype=bool)
        kept = max(min(count, kept_bytes // BLOCK_BYTES), 1)
        self._words = np.zeros(kept * _BLOCK_WORDS, dtype=np.uint64)
        self._view = memoryview(self._words).cast("B")
        self._blocks = np.full(kept, -1, dtype=np.int64)
        self._next = 0
        self.bytes_used = 0

    def check(self) -> None:
        """Raises OutOfTime."""
        if time.process_time() > self._until_cpu_s:
            raise OutOfTime

    def too_many(self, objects: int) -> None:
        """Raises TooLarge."""
        raise TooLarge(f"it has more than {objects / 1_000_000:.0f} million objects")

    def locate(self, addresses: Array) -> tuple[Array, Array]:
        """Their positions, and whether they are in a region (else the position is 0)."""
        region: Array = np.searchsorted(self._starts, addresses, side="right") - 1
        inside = region >= 0
        region[~inside] = 0
        inside &= addresses < self._ends[region]
        positions = (addresses - self._starts[region]).astype(np.int64) + self._base_array[region]
        positions[~inside] = 0
        return positions, inside

    def position(self, address: int) -> int:
        """As locate; -1 outside of all regions."""
        positions, inside = self.locate(np.array([address], dtype=np.uint64))
        return int(positions[0]) if inside[0] else -1

    def address(self, position: int) -> int:
        """The address at a position."""
        region = bisect_right(self._bases, position) - 1
        return self.regions[region][0] + position - self._bases[region]

    def take(self, positions: Array) -> Array:
        """The words at these positions, which are multiples of 8."""
        positions = np.minimum(positions, self.total - 8)
        blocks = positions // BLOCK_BYTES
        missing = self._slots[blocks] < 0
        if missing.any() and not self._have(np.unique(blocks)):
            return self._in_parts(positions, blocks)
        slots = self._slots[blocks].astype(np.int64)
        return self._words[slots * _BLOCK_WORDS + (positions % BLOCK_BYTES >> 3)]

    def _in_parts(self, positions: Array, blocks: Array) -> Array:
        order = np.argsort(blocks, kind="stable")
        values = np.empty(len(positions), dtype=np.uint64)
        for part in np.array_split(order, 2):
            values[part] = self.take(positions[part])
        return values

    def _have(self, blocks: Array) -> bool:
        """Have all these blocks read; False if they are too many to be kept together."""
        if len(blocks) > max(len(self._blocks) // 2, 1) and len(blocks) > 1:
            return len(self._blocks) == len(self._slots) and self._read_all(blocks)
        while True:
            missing = blocks[self._slots[blocks] < 0]
            if not len(missing):
                return True
            self._read(missing)

    def _read_all(self, blocks: Array) -> bool:
        """Where all blocks can be kept, none is ever given up."""
        self._read(blocks[self._slots[blocks] < 0])
        return True

    def _read(self, blocks: Array) -> None:
        self.check()
        self._count(blocks)
        breaks = np.flatnonzero((np.diff(blocks) != 1) | np.isin(blocks[1:] * BLOCK_BYTES, self._base_array)) + 1
        for run in np.split(blocks, breaks):
            at, left = int(run[0]), len(run)
            while left:
                count = min(left, len(self._blocks) - self._next)
                given_up = self._blocks[self._next : self._next + count]
                self._slots[given_up[given_up >= 0]] = -1
                start = self._next * BLOCK_BYTES
                self._fill(self._view[start : start + count * BLOCK_BYTES], at * BLOCK_BYTES)
                self._slots[at : at + count] = np.arange(self._next, self._next + count)
                self._blocks[self._next : self._next + count] = np.arange(at, at + count)
                self._next = (self._next + count) % len(self._blocks)
                at, left = at + count, left - count

    def _count(self, blocks: Array) -> None:
        self.bytes_used += int(np.count_nonzero(~self._touched[blocks])) * BLOCK_BYTES
        self._touched[blocks] = True
        if self.bytes_used > self._most:
            raise TooLarge(f"it uses more than {self._most / (1 << 30):.1f} GB of memory")

    def _fill(self, buffer: memoryview, position: int) -> None:
        region = bisect_right(self._bases, position) - 1
        start, end = self.regions[region]
        address = start + position - self._bases[region]
        self._read_live(buffer, address, min(len(buffer), end - address))

    def _read_live(self, buffer: memoryview, address: int, size: int) -> None:
        """Zeros where nothing can be read, and behind ``size``."""
        done = 0
        while done < size:
            try:
                got = os.preadv(self._descriptor, [buffer[done:size]], address + done)
            except OSError:
                got = 0
            done += got
            if not got:
                behind = min((address + done) // _PAGE * _PAGE + _PAGE - address, size)
                buffer[done:behind] = bytes(behind - done)
                done = behind
        buffer[size:] = bytes(len(buffer) - size)

    def arrays(self, starts: Array, counts: Array) -> Iterator[tuple[Array, Array]]:
        """The words of many arrays, which begin at positions ``starts``: the array's number and the word's position."""
        counts = np.where((counts < 0) | (starts + 8 * counts > self.total), 0, counts)
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        for first in range(0, total, MOST_WORDS):
            places = np.arange(first, min(first + MOST_WORDS, total))
            which = np.searchsorted(ends, places, side="right")
            yield which, starts[which] + 8 * (places - (ends[which] - counts[which]))

    def chunks(self) -> Iterator[tuple[int, Array]]:
        """All regions from begin to end: address and words. The array is used again. Raises OutOfTime."""
        words = np.zeros(_CHUNK_BYTES // 8, dtype=np.uint64)
        view = memoryview(words).cast("B")
        for start, end in self.regions:
            for address in range(start, end, _CHUNK_BYTES):
                self.check()
                size = min(_CHUNK_BYTES, end - address)
                self._read_live(view, address, size)
                yield address, words[: size // 8]


def _joined(regions: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Regions that touch are one."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted(regions):
        if runs and runs[-1][1] >= start:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs
