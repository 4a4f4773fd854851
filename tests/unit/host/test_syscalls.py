"""What a call waits for, from its number and arguments and a memory that the test made."""

from __future__ import annotations

import select
import socket as sockets
import struct
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.host.syscalls import NONE, Purpose, purpose, works_on_socket
from tracer.machine import calls

BASE = 0x10000


class Memory:
    """These bytes at BASE, and nothing else."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, address: int, size: int) -> Optional[bytes]:
        part = self.data[address - BASE :][:size] if address >= BASE else b""
        return part if len(part) == size else None


def meant(name: str, *arguments: int, memory: bytes = b"") -> Purpose:
    six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return purpose(calls.number(name), six, Memory(memory).read)


def pollfds(*asked: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<ihh", fd, events, 0) for fd, events in asked)


def bits(*fds: int) -> bytes:
    return sum(1 << fd for fd in fds).to_bytes(16, "little")


def test_calls_on_one_descriptor() -> None:
    """The descriptor is the low half of the first argument."""
    assert meant("recvfrom", 0xDEADBEEF00000003) == Purpose((3,), to_read=frozenset([3]))
    assert meant("accept4", 4) == Purpose((4,), to_read=frozenset([4]))
    assert meant("sendmsg", 5) == Purpose((5,), to_write=frozenset([5]))
    assert meant("splice", 5, 0, 6) == Purpose((5, 6), frozenset([5]), frozenset([6]))
    assert meant("epoll_wait", 7) == Purpose((7,))
    assert meant("futex", 7) == meant("close", 7) == NONE


def test_poll() -> None:
    """Each struct pollfd with what it asks for, in order and once; a negative descriptor is switched off."""
    memory = pollfds((9, select.POLLOUT), (-1, select.POLLIN), (3, select.POLLIN | select.POLLOUT), (5, 0), (9, 1))
    for name in ("poll", "ppoll"):
        found = meant(name, BASE, 5, memory=memory)
        assert found == Purpose((9, 3, 5), frozenset([3, 9]), frozenset([9, 3]), frozenset([3, 9]))
    assert meant("poll", BASE, 6, memory=memory) == NONE
    assert meant("poll", BASE, 0xFFFFFFFF, memory=memory) == NONE


def test_select() -> None:
    """Sets of bits up to the count; one that is missing is empty, and what lies above the count is not asked for."""
    memory = bits(3, 64, 70) + bits(65) + bits(4)
    found = meant("pselect6", 66, BASE, BASE + 16, BASE + 32, memory=memory)
    assert found == Purpose((3, 4, 64, 65), frozenset([3, 64]), frozenset([65]), frozenset([3, 64]))
    assert meant("select", 66, 0, BASE + 16, memory=memory) == Purpose((65,), to_write=frozenset([65]))
    assert meant("select", 66, BASE + 40, memory=memory) == NONE


@pytest.mark.parametrize("events", [0, select.POLLIN, select.POLLPRI, select.POLLRDHUP, 0x40, 0x80])
def test_what_poll_is_told_of_when_the_peer_hangs_up(events: int) -> None:
    """The kernel says: a socket whose peer has hung up is polled here, for the same events."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        ours = sockets.create_connection(listener.getsockname())
        theirs = listener.accept()[0]
    theirs.close()
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    assert poll.poll(60_000)
    poll.modify(ours, events)
    told = bool(poll.poll(0))
    ours.close()
    assert bool(meant("poll", BASE, 1, memory=pollfds((9, events))).to_end) is told


@given(st.integers(-1, 500), st.tuples(*[st.integers(0, (1 << 64) - 1)] * 6), st.binary(max_size=64))
def test_any_arguments(number: int, arguments: tuple[int, ...], memory: bytes) -> None:
    """Whatever a thread has in its registers, the descriptors are numbers that a descriptor may have."""
    found = purpose(number, arguments, Memory(memory).read)
    assert found.to_read | found.to_write <= set(found.fds)


@pytest.mark.parametrize(("name", "works"), [("read", True), ("connect", True), ("poll", False), (None, False)])
def test_at_work(name: Optional[str], works: bool) -> None:
    """Calls that do a socket's work are told from those that wait for many, and from no call at all."""
    assert works_on_socket(name) is works
