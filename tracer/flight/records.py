"""The table of flight records as bpf/table.h keeps it, mapped into this process."""

from __future__ import annotations

import ctypes as ct
import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple, Optional

from tracer.flight import layout
from tracer.kernel.maps import Map
from tracer.kernel.program import Program
from tracer.kernel.source import Sizes

_RECORD, _BUCKET, _MARKS = ct.sizeof(layout.Record), ct.sizeof(layout.Bucket), ct.sizeof(layout.Marks)
_KEYS = struct.Struct(f"<{layout.WAYS}QI4x")  # struct ct_bucket
_KEY = struct.Struct("<Q")
_SUSPECT = struct.Struct("<QQ72xQB")  # struct ct_record: sk, birth_ns, suspect_ns, suspect_state


class SuspectEntry(NamedTuple):
    """A socket (address, birth) that is a suspect since ``since_ns``, in ``state``. Its record lies at ``place``."""

    sk: int
    birth_ns: int
    since_ns: int
    state: int
    place: Optional[int] = None


class Records:
    """The records of all sockets that are followed now, by the address of the socket.

    The kernel side writes them meanwhile: what is read is no more of one moment than a copy by the kernel would be.
    """

    def __init__(self, memory: tuple[mmap.mmap, mmap.mmap, mmap.mmap], crowded: Map, found: int, count: int) -> None:
        """``memory`` is that of buckets, marks and records.

        ``count`` is the number of buckets. Each has places for ``layout.WAYS`` records. The first ``found`` of them are
        those that a record is found in by its address, ``crowded`` tells the places in the others.
        """
        self._buckets, self._marks, self._records = memory
        self._crowded, self._found, self._count = crowded, found, count

    def lookup(self, sk: int) -> Optional[bytes]:
        """The record of the socket at this address, None if it has none."""
        step = sk * layout.SPREAD & 0xFFFFFFFF
        at = sk * layout.SPREAD >> 32 & 0xFFFFFFFF
        for _ in range(layout.PROBES):
            bucket = at * self._found >> 32
            *keys, passed = _KEYS.unpack_from(self._buckets, bucket * _BUCKET)
            if sk >> 1 in keys:
                return self._record(bucket * layout.WAYS + keys.index(sk >> 1), sk)
            if not passed:
                return None
            at = at + step & 0xFFFFFFFF
        place = self._crowded.lookup(sk.to_bytes(8, "little"))
        return None if place is None else self._record(int.from_bytes(place, "little"), sk)

    def at(self, place: int, sk: int) -> Optional[bytes]:
        """The record of the socket at this address, which was at this place; None if it has none any more.

        It stays at its place as long as the socket lives. Its bytes stay there longer; its key is cleared.
        """
        bucket, way = divmod(place, layout.WAYS)
        (half,) = _KEY.unpack_from(self._buckets, bucket * _BUCKET + way * _KEY.size)
        return self._record(place, sk) if half == sk >> 1 else None

    def _record(self, place: int, sk: int) -> Optional[bytes]:
        """The record at this place. None if the place was given to another socket than ``sk`` meanwhile."""
        start = place * _RECORD
        data = self._records[start : start + _RECORD]
        return data if int.from_bytes(data[:8], "little") == sk else None

    def __iter__(self) -> Iterator[bytes]:
        for bucket in range(self._count):
            *keys, _ = _KEYS.unpack_from(self._buckets, bucket * _BUCKET)
            for way, half in enumerate(keys):
                data = self._record(bucket * layout.WAYS + way, half << 1) if half else None
                if data is not None:
                    yield data

    def suspects(self) -> list[SuspectEntry]:
        """All sockets that are suspects now."""
        marks, found, at = self._marks[: self._count * _MARKS], [], -1
        while (at := marks.find(1, at + 1)) >= 0:
            bucket, way = divmod(at, _MARKS)
            half = _KEYS.unpack_from(self._buckets, bucket * _BUCKET)[way]
            place = bucket * layout.WAYS + way
            sk, birth_ns, since_ns, state = _SUSPECT.unpack_from(self._records, place * _RECORD)
            if half and sk == half << 1 and state:
                found.append(SuspectEntry(sk, birth_ns, since_ns, state, place))
        return found

    def close(self) -> None:
        """Unmap them."""
        for memory in (self._buckets, self._marks, self._records):
            memory.close()


def mapped(program: Program, sizes: Sizes) -> Records:
    """The records of a loaded program, none of them in use yet."""

    def memory(name: str, size: int) -> mmap.mmap:
        whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        return mmap.mmap(program.map(name, 4, size).descriptor, whole, prot=mmap.PROT_READ)

    found, count = sizes.buckets, sizes.buckets + sizes.spare_buckets
    program.map("spare_places", 0, 4).push_all(reversed(range(found * layout.WAYS, count * layout.WAYS)))
    records = memory("sockets", count * layout.WAYS * _RECORD)
    parts = (memory("buckets", count * _BUCKET), memory("marks", count * _MARKS), records)
    return Records(parts, program.map("crowded", 8, 4), found, count)
