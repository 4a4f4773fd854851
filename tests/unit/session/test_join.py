"""What sock_diag and /proc know of a connection now, on sockets of this process: the oracle made them."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.unit.builders import connection, stack
from tracer.host.descriptors import Descriptors
from tracer.host.inet_diag import DiagSocket
from tracer.host.namespaces import Namespaces
from tracer.host.threads import ThreadsNow
from tracer.model.changing import drafted
from tracer.model.connection import Actor, Connection, Endpoint, Holder, Relation
from tracer.model.frame import BlackBox, Stack
from tracer.model.states import TcpState
from tracer.model.thread import ThreadNow, ThreadState
from tracer.session import join as module
from tracer.session.join import join

NETNS = os.stat("/proc/self/ns/net").st_ino
COMM = Path("/proc/self/comm").read_text().strip()
FOUND = stack("in_send", "main")


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Whatever a test opens is closed after it."""
    with ExitStack() as opened:
        yield opened


def listening(sockets: ExitStack, backlog: int = 8) -> socket.socket:
    return sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=backlog))


def connected(sockets: ExitStack, to: socket.socket) -> socket.socket:
    return sockets.enter_context(socket.create_connection(to.getsockname()))


def recorded(local: tuple[str, int], remote: tuple[str, int], **facts: Any) -> Connection:
    """What a record of that socket has without the listing: neither queue nor inode nor cookie."""
    unknown: dict[str, Any] = {"netns": NETNS, "inode": 0, "cookie": 0, "rx_queue": None, "holders": ()}
    return connection(local=Endpoint(*local), remote=Endpoint(*remote), **{**unknown, **facts})


def unwind(box: BlackBox) -> Stack:
    assert box.pid == os.getpid()
    return FOUND


def nobody(pid: int) -> Optional[int]:
    """Nobody's parent is known."""
    return None if pid else 1


def await_state(own: socket.socket, state: int) -> None:
    """Wait for the kernel's word on the socket (TCP_INFO's first byte)."""
    end = time.monotonic() + 10
    while own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != state:
        assert time.monotonic() < end
        time.sleep(0.005)


CLOSE_WAIT = 8


def test_queue_inode_and_holder_of_a_socket_in_close_wait(sockets: ExitStack) -> None:
    """5 bytes and the FIN wait to be read: sock_diag's Recv-Q of both, the inode of fstat(2), this process's number."""
    listener = listening(sockets)
    own = connected(sockets, listener)
    peer, _ = listener.accept()
    peer.sendall(b"bytes")
    peer.close()
    await_state(own, CLOSE_WAIT)
    (joined,) = join([recorded(own.getsockname(), own.getpeername())], Namespaces(), ThreadsNow(), unwind, nobody)
    assert (joined.rx_queue, joined.inode) == (6, os.fstat(own.fileno()).st_ino)
    assert joined.cookie == int.from_bytes(own.getsockopt(socket.SOL_SOCKET, 57, 8), "little")  # SO_COOKIE
    assert joined.holders == (Holder(os.getpid(), own.fileno(), COMM, Relation.OTHER),)
    assert (joined.blocked, joined.listener) == ((), None)


def test_the_cookie_decides_where_it_is_known(sockets: ExitStack) -> None:
    """Addresses that were used again are another socket: the record's own cookie is not in the listing."""
    listener = listening(sockets)
    own = connected(sockets, listener)
    listener.accept()[0].close()
    await_state(own, CLOSE_WAIT)
    cookie = int.from_bytes(own.getsockopt(socket.SOL_SOCKET, 57, 8), "little")
    elsewhere = recorded(("127.0.0.1", 1), ("127.0.0.1", 2), cookie=cookie)
    (joined,) = join([elsewhere], Namespaces(), ThreadsNow(), unwind, nobody)
    assert joined.inode == os.fstat(own.fileno()).st_ino


def test_a_socket_that_nobody_accepted_has_its_listener(sockets: ExitStack) -> None:
    """A child in the accept queue has no inode and no holder; who holds the listener is told instead."""
    listener = listening(sockets)
    client = connected(sockets, listener)
    local, remote = client.getpeername(), client.getsockname()
    client.close()
    await_line(local[1], remote[1], CLOSE_WAIT)
    (joined,) = join([recorded(local, remote, passive=True, accepted=None)], Namespaces(), ThreadsNow(), unwind, nobody)
    assert (joined.accepted, joined.inode, joined.holders) == (False, 0, ())
    assert joined.listener == Holder(os.getpid(), listener.fileno(), COMM)


