# SPDX-License-Identifier: Apache-2.0
"""Ways of not reading to the end, one by its name, in the conversation of workload.h; the peer is a forked child."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, NoReturn


def say(**words: object) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def wait_for(step: str) -> None:
    say(event="waiting", next=step, t=time.time())
    line = sys.stdin.readline().strip()
    if line in ("", "quit"):
        sys.exit(0)


def say_socket(role: str, connection: socket.socket) -> None:
    local, remote = ("{}:{}".format(*name[:2]) for name in (connection.getsockname(), connection.getpeername()))
    fd = connection.fileno()
    inode = os.fstat(fd).st_ino
    say(event="socket", role=role, pid=os.getpid(), fd=fd, inode=inode, local=local, remote=remote, t=time.time())


class Peer:
    """The other end, a process of its own that obeys one order at a time: connections by order of arrival."""

    def __init__(self) -> None:
        self._mine, theirs = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = listener.getsockname()
        self.pid = os.fork()
        if self.pid == 0:
            self._mine.close()
            obey(listener, theirs)
        theirs.close()
        listener.close()
        say(event="process", role="peer", pid=self.pid)

    def do(self, order: str, *arguments: int) -> None:
        self._mine.sendall(json.dumps([order, *arguments]).encode())
        assert self._mine.recv(16) == b"done"


def obey(listener: socket.socket, orders: socket.socket) -> NoReturn:
    signal.alarm(300)
    connections: list[socket.socket] = []
    while order := orders.recv(256):
        what, *numbers = json.loads(order)
        if what == "accept":
            connections.append(listener.accept()[0])
        elif what == "call":
            connections.append(socket.create_connection(("127.0.0.1", numbers[0])))
        elif what == "send":
            connections[-1].sendall(b"x" * numbers[0])
        elif what == "send all":
            for one in connections:
                one.sendall(b"x" * numbers[0])
        elif what == "answer and end":  # in one segment
            connections[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connections[-1].sendall(b"x" * numbers[0])
            connections[-1].shutdown(socket.SHUT_WR)
        elif what == "end":
            for one in connections:
                one.shutdown(socket.SHUT_WR)
        orders.sendall(b"done")
    os._exit(0)


def connect(peer: Peer) -> socket.socket:
    connection = socket.create_connection(peer.address)
    peer.do("accept")
    return connection


def until_the_end_is_there(connection: socket.socket) -> None:
    waiting = select.poll()
    waiting.register(connection, select.POLLRDHUP)
    assert waiting.poll(60_000)


def read_answer(connection: socket.socket, size: int) -> bytes:
    return connection.recv(size)


def splice_answer(connection: socket.socket, size: int) -> int:
    ends = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.splice(connection.fileno(), None, ends[1], None, size, 0))


Steps = Iterator[tuple[str, list[socket.socket]]]


def end_with_data(peer: Peer) -> Steps:
    """One read takes data and end."""
    connection = connect(peer)
    connection.sendall(b"q")
    peer.do("answer and end", 6)
    until_the_end_is_there(connection)
    say(event="read", result=len(read_answer(connection, 64)))
    yield "", [connection]


def goodbye(peer: Peer) -> Steps:
    """An idle connection gets a line and the end."""
    connection = connect(peer)
    connection.sendall(b"q")
    peer.do("send", 20)
    read_answer(connection, 64)
    yield "the peer says goodbye", [connection]
    peer.do("send", 41)
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def never_used(peer: Peer) -> Steps:
    """A connection that was opened in advance gets a line and the end; nothing was ever asked on it."""
    connection = connect(peer)
    yield "the peer says goodbye", [connection]
    peer.do("send", 41)
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def late_answer(peer: Peer) -> Steps:
    """The second answer comes after its reader has gone: the same bytes at the same times as a goodbye."""
    connection = connect(peer)
    connection.sendall(b"q")
    peer.do("send", 20)
    read_answer(connection, 64)
    connection.sendall(b"again")
    yield "the peer says goodbye", [connection]
    peer.do("send", 41)
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def looked_at(peer: Peer) -> Steps:
    """A reader that looks at the first bytes, and takes none."""
    connection = connect(peer)
    peer.do("send", 21)
    say(event="looked", result=len(connection.recv(4, socket.MSG_PEEK)))
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def unread(peer: Peer) -> Steps:
    """A reader that stops after ten bytes."""
    connection = connect(peer)
    peer.do("send", 5000)
    read_answer(connection, 10)
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def never_read(peer: Peer) -> Steps:
    """Accepted, and put aside."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer.do("call", listener.getsockname()[1])
    connection = listener.accept()[0]
    connection.sendall(b"welcome")
    peer.do("send", 21)
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection, listener]


