"""The counting of the census, on sockets made up for each rule."""

from __future__ import annotations

import ipaddress
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.diagnose.census.advice import explain, port_sentences, warnings
from tracer.diagnose.census.counts import Census, Namespace, Owner, OwnerKind, Selection, quiet, take
from tracer.host.inet_diag import DiagSocket
from tracer.host.tcp_settings import TcpSettings
from tracer.model.connection import Endpoint, Holder
from tracer.model.states import TcpState

SETTINGS = TcpSettings(32768, 60999, frozenset(), tw_reuse=2, timestamps=True, fin_timeout_s=60)
SPACE = Namespace(1, "here", SETTINGS)


def sock(
    state: TcpState, local: str, remote: str, inode: int = 0, netns: int = 1, rx_queue: int = 0, **more: int
) -> DiagSocket:
    ends = []
    for text in (local, remote):
        address, _, port = text.rpartition(":")
        ends.append(Endpoint(address, int(port)))
    return DiagSocket(netns, state, ends[0], ends[1], inode, 0, rx_queue, 0, **more)


def census(
    *sockets: DiagSocket, holders: dict[int, tuple[Holder, ...]] | None = None, scope: Selection | None = None
) -> Census:
    return take(sockets, holders or {}, [SPACE], scope or Selection(), 0.0)


LISTENER = sock(TcpState.LISTEN, "0.0.0.0:80", "0.0.0.0:0", inode=9)


def test_direction() -> None:
    """A listener's port, else the ephemeral end, tells who opened a connection."""
    found = census(
        LISTENER,
        sock(TcpState.ESTABLISHED, "10.0.0.1:80", "10.0.0.2:40000", 1),
        sock(TcpState.ESTABLISHED, "10.0.0.1:40000", "10.0.0.2:5000", 2),
        sock(TcpState.ESTABLISHED, "10.0.0.1:5000", "10.0.0.2:40000", 3),
        sock(TcpState.ESTABLISHED, "10.0.0.1:700", "10.0.0.2:2049", 4),
    )
    assert [it.incoming for it in found.connections] == [True, False, True, False]
    assert found.listeners == 1


def test_direction_as_the_kernel_counts() -> None:
    """A host with very many connections has several on one local port: who sent the SYN is told all the same."""
    sent_syn = {"bytes_acked": 21, "bytes_sent": 20, "bytes_retrans": 0, "unsent": 0}
    came_in = {**sent_syn, "bytes_acked": 20}
    several = [
        sock(TcpState.CLOSE_WAIT, "10.0.0.1:50000", f"10.0.0.{host}:51000", **known)
        for known, hosts in ((sent_syn, range(2, 7)), (came_in, range(7, 9)))
        for host in hosts
    ]
    assert [it.incoming for it in census(*several).connections] == [False] * 5 + [True] * 2


def test_direction_where_the_listener_is_gone() -> None:
    """Between two ephemeral ports the one that many connections share is the server's, seen from either side."""
    server = [sock(TcpState.TIME_WAIT, "10.0.0.1:50000", f"10.0.0.2:{port}") for port in range(40000, 40005)]
    client = [sock(TcpState.TIME_WAIT, f"10.0.0.1:{port}", "10.0.0.3:51000") for port in range(40000, 40005)]
    assert [it.incoming for it in census(*server, *client).connections] == [True] * 5 + [False] * 5


def test_groups_of_clients_and_servers() -> None:
    """Outgoing connections are alike by remote address and port, incoming ones by remote address and local port."""
    found = census(
        LISTENER,
        *(sock(TcpState.ESTABLISHED, "10.0.0.1:80", f"10.0.0.2:{port}", port) for port in range(40000, 40007)),
        *(sock(TcpState.ESTABLISHED, f"10.0.0.1:{port}", "10.0.0.3:443", port) for port in range(50000, 50003)),
    )
    rows = [(it.incoming, it.local_port, it.remote, it.count) for it in found.groups]
    assert rows == [(True, 80, "10.0.0.2", 7), (False, 0, "10.0.0.3:443", 3)]


def test_close_wait_comes_first() -> None:
    """A single CLOSE_WAIT stands above any number of other connections."""
    many = [sock(TcpState.TIME_WAIT, f"10.0.0.1:{port}", "10.0.0.3:443") for port in range(40000, 40100)]
    found = census(*many, sock(TcpState.CLOSE_WAIT, "10.0.0.1:50000", "10.0.0.3:443", 5))
    assert [(it.state, it.count) for it in found.groups] == [(TcpState.CLOSE_WAIT, 1), (TcpState.TIME_WAIT, 100)]


