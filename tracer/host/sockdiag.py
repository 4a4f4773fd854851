"""The TCP sockets that exist now, from the kernel's sock_diag: those that are older than the trace among them.

The netlink conversation is our own rather than pyroute2's, which takes ten times as long and drops the kernel's error
messages on this protocol.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from typing import Callable, Optional

from tracer.host.inet_diag import DiagSocket, Ends, SockDiagError, Told, parse, parse_ends, request
from tracer.host.netns import current, inside
from tracer.model.states import TcpState

__all__ = ["DiagSocket", "SockDiagError", "Ends", "dump", "dump_mptcp", "each", "listeners"]

_NETLINK_SOCK_DIAG = 4
_BUFFER = 1 << 16  # the kernel fills at most 32 KiB of it at a time
_TIMEOUT_S = 10.0
_IPPROTO_MPTCP = 262  # linux/in.h; socket.IPPROTO_MPTCP came with Python 3.10


def dump(states: Collection[TcpState], netns_path: Optional[str] = None) -> list[DiagSocket]:
    """All TCP sockets in ``states`` of a network namespace (None: this process's), both address families.

    The kernel selects by state. It walks a live table: a socket that changes meanwhile may be seen as it was before.
    Raises NetnsUnreachable if the namespace cannot be entered, SockDiagError if the kernel does not answer.
    """
    return list(_dumped(states, netns_path, socket.IPPROTO_TCP, parse))


def each(states: Collection[TcpState], netns_path: Optional[str] = None) -> Iterator[Ends]:
    """The ends of each of them one by one, for who only counts: 100,000 whole ones take 70 MB and a second.

    Raises as dump(), also on the way.
    """
    return _dumped(states, netns_path, socket.IPPROTO_TCP, parse_ends, info=False)


def dump_mptcp(states: Collection[TcpState], netns_path: Optional[str] = None) -> list[DiagSocket]:
    """All MPTCP sockets in ``states`` of a network namespace: the sockets that programs hold, not their subflows.

    Empty where nobody uses MPTCP: the kernel is asked only if it counts such sockets, since asking may load a module.
    Raises as dump().
    """
    # struct mptcp_info is not struct tcp_info, so it is not asked for
    if not inside(netns_path, _mptcp_in_use):
        return []
    return list(_dumped(states, netns_path, _IPPROTO_MPTCP, parse, info=False))


def _mptcp_in_use() -> bool:
    """Whether the calling thread's network namespace has an MPTCP socket, by /proc/net/protocols (proc(5))."""
    try:
        with open("/proc/thread-self/net/protocols", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file if line.startswith("MPTCP")]
    except OSError:
        return False
    return any(len(row) > 2 and row[2] != "0" for row in rows)


_Parse = Callable[[bytes, int, int], tuple[list[Told], bool]]


def _dumped(
    states: Collection[TcpState], netns_path: Optional[str], protocol: int, read: _Parse[Told], *, info: bool = True
) -> Iterator[Told]:
    try:
        channel, netns = inside(netns_path, _channel)
    except OSError as error:
        raise SockDiagError(f"no netlink socket to list TCP sockets by: {error.strerror or error}") from None
    with channel:
        channel.settimeout(_TIMEOUT_S)
        try:
            for sequence, family in enumerate((socket.AF_INET, socket.AF_INET6), start=1):
                yield from _converse(
                    channel, request(family, states, sequence, protocol, info=info), sequence, netns, read
                )
        except OSError as error:
            raise SockDiagError(f"listing TCP sockets by sock_diag failed: {error.strerror or error}") from None


def listeners(netns_path: Optional[str] = None) -> list[DiagSocket]:
    """All listening TCP sockets; their ``rx_queue`` counts the connections that wait for accept. Raises as dump()."""
    return dump((TcpState.LISTEN,), netns_path)


def _channel() -> tuple[socket.socket, int]:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG), current()


def _converse(channel: socket.socket, message: bytes, sequence: int, netns: int, read: _Parse[Told]) -> Iterator[Told]:
    channel.sendto(message, (0, 0))
    over = False
    while not over:
        datagram, (sender, _) = channel.recvfrom(_BUFFER)
        if sender == 0:  # the kernel
            batch, over = read(datagram, sequence, netns)
            yield from batch
