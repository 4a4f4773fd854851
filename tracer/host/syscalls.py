"""Tells which descriptors a system call waits for, to read or to write (the manual pages in section 2)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from tracer.machine import calls

Read = Callable[[int, int], Optional[bytes]]
"""Reads the target's memory by address and size (bytes); None if it cannot be read."""

_READS = "read readv preadv preadv2 pread64 recvfrom recvmsg recvmmsg accept accept4".split()
_WRITES = "write writev pwritev pwritev2 pwrite64 sendto sendmsg sendmmsg sendfile connect".split()
_SETS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "io_uring_enter")

POLLS = frozenset({"poll", "ppoll", "select", "pselect6"})
"""Wait for descriptors that the caller lists each time."""

# poll(2): IN PRI RDNORM RDBAND RDHUP, OUT WRNORM WRBAND (asm-generic/poll.h).
_POLL_READ, _POLL_WRITE = 0x1 | 0x2 | 0x40 | 0x80 | 0x2000, 0x4 | 0x100 | 0x200
_POLL_END = 0x1 | 0x40 | 0x2000
"""What tcp_poll() reports when FIN has come (net/ipv4/tcp.c): IN, RDNORM and RDHUP."""
_POLLFD = struct.Struct("<ihh")
_MOST = 1 << 16
"""The most descriptors of one call that are read: a hostile program could make us read gigabytes."""

_DESCRIPTOR = 0xFFFFFFFF
"""The kernel reads a descriptor from the low half of the register. The high half may hold anything."""


class Purpose(NamedTuple):
    """The descriptors of a call. ``fds`` has all of them; some may be in neither ``to_read`` nor ``to_write``.

    For those in ``to_end`` poll or select returns when the peer of a TCP connection hangs up.
    """

    fds: tuple[int, ...] = ()
    to_read: frozenset[int] = frozenset()
    to_write: frozenset[int] = frozenset()
    to_end: frozenset[int] = frozenset()


NONE = Purpose()


def works_on_socket(name: Optional[str]) -> bool:
    """Whether the call reads, writes, accepts or connects. A call that waits for many descriptors does not count."""
    return name in _READS or name in _WRITES or name == "splice"


def purpose(number: int, arguments: Sequence[int], read: Read) -> Purpose:
    """What the system call ``number`` with its six ``arguments`` waits for; NONE if it is not known."""
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
    """Read an array of struct pollfd. Negative descriptors are skipped."""
    if not 0 < count <= _MOST:
        return NONE
    data = read(address, count * _POLLFD.size)
    if data is None:
        return NONE
    asked = [(fd, events) for fd, events, _ in _POLLFD.iter_unpack(data) if fd >= 0]
    to_read = frozenset(fd for fd, events in asked if events & _POLL_READ)
    to_write = frozenset(fd for fd, events in asked if events & _POLL_WRITE)
    to_end = frozenset(fd for fd, events in asked if events & _POLL_END)
    return Purpose(tuple(dict.fromkeys(fd for fd, _ in asked)), to_read, to_write, to_end)


def _selected(count: int, addresses: Sequence[int], read: Read) -> Purpose:
    """Read three sets of ``count`` bits: to read, to write, exceptional. Each has words of 64 bits, or is missing."""
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
    return Purpose(tuple(sorted(to_read | to_write | exceptional)), to_read, to_write, to_read)
