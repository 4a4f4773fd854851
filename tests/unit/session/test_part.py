"""Which of all recorded sockets are in the scope of one question. Processes and sockets are real ones."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.unit.builders import connection, touch
from tracer.host.namespaces import Namespaces
from tracer.model.connection import Actor, Connection, Endpoint, Touch
from tracer.model.finding import Ended, Verdict
from tracer.model.scope import Scope, network_of
from tracer.model.states import Op
from tracer.session.endings import Endings
from tracer.session.part import Part
from tracer.session.preexisting import Preexisting

ME = os.getpid()
NETNS = os.stat("/proc/self/ns/net").st_ino
GONE = 2**22 + 1
"""No process has this number."""


def part(**scope: Any) -> Part:
    namespaces = Namespaces()
    return Part(Scope(**scope), "some", 10, Preexisting(Scope(), namespaces), namespaces)


def used_by(pid: int, ns: int, comm: str = "app") -> Touch:
    return Touch(Op.RECV, ns, Actor(pid, pid, comm))


def nobodys(**more: Any) -> Connection:
    """A socket that no process of this host holds or used."""
    facts = {"opened": None, "last": None, "holders": (), "inode": 2**40, "netns": NETNS}
    return connection(**{**facts, **more})


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


def test_without_a_filter_all_is_told() -> None:
    """Whoever has it."""
    assert part().has(nobodys())


def test_a_process_has_what_it_holds_used_or_will_accept(listening: socket.socket) -> None:
    """And nothing else."""
    mine = part(pids=(ME,))
    assert not mine.has(nobodys())
    assert mine.has(nobodys(inode=os.fstat(listening.fileno()).st_ino))
    now = time.monotonic_ns()
    for name in ("opened", "last", "closed"):
        assert mine.has(nobodys(**{name: used_by(ME, now)}))
        assert not mine.has(nobodys(**{name: used_by(GONE, now)}))
    queued = {"inode": 0, "accepted": False, "passive": True}
    assert mine.has(nobodys(local=Endpoint(*listening.getsockname()), **queued))
    assert not mine.has(nobodys(local=Endpoint("127.0.0.1", 1), **queued))


def test_a_number_that_another_process_had_before() -> None:
    """What that one did is not this one's."""
    assert not part(pids=(ME,)).has(nobodys(last=used_by(ME, 1)))


def test_ports_and_networks_count_too() -> None:
    """All kinds of filters must match."""
    now = used_by(ME, time.monotonic_ns())
    one = nobodys(last=now, remote=Endpoint("10.1.2.3", 443))
    assert part(pids=(ME,), remote_ports=(443,), remotes=(network_of("10.0.0.0/8"),)).has(one)
    assert not part(pids=(ME,), remote_ports=(80,)).has(one)
    assert not part(remotes=(network_of("11.0.0.0/8"),)).has(one)
    assert not part(netns=(1,)).has(one)


def test_the_ended_of_a_name_are_told_though_the_process_has_ended() -> None:
    """By the name that its threads had; those of a number or a cgroup need a process that lives."""
    endings = Endings()
    for serial, comm in enumerate(("nginx", "other"), 1):
        c = nobodys(
            serial=serial, last=used_by(GONE, 50, comm), closed=touch(Op.CLOSE, 5, actor=Actor(GONE, GONE, comm))
        )
        endings.add(Ended(c, Verdict.UNKNOWN, 20, "closed"))
    endings.add(Ended(nobodys(serial=3, last=used_by(GONE, 50, "nginx")), Verdict.UNKNOWN, 9, "too early"))
    mine = part(comm="nginx").ended(endings)
    assert [gone.connection.cookie for gone in mine.latest] == [1]
    assert sum(kind.count for kind in mine.kinds()) == 1
    assert not part(pids=(ME,)).ended(endings).latest
    assert len(part().ended(endings).latest) == 2


def test_the_ended_of_a_script_are_told_though_the_process_has_ended() -> None:
    """Its threads have the interpreter's name; what its program was called was kept with the socket."""
    endings = Endings()
    for serial, program in enumerate(("a_long_name_of_mine.py", "other.py", ""), 1):
        c = nobodys(serial=serial, last=used_by(GONE, 50, "python3"))
        endings.add(Ended(c, Verdict.UNKNOWN, 20, "closed", program))
    assert [gone.connection.cookie for gone in part(comm="a_long_name_of_mine.py").ended(endings).latest] == [1]
    assert len(part(comm="python3").ended(endings).latest) == 3
    assert not part(comm="other.py", pids=(ME,)).ended(endings).latest