def test_the_listener_in_whose_queue_it_waits(sockets: ExitStack) -> None:
    """Of two on one port (SO_REUSEPORT) the one whose queue is not empty, whichever the kernel lists first."""
    two: list[socket.socket] = []
    for _ in range(2):
        one = sockets.enter_context(socket.socket())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(two[0].getsockname() if two else ("127.0.0.1", 0))
        one.listen(8)
        two.append(one)
    client = connected(sockets, two[0])
    place = client.getpeername(), client.getsockname()
    chosen, other = two if select.select(two, [], [], 10)[0] == two[:1] else reversed(two)
    client.close()
    await_line(place[0][1], place[1][1], CLOSE_WAIT)
    (joined,) = join([recorded(*place, passive=True, accepted=None)], Namespaces(), ThreadsNow(), unwind, nobody)
    assert joined.listener == Holder(os.getpid(), chosen.fileno(), COMM)
    assert (joined.listener.fd != other.fileno(), joined.listeners) == (True, ())
    while not select.select([other], [], [], 0)[0]:
        connected(sockets, two[0])
    (joined,) = join([recorded(*place, passive=True, accepted=None)], Namespaces(), ThreadsNow(), unwind, nobody)
    assert {one.fd for one in joined.listeners} == {one.fileno() for one in two}
    again = join([recorded(*place, passive=True, accepted=None)] * 2, Namespaces(), ThreadsNow(), unwind, nobody)
    assert again[0].listeners is again[1].listeners  # one for all that wait there, however many listen


@pytest.mark.parametrize(
    ("having", "told"),
    [((71, 72), (71, 3)), ((72,), (72, 4)), ((73,), (73, 5)), ((72, 73), (72, 4)), ((99,), (70, 3)), ((), (70, 3))],
)
def test_who_listened_for_what_was_accepted(having: tuple[int, ...], told: tuple[int, int]) -> None:
    """Of several listeners on one port the first that one of those who have the connection has, too; else the first."""
    place = Endpoint("127.0.0.1", 80)
    held = {1: [(71, 3), (70, 3)], 2: [(72, 9), (72, 4), (71, 4)], 3: [(73, 5)], 9: [(pid, 8) for pid in having]}
    several = tuple(DiagSocket(NETNS, TcpState.LISTEN, place, Endpoint("0.0.0.0", 0), n, n, 0, 0) for n in (1, 2, 3))
    holders = {inode: tuple(Holder(*one, COMM) for one in each) for inode, each in held.items()}
    seen = module.Seen(module.Diagnosed((), Namespaces()), [], {(NETNS, place): several}, Descriptors(holders))
    draft = drafted(connection(local=place, netns=NETNS, inode=9, passive=None, accepted=None))
    module._set_side(draft, seen)
    assert ((draft.listener.pid, draft.listener.fd), draft.listeners, draft.accepted) == (told, (), True)


@pytest.mark.parametrize("opened", [True, False])
def test_the_side_is_known_without_a_listener(sockets: ExitStack, opened: bool) -> None:
    """Nobody listens any more, and nobody saw the beginning: the kernel's counters know who sent the SYN."""
    listener = listening(sockets)
    ends = connected(sockets, listener), sockets.enter_context(listener.accept()[0])
    listener.close()
    own, peer = ends if opened else reversed(ends)
    own.sendall(b"data")
    peer.recv(4)
    peer.shutdown(socket.SHUT_WR)
    await_state(own, CLOSE_WAIT)
    bare = recorded(own.getsockname(), own.getpeername(), passive=None, preexisting=True)
    (joined,) = join([bare], Namespaces(), ThreadsNow(), unwind, nobody)
    assert joined.kernel is not None
    assert joined.kernel.opened_here is opened
    assert (joined.passive, joined.accepted) == ((None, None) if opened else (True, True))


def test_who_connects_from_the_port_that_it_listens_on_has_opened(sockets: ExitStack) -> None:
    """With SO_REUSEPORT a program can do both, as peers do among themselves: the counters know who sent the SYN."""
    remote, mine = listening(sockets), sockets.enter_context(socket.socket())
    own = sockets.enter_context(socket.socket())
    for one in (mine, own):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    mine.bind(("127.0.0.1", 0))
    own.bind(mine.getsockname())
    own.connect(remote.getsockname())
    mine.listen()
    peer = sockets.enter_context(remote.accept()[0])
    peer.shutdown(socket.SHUT_WR)
    await_state(own, CLOSE_WAIT)
    bare = recorded(own.getsockname(), own.getpeername(), passive=None, preexisting=True)
    (joined,) = join([bare], Namespaces(), ThreadsNow(), unwind, nobody)
    assert (joined.passive, joined.accepted, joined.listener) == (None, None, None)
    assert joined.kernel is not None
    assert joined.kernel.opened_here is True


def await_line(local_port: int, remote_port: int, state: int) -> None:
    """Wait until /proc/net/tcp has the socket in that state."""
    wanted = f":{local_port:04X}", f":{remote_port:04X}", f"{state:02X}"
    end = time.monotonic() + 10
    while True:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        if [w for w in lines if w[1].endswith(wanted[0]) and w[2].endswith(wanted[1]) and w[3] == wanted[2]]:
            return
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_socket_that_is_not_listed_stays_as_it_was_recorded() -> None:
    """It was closed meanwhile: nothing is made up."""
    before = recorded(("127.0.0.1", 1), ("127.0.0.1", 2), inode=0, accepted=True, passive=True)
    assert join([before], Namespaces(), ThreadsNow(), unwind, nobody) == [before]