def served(peer: Peer) -> Steps:
    """Accepted, read, answered, kept."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer.do("call", listener.getsockname()[1])
    connection = listener.accept()[0]
    peer.do("send", 6)
    read_answer(connection, 64)
    connection.sendall(b"ok\n")
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection, listener]


def served_last(peer: Peer) -> Steps:
    """The same, and nobody listens there any more."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer.do("call", listener.getsockname()[1])
    connection = listener.accept()[0]
    listener.close()
    peer.do("send", 6)
    read_answer(connection, 64)
    connection.sendall(b"ok\n")
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def watched_for(events: int) -> Callable[[Peer], Steps]:
    """In an event loop: after the first bytes the mask becomes ``events`` (0: it is taken out of the set)."""

    def run(peer: Peer) -> Steps:
        connection = connect(peer)
        connection.setblocking(False)
        other, _ = pair = socket.socketpair()
        loop = select.epoll()
        loop.register(other, select.EPOLLIN)
        loop.register(connection, select.EPOLLIN)
        peer.do("send", 5000)
        assert loop.poll(60)
        read_answer(connection, 10)
        if events:
            loop.modify(connection, events)
        else:
            loop.unregister(connection)
        peer.do("end")
        until_the_end_is_there(connection)
        say(event="set", fd=loop.fileno(), beside=pair[1].fileno())
        yield "", [connection, *pair]
        loop.close()

    return run


def polled_for(events: int) -> Callable[[Peer], Steps]:
    """A thread waits for these events on the connection. Without any it is not told of the end."""

    def run(peer: Peer) -> Steps:
        connection = connect(peer)
        connection.sendall(b"q")
        peer.do("send", 20)
        read_answer(connection, 64)
        waiting = select.poll()
        waiting.register(connection, events)
        poller = threading.Thread(target=wait_for_events, args=(waiting,), name="poller", daemon=True)
        poller.start()
        yield "the peer says goodbye", [connection]
        peer.do("end")
        until_the_end_is_there(connection)
        if events:
            poller.join()
        yield "", [connection]

    return run


def wait_for_events(waiting: select.poll) -> None:
    say(event="polls", tid=threading.get_native_id())
    say(event="told", events=waiting.poll())


def stalled(peer: Peer) -> Steps:
    """It sends without waiting, and the peer reads nothing."""
    connection = connect(peer)
    peer.do("end")
    connection.setblocking(False)
    sent = 0
    try:
        while True:
            sent += connection.send(b"x" * 65536)
    except BlockingIOError:
        say(event="sent", bytes=sent)
    yield "", [connection]


def spliced(peer: Peer) -> Steps:
    """The answer is taken by splice(2)."""
    connection = connect(peer)
    peer.do("send", 9)
    say(event="splice", result=splice_answer(connection, 64))
    peer.do("end")
    until_the_end_is_there(connection)
    yield "", [connection]


def own_table(peer: Peer) -> Steps:
    """A thread with a descriptor table of its own reads an answer and keeps the connection."""
    there, over = threading.Event(), threading.Event()

    def work() -> None:
        assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
        connection = connect(peer)
        connection.sendall(b"q")
        peer.do("send", 9)
        read_answer(connection, 9)
        say_socket("program", connection)
        say(event="thread", tid=threading.get_native_id())
        there.set()
        over.wait()

    threading.Thread(target=work, daemon=True).start()
    assert there.wait(60)
    peer.do("end")
    yield "", []
    over.set()


def one_by_one(peer: Peer) -> Steps:
    """Each call opens a connection and gives none back."""
    several = []
    for _ in range(5):
        several.append(connect(peer))
        peer.do("send", 9)
        read_answer(several[-1], 9)
    yield "the peer hangs up", several
    peer.do("end")
    yield "", several


def all_at_once(peer: Peer) -> Steps:
    """A pool of five that were in use at the same time."""
    several = [connect(peer) for _ in range(5)]
    peer.do("send all", 9)
    for one in several:
        read_answer(one, 9)
    yield "the peer hangs up", several
    peer.do("end")
    yield "", several


WAYS: dict[str, Callable[[Peer], Steps]] = {
    "end with data": end_with_data,
    "goodbye": goodbye,
    "never used": never_used,
    "late answer": late_answer,
    "looked at": looked_at,
    "unread": unread,
    "never read": never_read,
    "served": served,
    "served last": served_last,
    "paused": watched_for(0),
    "watched for output": watched_for(select.EPOLLOUT | select.EPOLLET),
    "watched for input": watched_for(select.EPOLLIN),
    "polled for nothing": polled_for(0),
    "polled for input": polled_for(select.POLLIN),
    "stalled": stalled,
    "spliced": spliced,
    "own table": own_table,
    "one by one": one_by_one,
    "all at once": all_at_once,
}


def main() -> None:
    signal.alarm(300)
    say(event="process", role="program", pid=os.getpid())
    peer = Peer()
    kept: list[Any] = []
    try:
        wait_for("open")
        for step, sockets in WAYS[sys.argv[1]](peer):
            if step:
                wait_for(step)
            else:
                kept += sockets
                for one in sockets:
                    if one.family == socket.AF_INET and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0:
                        say_socket("program", one)
                wait_for("end")
    finally:
        os.kill(peer.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
