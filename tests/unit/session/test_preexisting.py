"""Sockets older than the trace, on real sockets of this machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.unit.builders import connection
from tests.unit.session.offers import as_recorder
from tests.unit.session.recording import FakeRecorder
from tracer.host.namespaces import Namespaces
from tracer.host.processes import process_info
from tracer.model.scope import Scope, network_of
from tracer.session.members import Members
from tracer.session.part import pids_in
from tracer.session.preexisting import Preexisting

ME = os.getpid()
Pair = tuple[socket.socket, socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A listener, a client whose peer has hung up, and a client that waits in the accept queue."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        left = stack.enter_context(closing(socket.create_connection(listener.getsockname())))
        peer, _ = listener.accept()
        peer.close()
        queued = stack.enter_context(closing(socket.create_connection(listener.getsockname())))
        queued.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        yield listener, left, queued


def cookie_of(sock: socket.socket) -> int:
    """SO_COOKIE, the kernel's own word."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, 57, 8), "little")


def taken(scope: Scope) -> tuple[Preexisting, FakeRecorder]:
    recorder, older = FakeRecorder(), Preexisting(scope, Namespaces())
    members = Members(scope, as_recorder(recorder))
    members.seed()
    older.take(as_recorder(recorder), members.now())
    return older, recorder


def test_sockets_of_the_process_are_seeded_by_cookie(pair: Pair) -> None:
    """Every connection of the process, whatever its state, and its listening ports."""
    listener, left, queued = pair
    older, recorder = taken(Scope(pids=(ME,)))
    assert {cookie_of(left), cookie_of(queued)} <= set(recorder.seeds)
    assert older.waited(cookie_of(left))
    assert not older.waited(2**60)
    assert (os.stat("/proc/self/ns/net").st_ino, listener.getsockname()[1]) in recorder.listening
    assert older.is_older(connection(cookie=cookie_of(left)))
    assert not older.is_older(connection(cookie=2**60))


def test_a_socket_without_a_cookie_was_made_after_the_listing(pair: Pair) -> None:
    """Every connection that was listed has a cookie since; only what was met while it was listed can have none."""
    assert pair
    begun = time.monotonic_ns()
    older, _ = taken(Scope(pids=(ME,)))
    assert older.is_older(connection(cookie=0, birth_ns=begun))
    assert not older.is_older(connection(cookie=0, birth_ns=time.monotonic_ns()))
    everything, _ = taken(Scope())
    assert everything.is_older(connection(cookie=0, birth_ns=time.monotonic_ns()))


def test_fin_is_no_younger_than_the_last_packet(pair: Pair) -> None:
    """The time that is claimed lies before the listing and not long before the FIN itself."""
    _, left, _ = pair
    time.sleep(0.3)
    older, _ = taken(Scope(pids=(ME,)))
    since = older.fin_before_ns(cookie_of(left))
    assert since is not None
    assert 0.2e9 < time.monotonic_ns() - since < 5e9
    assert older.fin_before_ns(2**60) is None


def test_the_connection_filters_apply(pair: Pair) -> None:
    """Ports and peers that were not asked for are neither seeded nor kept."""
    listener, left, _ = pair
    port = listener.getsockname()[1]
    _, recorder = taken(Scope(pids=(ME,), remote_ports=(port,)))
    assert cookie_of(left) in recorder.seeds
    for other in (Scope(pids=(ME,), remote_ports=(port + 1,)), Scope(pids=(ME,), remotes=(network_of("10.0.0.0/8"),))):
        older, recorder = taken(other)
        assert cookie_of(left) not in recorder.seeds
        assert not older.waited(cookie_of(left))


def test_the_whole_host_keeps_only_what_is_in_close_wait(pair: Pair) -> None:
    """Without a filter by task the kernel side needs no seeds for the others."""
    _, left, queued = pair
    older, recorder = taken(Scope(remote_ports=(pair[0].getsockname()[1],)))
    assert cookie_of(left) in recorder.seeds
    assert cookie_of(queued) not in recorder.seeds
    assert recorder.listening == []
    assert older.is_older(connection(cookie=2**60))


def test_tasks_are_matched_as_the_kernel_side_does() -> None:
    """By command name to fifteen bytes and by cgroup with all below it; a process that is gone matches nothing."""
    with open("/proc/self/comm", encoding="utf-8") as file:
        comm = file.read().strip()
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        cgroup = next(line[3:].strip() for line in file if line.startswith("0::"))
    assert ME in pids_in(Scope(comm=comm))
    assert ME not in pids_in(Scope(comm=comm + "x"))
    assert ME not in pids_in(Scope(comm="\udcff"))
    assert ME in pids_in(Scope(cgroup=(1, 1), cgroup_path=cgroup))
    assert ME in pids_in(Scope(cgroup=(1, 0), cgroup_path="/"))
    assert ME not in pids_in(Scope(cgroup=(1, 1), cgroup_path="/closetrace-not-there"))
    assert ME not in pids_in(Scope(cgroup=(1, 1), cgroup_path=cgroup.rstrip("/") + "x"))
    assert process_info(2**22 + 1) is None
