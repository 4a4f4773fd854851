"""Reads a process's memory into numpy buffers, by the descriptor of its ``/proc/PID/mem``; within limits.

What cannot be read is zeros: it is a part of the heap that has just been given back.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracer.stacks.languages.java.heap.spaces import Space

CHUNK_BYTES = 1 << 20
OBJECT_BYTES = 1024
"""Each chunk and page is read with this much of what follows, so that an object that begins in it is there as a whole.

Of a larger object only as much is looked at.
"""
_PAGE = 4096
_BATCH = 1024
_ROW_BYTES = _PAGE + OBJECT_BYTES


class OutOfTime(Exception):
    """The time for a heap is over."""


class Memory:
    """``until_cpu_s`` is the CPU time of this process (:func:`time.process_time`) at which reading has to end."""

    def __init__(self, descriptor: int, until_cpu_s: float) -> None:
        self._descriptor, self._until_cpu_s = descriptor, until_cpu_s
        self.bytes_read = 0

    @contextlib.contextmanager
    def half(self) -> Iterator[None]:
        """What is done within takes half of the time that is left at most."""
        until, now = self._until_cpu_s, time.process_time()
        self._until_cpu_s = now + (until - now) / 2
        try:
            yield
        finally:
            self._until_cpu_s = until

    def check(self) -> None:
        """Raises OutOfTime."""
        if time.process_time() > self._until_cpu_s:
            raise OutOfTime

    def fill(self, buffer: memoryview, address: int) -> int:
        """Read into ``buffer`` what is at ``address``; how many bytes there were before one that cannot be read."""
        done, size = 0, len(buffer)
        while done < size:
            try:
                got = os.preadv(self._descriptor, [buffer[done:]], address + done)
            except OSError:
                break
            if not got:
                break
            done += got
        self.bytes_read += done
        return done

    def chunks(self, spaces: Sequence[Space]) -> Iterator[tuple[int, Any, int]]:
        """Stream the spaces: address, buffer (bytes), and how many positions of 8 bytes in it belong to this chunk.

        The buffer is used again. It has zeros behind the end of the space. Raises OutOfTime.
        """
        buffer = np.zeros(CHUNK_BYTES + OBJECT_BYTES + 16, dtype=np.uint8)
        view = memoryview(buffer)
        for bottom, top in _joined(spaces):
            for start in range(bottom, top, CHUNK_BYTES):
                self.check()
                end = min(start + CHUNK_BYTES, top)
                size = min(end + OBJECT_BYTES, top) - start
                done = self.fill(view[:size], start)
                while done < size:  # go on behind a page that cannot be read
                    behind = min(start + done + _PAGE, start + size) // _PAGE * _PAGE - start
                    behind = behind if behind > done else size
                    buffer[done:behind] = 0
                    done = behind
                    done += self.fill(view[done:size], start + done)
                buffer[size:] = 0
                yield start, buffer, (end - start) // 8

    def blocks(self, addresses: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Read the objects at these sorted addresses, page by page, many at a time.

        Yields a range of the addresses (as indices), the buffer, and the positions of these objects in it. Each object
        is there with OBJECT_BYTES. Raises OutOfTime.
        """
        pages = addresses >> np.uint64(12)
        first = np.flatnonzero(np.concatenate([[True], pages[1:] != pages[:-1]])) if len(pages) else pages[:0]
        rows = np.zeros(_BATCH * _ROW_BYTES, dtype=np.uint8)
        view = memoryview(rows)
        for begin in range(0, len(first), _BATCH):
            self.check()
            some = first[begin : begin + _BATCH]
            last = int(first[begin + _BATCH]) if begin + _BATCH < len(first) else len(addresses)
            for row, page in enumerate((pages[some] << np.uint64(12)).tolist()):
                here = view[row * _ROW_BYTES : (row + 1) * _ROW_BYTES]
                done = self.fill(here, page)
                if done < _ROW_BYTES:
                    rows[row * _ROW_BYTES + done : (row + 1) * _ROW_BYTES] = 0
            which = np.arange(int(some[0]), last)
            row_of = np.searchsorted(some, which, "right") - 1
            inside = (addresses[which] & np.uint64(_PAGE - 1)).astype(np.int64)
            yield which, rows, (row_of * _ROW_BYTES + inside) // 8

    def array(self, address: int, count: int, kind: Any) -> Any:
        """``count`` numbers at ``address``; fewer if not all can be read."""
        values = np.zeros(count, dtype=kind)
        done = self.fill(memoryview(values.view(np.uint8)), address)
        return values[: done // kind.itemsize]


def _joined(spaces: Sequence[Space]) -> list[tuple[int, int]]:
    """Spaces that touch are read as one: an object may lie across regions."""
    runs: list[tuple[int, int]] = []
    for space in spaces:
        if runs and runs[-1][1] == space.bottom:
            runs[-1] = (runs[-1][0], space.top)
        else:
            runs.append((space.bottom, space.top))
    return runs