@pytest.mark.parametrize(("lengths", "others"), [((0, 3), 0), ((1, 3), 1), ((0, 0), 1)])
def test_the_queue_of_one_of_two_listeners(lengths: tuple[int, int], others: int) -> None:
    """With SO_REUSEPORT whoever has a queue; where both have one or none, the other one is counted, too."""
    ports = [
        sock(TcpState.LISTEN, "10.0.0.1:80", "0.0.0.0:0", inode=8 + n, rx_queue=length)
        for n, length in enumerate(lengths)
    ]
    waits = sock(TcpState.CLOSE_WAIT, "10.0.0.1:80", "10.0.0.2:40003")
    (one,) = census(*ports, waits, holders={8: (Holder(20, 3, "a"),), 9: (Holder(21, 3, "b"),)}).connections
    assert (one.owner.pid, one.owner.others) == (20 if others else 21, others)


def test_the_queues_of_two_families() -> None:
    """Two programs listen on all addresses, one of IPv4 and one of IPv6 alone: each has its own queue."""
    ports = [sock(TcpState.LISTEN, f"{any_}:80", f"{any_}:0", inode=8 + n) for n, any_ in enumerate(("0.0.0.0", "::"))]
    waiting = [
        sock(TcpState.CLOSE_WAIT, "10.0.0.1:80", "10.0.0.2:40003"),
        sock(TcpState.CLOSE_WAIT, "fd00::1:80", "fd00::2:40003"),
    ]
    found = census(*ports, *waiting, holders={8: (Holder(20, 3, "four"),), 9: (Holder(21, 3, "six"),)})
    assert [(it.owner.comm, it.owner.others) for it in found.connections] == [("four", 0), ("six", 0)]


def test_owners() -> None:
    """Holder, accept queue, unseen process and kernel are told apart; the exact listener goes before a wildcard."""
    holders = {
        1: (Holder(7, 3, "b"), Holder(5, 3, "a"), Holder(5, 4, "a")),
        9: (Holder(20, 3, "wild"),),
        8: (Holder(21, 3, "exact"),),
    }
    found = census(
        LISTENER,
        sock(TcpState.LISTEN, "10.0.0.1:80", "0.0.0.0:0", inode=8),
        sock(TcpState.ESTABLISHED, "10.0.0.1:40000", "10.0.0.2:443", 1),
        sock(TcpState.ESTABLISHED, "10.0.0.1:40001", "10.0.0.2:443", 2),
        sock(TcpState.LAST_ACK, "10.0.0.1:40002", "10.0.0.2:443"),
        sock(TcpState.CLOSE_WAIT, "10.0.0.1:80", "10.0.0.2:40003"),
        sock(TcpState.ESTABLISHED, "10.9.9.9:80", "10.0.0.2:40004"),
        holders=holders,
    )
    assert [it.owner for it in found.connections] == [
        Owner(OwnerKind.PROCESS, 5, "a", 1),
        Owner(OwnerKind.UNSEEN),
        Owner(OwnerKind.KERNEL),
        Owner(OwnerKind.QUEUE, 21, "exact"),
        Owner(OwnerKind.QUEUE, 20, "wild"),
    ]


@pytest.mark.parametrize(
    ("scope", "ports"),
    [
        (Selection(), {40000, 40001, 80, 40003}),
        (Selection(frozenset({5})), {40000, 80}),
        (Selection(frozenset({5, 6})), {40000, 40001, 80}),
        (Selection(frozenset()), set()),
        (Selection(local_ports=(40001,)), {40001}),
        (Selection(local_ports=(40001, 80)), {40001, 80}),
        (Selection(remote_ports=(8443,)), {40003}),
        (Selection(remotes=(ipaddress.ip_network("10.0.0.0/24"),)), {40000, 80}),
        (Selection(remotes=(ipaddress.ip_network("2001:db8::/32"),)), {40003}),
        (Selection(remotes=(ipaddress.ip_network("2001:db8::/32"), ipaddress.ip_network("10.0.1.2"))), {40001, 40003}),
    ],
)
def test_scope(scope: Selection, ports: set[int]) -> None:
    """Each filter chooses what it names; with a process filter an accept queue counts for the listener's process."""
    found = census(
        LISTENER,
        sock(TcpState.ESTABLISHED, "10.0.0.1:40000", "10.0.0.2:443", 1),
        sock(TcpState.ESTABLISHED, "10.0.0.1:40001", "10.0.1.2:443", 2),
        sock(TcpState.ESTABLISHED, "10.0.0.1:80", "10.0.0.2:50000"),
        sock(TcpState.TIME_WAIT, "2001:db8::1:40003", "2001:db8::2:8443"),
        holders={
            1: (Holder(5, 3, "a"),),
            2: (Holder(6, 3, "b"),),
            9: (Holder(5, 4, "a"),),
        },
        scope=scope,
    )
    assert {it.socket.local.port for it in found.connections} == ports
    assert found.unowned == (0 if scope.processes is None else 1)


