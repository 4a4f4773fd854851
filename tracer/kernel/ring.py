"""A BPF ring buffer, read in batches from mapped memory (Documentation/bpf/ringbuf.rst)."""

from __future__ import annotations

import mmap
import select
import struct
from typing import Any

_BUSY, _DISCARD = 1 << 31, 1 << 30
_HEADER = 8
_BATCH = 4096


class Ring:
    """The consumer of one ring buffer of ``size`` data bytes. It does not own the descriptor.

    The kernel maps a page with the consumer's position, a page with the producer's position, and the data twice. So a
    record that wraps around the end is still in one piece.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self.descriptor, self._mask = descriptor, size - 1
        self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._ready = select.epoll()
        self._ready.register(descriptor, select.EPOLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Wait until there is something to read, or for ``timeout_ms``."""
        self._ready.poll(timeout_ms / 1000)

    def read(self) -> list[bytes]:
        """Up to 4096 records, oldest first; empty if there are none."""
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

    def unpack(self, layout: struct.Struct) -> list[tuple[Any, ...]]:
        """Up to 4096 records, each unpacked by ``layout``, from a buffer whose records all have the same size.

        ``layout`` begins with the 8 bytes of the record's header, and its size is a multiple of 8. Raises ValueError
        if a record has another size.
        """
        size = layout.size
        at = int(struct.unpack_from("<Q", self._consumer)[0])
        end = int(struct.unpack_from("<Q", self._producer)[0])
        start, count = mmap.PAGESIZE + (at & self._mask), min((end - at) // size, _BATCH)
        with memoryview(self._producer) as memory:
            lengths: list[int] = memory[start : start + count * size].cast("I")[:: size // 4].tolist()
            whole = next((i for i, length in enumerate(lengths) if length != size - _HEADER), count)
            if whole < count and not lengths[whole] & _BUSY:
                raise ValueError(f"a record of {lengths[whole]} bytes in a ring of {size - _HEADER}")
            records = list(layout.iter_unpack(memory[start : start + whole * size]))
        struct.pack_into("<Q", self._consumer, 0, at + whole * size)
        return records

    @property
    def produced(self) -> int:
        """Bytes that the kernel side has written so far, record headers included."""
        return int(struct.unpack_from("<Q", self._producer)[0])

    def close(self) -> None:
        """Unmap the ring's memory."""
        self._ready.close()
        self._consumer.close()
        self._producer.close()
