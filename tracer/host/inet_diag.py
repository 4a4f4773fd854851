"""The wire format of sock_diag for TCP: requests out, replies in (linux/inet_diag.h, linux/sock_diag.h, linux/tcp.h).

All of it is the kernel's user-space ABI: structures only ever grow at the end.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Optional, TypeVar

from tracer.errors import ClosetraceError
from tracer.model.changing import drafted, frozen
from tracer.model.connection import Endpoint, KernelCounters
from tracer.model.slotted import slotted
from tracer.model.states import TcpState

SOCK_DIAG_BY_FAMILY = 20
TIMER_TIME_WAIT = 3

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_INET_DIAG_INFO = 2
_INET_DIAG_REQ_PROTOCOL = 3
_INFO_WANTED = 1 << (_INET_DIAG_INFO - 1)

_RETRANSMIT, _ZERO_WINDOW = 1, 4
_DOUBLINGS = 8
"""Later the timer stays at its maximum (TCP_RTO_MAX, 120 s)."""

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
_MESSAGE = struct.Struct("=BBBB2s2s16s16sIIIIIIII")
_ENDS = struct.Struct("=BB2x2s2s16s16s")
"""The first fields of struct inet_diag_msg."""
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
_U8, _U32, _U64 = struct.Struct("=B"), struct.Struct("=I"), struct.Struct("=Q")
_TCP_INFO = (
    ("backoff", _U8, 4),
    ("rto_us", _U32, 8),
    ("unacked", _U32, 24),
    ("last_data_sent_ms", _U32, 44),
    ("last_data_recv_ms", _U32, 52),
    ("last_ack_recv_ms", _U32, 56),
    ("bytes_acked", _U64, 120),  # Linux 4.1 (0df48c26d841)
    ("bytes_received", _U64, 128),  # Linux 4.1 (bdd1f9edacb5)
    ("unsent", _U32, 144),  # tcpi_notsent_bytes: Linux 4.6 (cd9b266095f4)
    ("bytes_sent", _U64, 200),  # Linux 4.19 (ba113c3aa79a)
    ("bytes_retrans", _U64, 208),  # Linux 4.19 (fb31c9b9f6c8)
    ("peer_window", _U32, 228),  # tcpi_snd_wnd: Linux 5.4 (8f7baad7f035)
)
"""Fields of struct tcp_info (linux/tcp.h) by their offset. The structure of an older kernel is shorter."""


def _whole_tcp_info() -> struct.Struct:
    """All fields at once, with what lies between them as padding."""
    ends = [0, *(at + kind.size for _, kind, at in _TCP_INFO)]
    return struct.Struct(
        "=" + "".join(f"{at - end}x{kind.format.lstrip('=')}" for end, (_, kind, at) in zip(ends, _TCP_INFO))
    )


_WHOLE_TCP_INFO = _whole_tcp_info()
_STATES = {int(state): state for state in TcpState}
_MAPPED = bytes(10) + b"\xff\xff"


_LISTEN, _OUR_END_OPEN = TcpState.LISTEN, (TcpState.ESTABLISHED, TcpState.CLOSE_WAIT)


class SockDiagError(ClosetraceError):
    """The kernel would not answer a sock_diag request, or its answer makes no sense."""


@slotted
@dataclass(frozen=True)
class DiagSocket:
    """One TCP socket as sock_diag tells it now. Times are ms before the dump, None where the kernel keeps none.

    The endpoints of a v4-mapped connection are given as IPv4.
    ``rx_queue`` and ``tx_queue`` are bytes; in CLOSE_WAIT an unread FIN counts as one byte. For a listener they are the
    connections that wait for accept and the most that may wait. ``inode`` is 0 if no file refers to the socket.
    ``cookie`` is the kernel's unique id of the socket (the dump itself creates it). ``timer`` is the kernel's code for
    the pending timer (1 retransmit, 2 keep-alive or orphan, 3 TIME_WAIT, 4 zero window) and ``timer_ms`` what is left.
    ``bytes_*`` are over the socket's whole life and in sequence numbers: a SYN or FIN may count as one byte.
    ``unsent`` is bytes that were never sent, ``unacked`` segments in flight, ``peer_window`` bytes that the peer is
    ready to take. ``backoff`` counts how often the timer has doubled since the peer took something last, ``rto_us`` is
    the time that it started with or has come to. ``bytes_sent`` is data alone, ``bytes_retrans`` those sent again.
    """

    netns: int
    state: TcpState
    local: Endpoint
    remote: Endpoint
    inode: int
    cookie: int
    rx_queue: int
    tx_queue: int
    timer: int = 0
    timer_ms: Optional[int] = None
    last_data_sent_ms: Optional[int] = None
    last_data_recv_ms: Optional[int] = None
    last_ack_recv_ms: Optional[int] = None
    bytes_received: Optional[int] = None
    bytes_acked: Optional[int] = None
    unsent: Optional[int] = None
    unacked: Optional[int] = None
    peer_window: Optional[int] = None
    backoff: Optional[int] = None
    rto_us: Optional[int] = None
    bytes_sent: Optional[int] = None
    bytes_retrans: Optional[int] = None

    def counters(self, taken_ns: int) -> KernelCounters:
        """What the kernel counts of it; ``taken_ns`` is when the dump was made (CLOCK_MONOTONIC ns)."""
        return KernelCounters(  # by place: with keywords it takes twice as long
            self.bytes_received,
            self.bytes_acked,
            _before(taken_ns, self.last_data_recv_ms),
            _before(taken_ns, self.last_data_sent_ms),
            _before(taken_ns, self.last_ack_recv_ms),
            self.unsent,
            self.unacked,
            self.peer_window,
            self._backed_off_ns(),
            self.opened_here,
        )

    def _backed_off_ns(self) -> Optional[int]:
        """How long at least the timer has run without progress: 1 + 2 + 4 ... times what it started with.

        A probe of a zero window waits ``rto_us << backoff``; for a retransmission ``rto_us`` itself has doubled
        (tcp_probe_timer() and tcp_retransmit_timer() in net/ipv4/tcp_timer.c).
        """
        if self.timer not in (_RETRANSMIT, _ZERO_WINDOW) or self.backoff is None or self.rto_us is None:
            return None
        times = min(self.backoff, _DOUBLINGS)
        first = self.rto_us >> times if self.timer == _RETRANSMIT else self.rto_us
        return first * ((1 << times) - 1) * 1000

    @property
    def opened_here(self) -> Optional[bool]:
        """Whether this side sent the SYN: its ACK counts in ``bytes_acked``, but the SYN not in ``bytes_sent``.

        None where our own FIN may count, too, or the figures do not fit.
        """
        acked, sent, again, unsent = self.bytes_acked, self.bytes_sent, self.bytes_retrans, self.unsent
        if acked is None or sent is None or again is None or unsent is None or self.state not in _OUR_END_OPEN:
            return None
        counted = acked + self.tx_queue - unsent - (sent - again)
        return bool(counted) if counted in (0, 1) else None

    @property
    def awaits_accept(self) -> bool:
        """Whether it is still in a listener's queue: close(2) never leaves a socket without a file in these states."""
        return self.inode == 0 and self.state in (TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, TcpState.SYN_RECV)


