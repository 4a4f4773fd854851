"""Whose accept queue a connection is in, where two processes listen on one port (SO_REUSEPORT): as they made it."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Optional

import pytest

from tests.unit.builders import connection
from tests.unit.session.offers import as_recorder
from tests.unit.session.recording import FakeRecorder
from tracer.host.accept_queues import Listeners
from tracer.host.inet_diag import DiagSocket
from tracer.host.namespaces import Namespaces
from tracer.model.connection import Connection, Endpoint
from tracer.model.scope import Scope
from tracer.model.states import TcpState
from tracer.session.preexisting import Preexisting
from tracer.session.strangers import Strangers

ME, NETNS = os.getpid(), os.stat("/proc/self/ns/net").st_ino


@dataclass
class Shared:
    """A port on which this process listens, and a child of it, with a listener of its own. Nobody accepts."""

    opened: ExitStack
    ours: socket.socket
    clients: list[socket.socket] = field(default_factory=list)
    child: int = 0
    other: socket.socket = field(default_factory=socket.socket)

    def call(self) -> None:
        """A client that comes and hangs up."""
        client = self.opened.enter_context(socket.create_connection(self.ours.getsockname()))
        client.shutdown(socket.SHUT_WR)
        while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TcpState.FIN_WAIT2:
            time.sleep(0.001)
        self.clients.append(client)

    def share(self) -> None:
        """From now on there is a second listener, which the child alone has; ``call`` may go to either."""
        other = listener(self.ours.getsockname())
        self.child = os.fork()
        if self.child == 0:
            self.ours.close()
            signal.pause()
        self.opened.callback(os.waitpid, self.child, 0)
        self.opened.callback(os.kill, self.child, signal.SIGKILL)
        end = time.monotonic() + 10
        while os.path.lexists(f"/proc/{self.child}/fd/{self.ours.fileno()}"):
            assert time.monotonic() < end
        self.other = other

    def waiting(self) -> list[Connection]:
        """Each as its record tells it: in an accept queue."""
        ends = [(one.getpeername(), one.getsockname()) for one in self.clients]
        return [
            connection(number, local=Endpoint(*local), remote=Endpoint(*remote), netns=NETNS, cookie=0, accepted=False)
            for number, (local, remote) in enumerate(ends)
        ]


class Members:
    """These processes are in scope."""

    def __init__(self, *pids: int) -> None:
        self.pids = frozenset(pids)

    def now(self) -> Optional[frozenset[int]]:
        """None would be everybody."""
        return self.pids


def listener(address: tuple[str, int]) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(address)
    one.listen(64)
    return one


@pytest.fixture
def shared() -> Iterator[Shared]:
    """One connection waits in our queue; the child's queue is empty."""
    with ExitStack() as opened:
        port = Shared(opened, opened.enter_context(listener(("127.0.0.1", 0))))
        port.call()
        port.share()
        yield port
        port.other.close()


def left(shared: Shared, *pids: int) -> int:
    return len(Strangers(Members(*pids), Namespaces()).without(shared.waiting()))


def test_a_queue_that_is_not_empty_has_them(shared: Shared) -> None:
    """They are nothing of the process whose queue is empty."""
    shared.other.close()
    child = Strangers(Members(shared.child), Namespaces())
    assert (left(shared, ME), child.without(shared.waiting())) == (1, [])
    assert set(child.known) == {one.key for one in shared.waiting()}


def test_where_both_have_a_queue_it_is_not_known(shared: Shared) -> None:
    """The kernel chooses by a secret. Then they are in scope of both."""
    while not select.select([shared.other], [], [], 0)[0]:
        shared.call()
    shared.other.close()
    count = len(shared.clients)
    assert (left(shared, ME), left(shared, shared.child)) == (count, count)


def test_what_was_accepted_is_nobody_elses(shared: Shared) -> None:
    """The record may not know: the kernel's list does."""
    accepted, _ = shared.ours.accept()
    shared.call()
    while not select.select([shared.ours], [], [], 0)[0]:
        shared.call()
    shared.other.close()
    assert shared.waiting()[0].key in {
        one.key for one in Strangers(Members(ME), Namespaces()).without(shared.waiting())
    }
    accepted.close()


@pytest.mark.parametrize("mine", [True, False])
def test_older_ones(shared: Shared, mine: bool) -> None:
    """Those in the other process's queue when the trace begins are not in scope either."""
    shared.other.close()
    pid = ME if mine else shared.child
    older, recorder = Preexisting(Scope(pids=(pid,)), Namespaces()), FakeRecorder()
    older.take(as_recorder(recorder), {pid})
    ports = {one.getpeername()[1] for one in shared.clients}
    waiting = [one for one in older.waiting() if one.local.port in ports and not one.inode]
    assert (len(waiting), {port for _, port in recorder.listening} >= ports) == (int(mine), True)


def test_which_listeners_the_kernel_prefers() -> None:
    """Those on the address, then those on all addresses of its family, then of IPv6, which take IPv4 as well."""

    def listens(address: str, inode: int) -> DiagSocket:
        return DiagSocket(1, TcpState.LISTEN, Endpoint(address, 80), Endpoint("", 0), inode, inode, 0, 8)

    every = [listens("::", 1), listens("0.0.0.0", 2), listens("10.0.0.1", 3), listens("10.0.0.1", 4)]
    here = Listeners(every)
    assert [one.inode for one in here.at(Endpoint("10.0.0.1", 80))] == [3, 4]
    assert [one.inode for one in here.at(Endpoint("10.0.0.2", 80))] == [2]
    assert [one.inode for one in here.at(Endpoint("fd00::1", 80))] == [1]
    assert [one.inode for one in Listeners(every[:1]).at(Endpoint("10.0.0.2", 80))] == [1]
    assert here.at(Endpoint("10.0.0.1", 81)) == ()
