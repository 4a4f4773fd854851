"""What a thread waits for in a system call: which descriptors, to read or to write. Linux system call manual pages."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from tracer.machine import calls

Read = Callable[[int, int], Optional[bytes]]
"""Bytes of the target's memory by address and size; None if they cannot be read."""

_READS = "read readv preadv preadv2 pread64 recvfrom recvmsg recvmmsg accept accept4".split()
_WRITES = "write writev pwritev pwritev2 pwrite64 sendto sendmsg sendmmsg sendfile connect".split()
_SETS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "io_uring_enter")

# poll(2): IN PRI RDNORM RDBAND RDHUP, OUT WRNORM WRBAND (asm-generic/poll.h).
_POLL_READ, _POLL_WRITE = 0x1 | 0x2 | 0x40 | 0x80 | 0x2000, 0x4 | 0x100 | 0x200
_POLLFD = struct.Struct("<ihh")
_MOST = 1 << 16
"""Descriptors of one call that are looked at. What a hostile program gives is not to be read by the gigabyte."""

_DESCRIPTOR = 0xFFFFFFFF
"""The kernel reads a descriptor from the low half of the register; what the high half holds is chance."""


class Purpose(NamedTuple):
    """The descriptors of a call, and for what; ``fds`` may have some that are in neither of the others."""

    fds: tuple[int, ...] = ()
    to_read: frozenset[int] = frozenset()
    to_write: frozenset[int] = frozenset()


NONE = Purpose()


def works_on_socket(name: Optional[str]) -> bool:
    """Whether the call does a descriptor's own work: a thread that waits for many (poll, epoll_wait) is not at it."""
    return name in _READS or name in _WRITES or name == "splice"


def purpose(number: int, arguments: Sequence[int], read: Read) -> Purpose:
    """What the system call ``number`` with its six ``arguments`` waits for; NONE if that is not known."""
    name = calls.name(number)
    first = arguments[0] & _DESCRIPTOR
    if name in _READS:
        return Purpose((first,), to_read=frozenset((first,)))
    if name in _WRITES:
        return Purpose((first,), to_write=frozenset((first,)))
    if name == "splice":
        into = arguments[2] & _DESCRIPTOR
        return Purpose((first, into), frozenset((first,)), frozenset((into,)))
    if name in _SETS:
        return Purpose((first,))
    if name in ("poll", "ppoll"):
        return _polled(arguments[0], arguments[1] & _DESCRIPTOR, read)
    if name in ("select", "pselect6"):
        return _selected(arguments[0] & _DESCRIPTOR, arguments[1:4], read)
    return NONE


def _polled(address: int, count: int, read: Read) -> Purpose:
    """An array of struct pollfd; a negative descriptor is passed over."""
    if not 0 < count <= _MOST:
        return NONE
    data = read(address, count * _POLLFD.size)
    if data is None:
        return NONE
    asked = [(fd, events) for fd, events, _ in _POLLFD.iter_unpack(data) if fd >= 0]
    to_read = frozenset(fd for fd, events in asked if events & _POLL_READ)
    to_write = frozenset(fd for fd, events in asked if events & _POLL_WRITE)
    return Purpose(tuple(dict.fromkeys(fd for fd, _ in asked)), to_read, to_write)


def _selected(count: int, addresses: Sequence[int], read: Read) -> Purpose:
    """Three sets of ``count`` bits, each in words of 64 (a set may be missing): to read, to write, exceptional."""
    if not 0 < count <= _MOST:
        return NONE
    sets = []
    for address in addresses:
        data = read(address, (count + 63) // 64 * 8) if address else b""
        if data is None:
            return NONE
        bits = int.from_bytes(data, "little")
        sets.append(frozenset(fd for fd in range(count) if bits >> fd & 1))
    to_read, to_write, exceptional = sets
    return Purpose(tuple(sorted(to_read | to_write | exceptional)), to_read, to_write)