class Ends(NamedTuple):
    """The same of one that is only counted."""

    netns: int
    state: TcpState
    local: Endpoint
    remote: Endpoint


Told = TypeVar("Told")
_BLANK = DiagSocket(0, TcpState.CLOSE, Endpoint("", 0), Endpoint("", 0), 0, 0, 0, 0)


def request(
    family: int, states: Collection[TcpState], sequence: int, protocol: int = socket.IPPROTO_TCP, info: bool = True
) -> bytes:
    """Build the dump request for the sockets of ``family`` (AF_INET, AF_INET6) in ``states``, with ``info`` tcp_info.

    ``protocol`` may be IPPROTO_MPTCP; its number is beyond the request's one byte and goes into an attribute.
    """
    mask = functools.reduce(lambda bits, state: bits | 1 << state, states, 0)
    body = _REQUEST.pack(family, min(protocol, socket.IPPROTO_RAW), _INFO_WANTED if info else 0, mask)
    if protocol > socket.IPPROTO_RAW:
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + 4, _INET_DIAG_REQ_PROTOCOL) + struct.pack("=I", protocol)
    return _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0) + body


def parse(datagram: bytes, sequence: int, netns: int = 0) -> tuple[list[DiagSocket], bool]:
    """Read one reply datagram: its sockets, and whether the dump is over. Raises SockDiagError, and nothing else."""
    return _parse(datagram, sequence, netns, _socket)


def parse_ends(datagram: bytes, sequence: int, netns: int = 0) -> tuple[list[Ends], bool]:
    """As parse(), in a quarter of the time."""
    return _parse(datagram, sequence, netns, _ends)


