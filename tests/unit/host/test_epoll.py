"""Epoll sets: frozen fdinfo, hostile fdinfo, and the sets of this and of other processes as they made them."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.host import epoll
from tracer.host.descriptors import Table, read_descriptors
from tracer.host.epoll import event_names, interests, is_spent, parse_set
from tracer.model.connection import Holder, Interest

# Linux 6.18
FDINFO = """pos:	0
flags:	02000002
mnt_id:	15
ino:	1057
tfd:       11 events:       19 data:             5555000b  pos:0 ino:5d4a sdev:8
tfd:       12 events: 80002005 data: ffffffffffffffff  pos:0 ino:5d4b sdev:8
"""


def test_frozen_set() -> None:
    """Inode, descriptor and mask of each line; the head is none."""
    assert parse_set(FDINFO) == {0x5D4A: (11, 0x19), 0x5D4B: (12, 0x80002005)}
    assert event_names(0x80002005) == ("EPOLLIN", "EPOLLOUT", "EPOLLRDHUP", "EPOLLET")
    assert event_names(select.EPOLLERR | select.EPOLLHUP) == ()


def test_before_linux_4_13() -> None:
    """Without the inode a line says nothing: the descriptor may be another file by now."""
    assert parse_set("tfd:       11 events:       19 data:             5555000b\n") == {}


@given(st.text(max_size=200), st.integers(0, len(FDINFO)))
def test_hostile_text(junk: str, at: int) -> None:
    """Any text at all gives sets, never an error."""
    for text in (junk, FDINFO[:at] + junk + FDINFO[at:]):
        assert all(isinstance(fd, int) for fd, _ in parse_set(text).values())


def held(*sockets: socket.socket) -> dict[int, tuple[Holder, ...]]:
    return {os.fstat(s.fileno()).st_ino: (Holder(os.getpid(), s.fileno(), "test"),) for s in sockets}


def watching(*sockets: socket.socket) -> dict[int, tuple[Interest, ...]]:
    """The sets of this process that watch these sockets."""
    mine = held(*sockets)
    return interests(mine, read_descriptors(mine, [os.getpid()]).tables)


def test_sets_of_this_process() -> None:
    """Watched, watched for output alone, in no set; and a socket whose calls block needs no set."""
    with ExitStack() as stack:
        several = [stack.enter_context(socket.socket()) for _ in range(4)]
        reading, writing, loose, blocking = several
        for one in (reading, writing, loose):
            one.setblocking(False)
        loop = stack.enter_context(select.epoll())
        loop.register(reading, select.EPOLLIN)
        loop.register(writing, select.EPOLLOUT)
        found = watching(*several)
        always = select.EPOLLERR | select.EPOLLHUP
        me, number = os.getpid(), loop.fileno()
        inode = {s: os.fstat(s.fileno()).st_ino for s in several}
        assert found[inode[reading]] == (Interest(me, number, reading.fileno(), select.EPOLLIN | always),)
        assert found[inode[writing]] == (Interest(me, number, writing.fileno(), select.EPOLLOUT | always),)
        assert found[inode[loose]] == ()
        assert inode[blocking] not in found


def test_a_set_that_asked_for_one_event() -> None:
    """The kernel clears what was asked for once it has told of it, until EPOLL_CTL_MOD asks again."""
    with ExitStack() as stack:
        reading, peer = (stack.enter_context(one) for one in socket.socketpair())
        loop = stack.enter_context(select.epoll())
        loop.register(reading, select.EPOLLIN | select.EPOLLONESHOT)

        def spent() -> bool:
            ((one,),) = watching(reading).values()
            return is_spent(one.events)

        assert not spent()
        peer.send(b"x")
        assert loop.poll(1) == [(reading.fileno(), select.EPOLLIN)]
        assert spent()
        loop.modify(reading, select.EPOLLIN | select.EPOLLONESHOT)
        assert not spent()


def test_a_process_without_epoll() -> None:
    """Nothing is known of a socket whose holder has no set, or is gone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        theirs = {os.stat(f"/proc/{child.pid}/fd/0").st_ino: (Holder(child.pid, 0, "child"),)}
        assert interests(theirs, {child.pid: Table(3)}) == {}
        assert interests(theirs, {}) == {}
        child.communicate(b"\n")
    assert interests(theirs, {child.pid: Table(4, (3,))}) == {}


def test_a_thousand_entries_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass over a process with a set of 1,000, for all of them at once."""
    with ExitStack() as stack:
        loop = stack.enter_context(select.epoll())
        pairs = [socket.socketpair() for _ in range(500)]
        several = [stack.enter_context(one) for pair in pairs for one in pair]
        for one in several:
            loop.register(one, select.EPOLLIN)
        passes: list[str] = []

        def parsed(text: str) -> dict[int, tuple[int, int]]:
            passes.append(text)
            return parse_set(text)

        monkeypatch.setattr(epoll, "parse_set", parsed)
        found = watching(*several)
    assert len(found) == 1000
    assert all(len(sets) == 1 for sets in found.values())
    assert [text.count("tfd:") for text in passes].count(1000) == 1  # whoever runs the tests may have sets, too