def test_quiet() -> None:
    """Quiet is since data for ESTABLISHED, since the start for TIME_WAIT, since the last segment otherwise."""
    times = {"last_data_sent_ms": 500, "last_data_recv_ms": 700, "last_ack_recv_ms": 300}
    assert quiet(sock(TcpState.ESTABLISHED, "a:1", "b:2", **times)) == 500
    assert quiet(sock(TcpState.CLOSE_WAIT, "a:1", "b:2", **times)) == 300
    assert quiet(sock(TcpState.TIME_WAIT, "a:1", "b:2", timer=3, timer_ms=59_000)) == 1000
    assert quiet(sock(TcpState.FIN_WAIT2, "a:1", "b:2", timer=3, timer_ms=59_000)) is None
    assert quiet(sock(TcpState.SYN_SENT, "a:1", "b:2")) is None


def test_ports_are_counted_over_all_processes() -> None:
    """A filter by process or local port does not hide that others have used the ports up."""
    used = [sock(TcpState.TIME_WAIT, f"10.0.0.1:{port}", "10.0.0.2:443") for port in range(32768, 61000)]
    full = census(*used, scope=Selection(frozenset({5}), local_ports=(99,)))
    assert full.connections == ()
    assert [(use.used, use.usable) for use in full.ports] == [(28232, 28232)]
    (warning,) = warnings(full)
    assert "28232 of 28232 ephemeral ports from 10.0.0.1 to 10.0.0.2:443" in warning
    assert "net.ipv4.tcp_tw_reuse to 1" in warning
    assert any("471 connections a second" in sentence for sentence in port_sentences(full))


def test_no_settings_no_ports() -> None:
    """Where the settings cannot be read, connections are counted and ports are not guessed."""
    found = take(
        [sock(TcpState.TIME_WAIT, "10.0.0.1:40000", "10.0.0.2:443")], {}, [Namespace(1, "x")], Selection(), 0.0
    )
    assert (len(found.connections), found.ports, warnings(found), port_sentences(found)) == (1, (), (), ())


def test_receive_queue_tells_what_the_program_did() -> None:
    """CLOSE_WAIT is explained by the receive queue: 0, 1, more, or never accepted."""
    found = census(
        LISTENER,
        *(sock(TcpState.CLOSE_WAIT, f"10.0.0.1:{40000 + n}", "10.0.0.2:443", 1, rx_queue=n) for n in (0, 1, 2, 150)),
        sock(TcpState.CLOSE_WAIT, "10.0.0.1:80", "10.0.0.2:50000", 0, rx_queue=80),
        holders={1: (Holder(5, 3, "a"),)},
    )
    (told,) = explain(found)
    text = " ".join(told.sentences)
    assert told.count == 5
    for part in ("1 read to the end", "1 not read since", "2 with data", "1 never accepted", "closetrace --pid 5 "):
        assert part in text


ends = st.tuples(st.sampled_from(["10.0.0.1", "127.0.0.1", "::1"]), st.sampled_from([80, 443, 40000, 40001, 50000]))
sockets = st.builds(
    DiagSocket,
    netns=st.sampled_from([1, 2]),
    state=st.sampled_from([state for state in TcpState if state is not TcpState.CLOSE]),
    local=ends.map(lambda end: Endpoint(*end)),
    remote=ends.map(lambda end: Endpoint(*end)),
    inode=st.integers(0, 4),
    cookie=st.integers(0, 99),
    rx_queue=st.integers(0, 3),
    tx_queue=st.just(0),
    timer=st.integers(0, 4),
    timer_ms=st.none() | st.integers(0, 70_000),
    last_ack_recv_ms=st.none() | st.integers(0, 100),
)


@given(st.lists(sockets, max_size=30), st.booleans(), st.integers(0, 2), st.booleans())
def test_every_connection_is_counted_once(some: list[DiagSocket], known: bool, reuse: int, by_process: bool) -> None:
    """Whatever the sockets, states and groups add up to them, shares are parts of one, and all can be explained."""
    settings = TcpSettings(40000, 40010, frozenset({40005}), reuse, True, 60) if known else None
    holders = {1: (Holder(5, 3, "a"),), 2: (Holder(5, 4, "a"), Holder(6, 4, "b"))}
    scope = Selection(frozenset({5})) if by_process else Selection()
    found = take(some, holders, [Namespace(1, "x", settings), Namespace(2, "y", settings)], scope, 0.0)
    states = Counter(it.socket.state for it in found.connections)
    assert {it.state: it.count for it in found.states} == states
    assert sum(it.count for it in found.groups) == len(found.connections)
    if not by_process:
        assert len(found.connections) == sum(one.state is not TcpState.LISTEN for one in some)
    for use in found.ports:
        assert 0 <= use.blocked_share <= use.share <= 1
        assert use.time_wait <= use.used <= use.usable
    assert sum(it.count for it in explain(found)) == sum(
        states[state] for state in (TcpState.CLOSE_WAIT, TcpState.FIN_WAIT2, TcpState.TIME_WAIT)
    )
    assert len(warnings(found)) == sum(use.near_exhaustion for use in found.ports)