def _parse(
    datagram: bytes, sequence: int, netns: int, read: Callable[[bytes, int, int, int], Told]
) -> tuple[list[Told], bool]:
    found: list[Told] = []
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, _, number, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size or at + length > len(datagram):
            raise SockDiagError(f"sock_diag sent a truncated message ({length} bytes at {at} of {len(datagram)})")
        start, end = at + _HEADER.size, at + length
        if number == sequence:
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                _check_status(datagram, start, end)
                return found, True
            if kind == SOCK_DIAG_BY_FAMILY:
                _check_size(start, end)
                found.append(read(datagram, start, end, netns))
        at += _aligned(length)
    return found, False


def _check_status(datagram: bytes, start: int, end: int) -> None:
    """Raise if a closing message carries an error; a dump's NLMSG_DONE carries one too."""
    if end - start < _ERRNO.size:
        return
    (code,) = _ERRNO.unpack_from(datagram, start)
    if code < 0:
        raise SockDiagError(f"the kernel refused to list its TCP sockets by sock_diag: {os.strerror(-code)}")


def _check_size(start: int, end: int) -> None:
    if end - start < _MESSAGE.size:
        raise SockDiagError(f"sock_diag sent a socket of {end - start} bytes, {_MESSAGE.size} are needed")


def _state(number: int) -> TcpState:
    state = _STATES.get(number)
    if state is None:
        raise SockDiagError(f"sock_diag sent a socket in state {number}, which is none of TCP's")
    return state


def _ends(datagram: bytes, start: int, _end: int, netns: int) -> Ends:
    family, number, sport, dport, source, destination = _ENDS.unpack_from(datagram, start)
    return Ends(netns, _state(number), _endpoint(family, source, sport), _endpoint(family, destination, dport))


def _socket(datagram: bytes, start: int, end: int, netns: int) -> DiagSocket:
    (family, number, timer, _, sport, dport, source, destination, _, low, high, expires, rx, tx, _, inode) = (
        _MESSAGE.unpack_from(datagram, start)
    )
    state = _state(number)
    one = drafted(_BLANK)
    one.netns, one.state, one.inode, one.cookie = netns, state, inode, high << 32 | low
    one.local, one.remote = _endpoint(family, source, sport), _endpoint(family, destination, dport)
    one.rx_queue, one.tx_queue, one.timer, one.timer_ms = rx, tx, timer, expires if timer else None
    if state is not _LISTEN:
        _add_info(one, datagram, start + _MESSAGE.size, end)
    return frozen(one, DiagSocket)


def _add_info(one: Any, datagram: bytes, at: int, end: int) -> None:
    """Set those fields of a draft that its struct tcp_info is long enough to have.

    It is the payload of the attribute INET_DIAG_INFO. TIME_WAIT and half-open sockets have none.
    """
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(datagram, at)
        if length < _ATTRIBUTE.size or at + length > end:
            raise SockDiagError(f"sock_diag sent a truncated attribute ({length} bytes, {end - at} left)")
        if kind == _INET_DIAG_INFO:
            _add_fields(one, datagram, at + _ATTRIBUTE.size, length - _ATTRIBUTE.size)
            return
        at += _aligned(length)


def _add_fields(one: Any, datagram: bytes, at: int, size: int) -> None:
    if size < _WHOLE_TCP_INFO.size:
        for name, kind, offset in _TCP_INFO:
            if offset + kind.size <= size:
                (value,) = kind.unpack_from(datagram, at + offset)
                setattr(one, name, value)
        return
    # In the order of _TCP_INFO, all at once: a tenth of the time.
    (
        one.backoff,
        one.rto_us,
        one.unacked,
        one.last_data_sent_ms,
        one.last_data_recv_ms,
        one.last_ack_recv_ms,
        *more,
    ) = _WHOLE_TCP_INFO.unpack_from(datagram, at)
    one.bytes_acked, one.bytes_received, one.unsent, one.bytes_sent, one.bytes_retrans, one.peer_window = more


def _endpoint(family: int, address: bytes, port: bytes) -> Endpoint:
    return Endpoint(_address(family, address), int.from_bytes(port, "big"))


@functools.lru_cache(maxsize=4096)
def _address(family: int, address: bytes) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, address[:4])
    if family != socket.AF_INET6:
        raise SockDiagError(f"sock_diag sent a socket of address family {family}")
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    return socket.inet_ntop(socket.AF_INET6, address)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _before(now_ns: int, ago_ms: Optional[int]) -> Optional[int]:
    return None if ago_ms is None else now_ns - ago_ms * 1_000_000
