"""A BPF ring buffer, read in batches from mapped memory (Documentation/bpf/ringbuf.rst)."""

from __future__ import annotations

import mmap
import select
import struct

_BUSY, _DISCARD = 1 << 31, 1 << 30
_HEADER = 8
_BATCH = 4096


class Ring:
    """The consumer of one ring buffer of ``size`` data bytes. The descriptor stays its owner's.

    The mapping is: the consumer's position in a page of its own, the producer's in the next, then the data twice over,
    so that a record that wraps around lies in one piece.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._mask = size - 1
        self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._ready = select.epoll()
        self._ready.register(descriptor, select.EPOLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Until there is something to read."""
        self._ready.poll(timeout_ms / 1000)

    def read(self) -> list[bytes]:
        """Some thousands of records at most, oldest first; empty if there are none."""
        memory, mask, base = self._producer, self._mask, mmap.PAGESIZE
        header = struct.Struct("<I").unpack_from
        at = int(struct.unpack_from("<Q", self._consumer)[0])
        end = int(struct.unpack_from("<Q", memory)[0])
        records: list[bytes] = []
        while at < end and len(records) < _BATCH:
            start = base + (at & mask)
            (length,) = header(memory, start)
            if length & _BUSY:  # reserved, and still being written
                break
            size = length & ~_DISCARD
            if size == length:
                records.append(memory[start + _HEADER : start + _HEADER + size])
            at += (size + _HEADER + 7) & ~7
        struct.pack_into("<Q", self._consumer, 0, at)
        return records

    def close(self) -> None:
        """Unmap."""
        self._ready.close()
        self._consumer.close()
        self._producer.close()