def test_a_namespace_that_ended_costs_the_listing_alone() -> None:
    """A network namespace that no process is in any more cannot be listed; its record is returned."""
    before = recorded(("127.0.0.1", 1), ("127.0.0.1", 2), netns=1)
    assert join([before], Namespaces(), ThreadsNow(), unwind, nobody) == [before]


def test_a_thread_inside_a_call_is_told_with_its_stack(sockets: ExitStack) -> None:
    """A thread that sends to a peer who reads nothing: the call, the thread and what unwinding its stack gave."""
    listener = listening(sockets)
    own = connected(sockets, listener)
    peer, _ = listener.accept()
    sockets.enter_context(peer)
    peer.shutdown(socket.SHUT_WR)
    await_state(own, CLOSE_WAIT)
    tids: list[int] = []

    def send() -> None:
        tids.append(threading.get_native_id())
        try:
            own.sendall(b"x" * (64 << 20))
        except OSError:
            return  # the end of the test

    thread = threading.Thread(target=send)
    thread.start()
    try:
        end = time.monotonic() + 10
        while not tids or not Path(f"/proc/self/task/{tids[0]}/syscall").read_text().startswith("44 "):  # sendto
            assert time.monotonic() < end
            time.sleep(0.01)
        (joined,) = join([recorded(own.getsockname(), own.getpeername())], Namespaces(), ThreadsNow(), unwind, nobody)
    finally:
        peer.close()  # resets the connection: the bytes in its queue were not read
        thread.join()
    (blocked,) = joined.blocked
    assert (blocked.actor.tid, blocked.fd, blocked.syscall) == (tids[0], own.fileno(), "sendto")
    assert blocked.stack == FOUND


def test_a_stack_that_no_time_was_left_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread is told without it. In the next pass the count begins anew."""
    pid = os.getpid()
    held: dict[int, tuple[Holder, ...]] = {1: (Holder(pid, 7, COMM),)}
    box = BlackBox(pid, 1, (0,) * 17, b"", False)
    inside = [
        ThreadNow(Actor(pid, tid, COMM), ThreadState.WAITS, 0, "read", (7,), box=box if tid < 3 else None)
        for tid in (1, 2, 3)
    ]
    threads = ThreadsNow()
    monkeypatch.setattr(threads, "at_work_on", lambda *_: inside)
    monkeypatch.setattr(module, "same_table", lambda *_: True)
    monkeypatch.setattr(module, "_STACKS_NS", 0)
    calls = module._blocked_by_fd(held, threads, unwind)[pid, 7]
    assert [(call.actor.tid, call.stack) for call in calls] == [(1, None), (2, None), (3, None)]
    assert threads.left_out == 2
    monkeypatch.setattr(module, "_STACKS_NS", 1 << 62)
    calls = module._blocked_by_fd(held, threads, unwind)[pid, 7]
    assert [call.stack for call in calls] == [FOUND, FOUND, None]
    assert threads.left_out == 0


def test_a_call_on_the_same_number_of_another_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread's descriptor is that of its own table; where tables cannot be compared, all have the process's."""
    pid = os.getpid()
    held: dict[int, tuple[Holder, ...]] = {1: (Holder(pid, 7, COMM),), 2: (Holder(pid, 7, COMM, tid=2),)}
    inside = [ThreadNow(Actor(pid, tid, COMM), ThreadState.WAITS, 0, "read", (7,)) for tid in (pid, 2)]
    threads = ThreadsNow()
    monkeypatch.setattr(threads, "at_work_on", lambda *_: inside)
    monkeypatch.setattr(module, "same_table", lambda one, other: one == other)
    calls = module._blocked_by_fd(held, threads, unwind)
    assert {place: [call.actor.tid for call in several] for place, several in calls.items()} == {
        (pid, 7): [pid],
        (2, 7): [2],
    }
    monkeypatch.setattr(module, "same_table", lambda *_: None)
    assert len(module._blocked_by_fd({1: held[1]}, threads, unwind)[pid, 7]) == 2


def test_a_descriptor_in_flight_is_nobodys(sockets: ExitStack) -> None:
    """The only one waits in a unix socket: no process has it, and that is told once it has been looked at twice."""
    listener = listening(sockets)
    own = connected(sockets, listener)
    listener.accept()[0].close()
    await_state(own, CLOSE_WAIT)
    one, other = (sockets.enter_context(end) for end in socket.socketpair())
    record = recorded(own.getsockname(), own.getpeername())
    (before,) = join([record], Namespaces(), ThreadsNow(), unwind, nobody)
    socket.send_fds(one, [b"x"], [own.fileno()])
    own.close()
    (after,) = join([record], Namespaces(), ThreadsNow(), unwind, nobody)
    assert other.fileno() >= 0
    assert before.unheld is None
    assert (after.holders, after.inode) == ((), before.inode)
    assert after.unheld is not None
