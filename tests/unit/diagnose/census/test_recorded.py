"""Which code path left which socket of a census: by network namespace and cookie, and each socket counts once."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import pytest

from tracer.diagnose.census.counts import Census, Namespace, Selection, take
from tracer.diagnose.census.recorded import Calls, CodePath, Known, Records, attribute
from tracer.host.inet_diag import DiagSocket
from tracer.model.connection import Endpoint, Holder
from tracer.model.states import TcpState

TAKEN = 1_700_000_000.0
PATH = CodePath("id", "java", "eof-ignored", "read", "read (A.java:1)", True, ())


def sock(
    cookie: int,
    state: TcpState = TcpState.CLOSE_WAIT,
    quiet_ms: Optional[int] = 60_000,
    netns: int = 1,
    to: str = "10.0.0.2",
) -> DiagSocket:
    ends = Endpoint("10.0.0.1", 40_000 + cookie), Endpoint(to, 443)
    return DiagSocket(netns, state, *ends, 1, cookie, 0, 0, last_ack_recv_ms=quiet_ms)


def census(*sockets: DiagSocket) -> Census:
    return take(sockets, {1: (Holder(4121, 3, "java"),)}, [Namespace(1, "here")], Selection(), TAKEN)


def known(cookie: int, age_ms: int = 60_000, calls: Calls = Calls.RECORDED, netns: int = 1, pid: int = 4121) -> Known:
    return Known(netns, cookie, age_ms, calls, pid)


def records(*paths: CodePath, told: float = TAKEN) -> Records:
    return Records(TAKEN - 3600, told, 10_000, 0, paths)


def path(name: str, *sockets: Known) -> CodePath:
    return replace(PATH, id=name, sockets=sockets)


def test_each_socket_counts_once() -> None:
    """The largest path first; the sum is what the kernel lists; what is not in that list does not count."""
    listed = [sock(cookie) for cookie in range(1, 8)]
    told = records(
        path("a", known(1, 70_000)),
        path("b", known(2), known(3, 90_000), known(99)),  # 99 was closed meanwhile
        path("c", known(4, calls=Calls.OLDER), known(5, calls=Calls.NOT_FOLLOWED)),
        path("d", known(6, netns=2)),  # another namespace has this cookie, too
    )
    found = attribute(census(*listed, sock(8, TcpState.ESTABLISHED), sock(9, quiet_ms=3000)), told)
    assert [(one.path.id, one.count, one.oldest_ms) for one in found.paths] == [("b", 2, 90_000), ("a", 1, 70_000)]
    assert (found.older, found.younger, found.unknown) == (1, 1, 3)
    assert found.sockets == 8
    assert sum(one.count for one in found.paths) + found.older + found.younger + found.unknown == found.sockets


def test_processes_and_remotes_are_those_of_what_is_counted() -> None:
    """A site has sockets of other processes, too, which are older than the recording or were closed meanwhile."""
    site = path("a", known(1, pid=7), known(2, pid=7), known(3, pid=9), known(4, pid=8, calls=Calls.OLDER), known(99))
    (one,) = attribute(census(sock(1), sock(2), sock(3), sock(4, to="10.9.9.9")), records(site)).paths
    assert (one.count, one.pid, one.others, one.remote) == (3, 7, 1, "10.0.0.2:443")
    (two,) = attribute(census(sock(1), sock(2, to="10.0.0.3")), records(site)).paths
    assert (two.count, two.pid, two.others, two.remote) == (2, 7, 0, "2 remotes")


@pytest.mark.parametrize(("quiet_ms", "younger"), [(17_900, 1), (18_100, 0), (None, 0)])
def test_an_answer_of_some_seconds_ago(quiet_ms: Optional[int], younger: int) -> None:
    """What began to linger since then is younger; ages go on."""
    told = records(path("a", known(1, 20_000)), told=TAKEN - 8)
    found = attribute(census(sock(1), sock(2, quiet_ms=quiet_ms)), told)
    assert (found.younger, found.unknown, found.younger_than_ms) == (younger, 1 - younger, 18_000)
    assert found.paths[0].oldest_ms == 28_000


def test_without_sockets() -> None:
    """Nothing is told of what the census did not count."""
    found = attribute(census(sock(1, TcpState.ESTABLISHED)), records(path("a", known(1))))
    assert (found.sockets, found.paths, found.unknown) == (0, (), 0)
