"""sock_diag: frozen replies, hostile replies, and the sockets of this machine as ss and the socket calls tell them."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.host.accept_queues import first_holder, listening_at
from tracer.host.inet_diag import DiagSocket, SockDiagError, parse, request
from tracer.host.namespaces import Namespaces
from tracer.host.netns import NetnsUnreachable, inside
from tracer.host.sockdiag import dump, each, listeners
from tracer.model.connection import Endpoint, Holder, KernelCounters
from tracer.model.states import TcpState

# One reply of Linux 6.18 each, as received: strace of the conversation is the same bytes.
CLOSE_WAIT_V4 = bytes.fromhex(
    "9801000014000200070000004925000002080000e5beb6e57f0000010000000000000000000000007f000001000000000000"
    "0000000000000000000011570000000000000000000097000000000000000000000087cd0000050008000100000008000f00"
    "000000000c001500010000000000000006001600520000001c010200080000000007aa01e01c0300409c0000008000001802"
    "00000000000000000000000000000000000000000000c800000000000000c8000000c8000000ffff0000d7ff00001a000000"
    "0e000000ffffff7f0b000000cbff00000300000000000000d7ff000000000000c4f3268307000000ffffffffffffffff7900"
    "00000000000097000000000000000500000004000000000000000c0000000100000001000000aaaac2a20000000000000000"
    "0000000000000000000000000000000000000000020000000000000078000000000000000000000000000000000000000000"
    "0000000000000000010000000100000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000"
)
TIME_WAIT_MAPPED = bytes.fromhex(
    "600000001400020007000000492500000a060300d764b7b500000000000000000000ffff7f00000100000000000000000000"
    "ffff7f0000010000000012570000000000006ce800000000000000000000000000000000000008000f0000000000"
)
DONE = bytes.fromhex("1400000003000200070000000000000000000000")


def test_frozen_close_wait() -> None:
    """A CLOSE_WAIT reply gives the values that ss printed for the same socket."""
    (found,), over = parse(CLOSE_WAIT_V4, 7, netns=11)
    assert not over
    assert found == DiagSocket(
        netns=11,
        state=TcpState.CLOSE_WAIT,
        local=Endpoint(address="127.0.0.1", port=58814),
        remote=Endpoint(address="127.0.0.1", port=46821),
        inode=52615,
        cookie=22289,
        rx_queue=151,
        tx_queue=0,
        timer=0,
        timer_ms=None,
        last_data_sent_ms=200,
        last_data_recv_ms=200,
        last_ack_recv_ms=200,
        bytes_received=151,
        bytes_acked=121,
        unsent=0,
        unacked=0,
        peer_window=65536,
        backoff=0,
        rto_us=204_000,
        bytes_sent=120,
        bytes_retrans=0,
    )
    assert not found.awaits_accept


def test_older_kernels_tell_less() -> None:
    """A struct tcp_info that ends before a field leaves it unknown: each kernel's ends where its own did."""
    attribute = CLOSE_WAIT_V4.index(bytes.fromhex("1c01020008"))  # INET_DIAG_INFO, 280 bytes
    for length, known in ((104, set()), (144, {"bytes_acked"}), (208, {"bytes_acked", "unsent", "bytes_sent"})):
        body = CLOSE_WAIT_V4[:attribute] + (length + 4).to_bytes(2, "little") + CLOSE_WAIT_V4[attribute + 2 :]
        cut = body[: attribute + 4 + length]
        (found,), _ = parse(len(cut).to_bytes(4, "little") + cut[4:], 7)
        assert found.last_data_recv_ms == 200
        told = {
            name for name in ("bytes_acked", "unsent", "bytes_sent", "peer_window") if getattr(found, name) is not None
        }
        assert told == known


def test_counters_are_on_the_clock() -> None:
    """Ages of a dump become times of CLOCK_MONOTONIC, microseconds nanoseconds; what is unknown stays so."""
    (found,), _ = parse(CLOSE_WAIT_V4, 7)
    counters = found.counters(5_000_000_000)
    assert counters.last_data_in_ns == counters.last_data_out_ns == counters.last_ack_in_ns == 4_800_000_000
    assert (counters.bytes_received, counters.unsent, counters.backed_off_ns) == (151, 0, None)
    (bare,), _ = parse(TIME_WAIT_MAPPED, 7)
    assert bare.counters(5) == KernelCounters()


@pytest.mark.parametrize(
    ("changes", "opened"),
    [
        ({}, True),  # 120 bytes sent, 121 acknowledged: the SYN's, too
        ({"bytes_acked": 120}, False),
        ({"bytes_acked": 100, "tx_queue": 20}, False),  # in flight
        ({"bytes_acked": 101, "tx_queue": 50, "unsent": 30}, True),
        ({"bytes_sent": 200, "bytes_retrans": 80}, True),
        ({"bytes_acked": 140}, None),
        ({"bytes_sent": None}, None),
        ({"state": TcpState.FIN_WAIT2}, None),  # our own FIN counts, too
    ],
)
def test_who_sent_the_syn(changes: dict[str, Any], opened: Optional[bool]) -> None:
    """The SYN of who opened the connection is the one sequence number that is acknowledged without having been sent."""
    (found,), _ = parse(CLOSE_WAIT_V4, 7)
    assert replace(found, **changes).counters(0).opened_here is opened


@pytest.mark.parametrize(
    ("timer", "backoff", "backed_off_ms"),
    [(0, 3, None), (4, 0, 0), (4, 3, 7 * 204), (1, 3, 7 * 25.5), (4, 15, 255 * 204)],
)
def test_how_far_the_timer_has_backed_off(timer: int, backoff: int, backed_off_ms: Optional[float]) -> None:
    """A probe waits for the time as it is, doubled; a retransmission's time has been doubled already."""
    (found,), _ = parse(CLOSE_WAIT_V4, 7)
    told = replace(found, timer=timer, backoff=backoff).counters(0).backed_off_ns
    assert told == (None if backed_off_ms is None else round(backed_off_ms * 1e6))


def test_frozen_time_wait_mapped() -> None:
    """A v4-mapped TIME_WAIT reply is shown as IPv4, with its time left and without tcp_info."""
    (found,), _ = parse(TIME_WAIT_MAPPED, 7)
    assert found == DiagSocket(
        netns=0,
        state=TcpState.TIME_WAIT,
        local=Endpoint(address="127.0.0.1", port=55140),
        remote=Endpoint(address="127.0.0.1", port=47029),
        inode=0,
        cookie=22290,
        rx_queue=0,
        tx_queue=0,
        timer=3,
        timer_ms=59500,
        last_data_sent_ms=None,
        last_data_recv_ms=None,
        last_ack_recv_ms=None,
        bytes_received=None,
        bytes_acked=None,
    )


def test_done_ends_the_dump() -> None:
    """NLMSG_DONE ends the dump, also behind sockets in the same datagram."""
    assert parse(DONE, 7) == ([], True)
    found, over = parse(CLOSE_WAIT_V4 + DONE, 7)
    assert len(found) == 1
    assert over


def test_other_conversations_are_passed_over() -> None:
    """A late answer to an earlier request is not taken for an answer to this one."""
    assert parse(CLOSE_WAIT_V4 + DONE, 8) == ([], False)


def test_kernel_error_is_told() -> None:
    """An error message of the kernel becomes one sentence with its text."""
    message = bytes.fromhex("240000000200000007000000 00000000 feffffff") + bytes(16)
    with pytest.raises(SockDiagError, match="No such file or directory"):
        parse(message, 7)


@given(st.binary(max_size=400))
def test_hostile_bytes(data: bytes) -> None:
    """Any bytes at all give sockets or the typed error."""
    _parse_safely(data)


@given(st.integers(0, len(CLOSE_WAIT_V4)), st.integers(0, len(CLOSE_WAIT_V4) - 1), st.binary(max_size=8))
def test_damaged_reply(cut: int, at: int, junk: bytes) -> None:
    """A true reply, cut short or overwritten anywhere, gives sockets or the typed error."""
    _parse_safely(CLOSE_WAIT_V4[:cut])
    _parse_safely(CLOSE_WAIT_V4[:at] + junk + CLOSE_WAIT_V4[at + len(junk) :])


def _parse_safely(data: bytes) -> None:
    try:
        found, over = parse(data, 7)
    except SockDiagError:
        return
    assert len(found) <= len(data) // 16
    assert isinstance(over, bool)


def test_request_selects_states_in_the_kernel() -> None:
    """The request carries one bit a state (the kernel's TCPF_ masks)."""
    message = request(socket.AF_INET, (TcpState.CLOSE_WAIT, TcpState.TIME_WAIT), 3)
    assert int.from_bytes(message[20:24], "little") == 1 << 8 | 1 << 6
    assert len(message) == 72


@contextmanager
def connection(
    family: int = socket.AF_INET, address: str = "127.0.0.1"
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect a pair over loopback: client, server side."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind((address if family == socket.AF_INET else "::", 0))
        listener.listen()
        client = stack.enter_context(socket.socket(family))
        client.connect((address, listener.getsockname()[1]))
        yield client, stack.enter_context(listener.accept()[0])


def find(found: list[DiagSocket], port: int) -> DiagSocket:
    (match,) = (one for one in found if one.local.port == port)
    return match


def test_values_of_a_live_close_wait() -> None:
    """A real CLOSE_WAIT socket has the inode and addresses of its descriptor, byte counts and idle times."""
    with connection() as (client, server):
        client.sendall(b"x" * 120)
        server.recv(1000)
        server.sendall(b"y" * 150)
        server.close()
        time.sleep(0.3)
        found = find(dump((TcpState.CLOSE_WAIT,)), client.getsockname()[1])
        assert found.state is TcpState.CLOSE_WAIT
        assert (found.remote.address, found.remote.port) == client.getpeername()
        assert found.inode == os.fstat(client.fileno()).st_ino
        assert found.netns == os.stat("/proc/self/ns/net").st_ino
        assert found.cookie == int.from_bytes(client.getsockopt(socket.SOL_SOCKET, 57, 8), "little")  # SO_COOKIE
        assert found.rx_queue == 151  # the data and the FIN
        assert found.bytes_received == 151  # likewise
        assert found.bytes_acked == 121  # the data and the SYN
        assert found.last_data_recv_ms is not None
        assert 250 <= found.last_data_recv_ms < 5000
        client.recv(1000)
        assert client.recv(1000) == b""
        assert find(dump((TcpState.CLOSE_WAIT,)), client.getsockname()[1]).rx_queue == 0


def test_one_by_one() -> None:
    """The ends of the same sockets as in the list."""
    with connection() as (client, server):
        ports = {client.getsockname()[1], server.getsockname()[1]}
        several = each((TcpState.ESTABLISHED,))
        assert iter(several) is several
        found = [one for one in several if {one.local.port, one.remote.port} == ports]
        listed = [one for one in dump((TcpState.ESTABLISHED,)) if {one.local.port, one.remote.port} == ports]
    assert [tuple(one) for one in found] == [(one.netns, one.state, one.local, one.remote) for one in listed]
    with pytest.raises(NetnsUnreachable):
        next(each((TcpState.ESTABLISHED,), "/proc/0/ns/net"))


def test_v4_mapped_and_ipv6() -> None:
    """An AF_INET6 socket that talks IPv4 is shown with IPv4 addresses, a true IPv6 one with its own."""
    with connection(socket.AF_INET6, "::ffff:127.0.0.1") as (client, _):
        found = find(dump((TcpState.ESTABLISHED,)), client.getsockname()[1])
        assert (found.local.address, found.remote.address) == ("127.0.0.1", "127.0.0.1")
    with connection(socket.AF_INET6, "::1") as (client, _):
        found = find(dump((TcpState.ESTABLISHED,)), client.getsockname()[1])
        assert str(found.local) == f"[::1]:{client.getsockname()[1]}"


def test_accept_queue() -> None:
    """Connections that nobody accepted are recognized, and counted by their listener; accepted ones are not."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=7))
        port = listener.getsockname()[1]
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
        stack.enter_context(listener.accept()[0])
        clients[1].close()
        served = [one for one in dump((TcpState.ESTABLISHED, TcpState.CLOSE_WAIT)) if one.local.port == port]
        waiting = {(one.remote.port, one.state) for one in served if one.awaits_accept}
        assert len(served) == 3
        assert {state for _, state in waiting} == {TcpState.ESTABLISHED, TcpState.CLOSE_WAIT}
        assert clients[0].getsockname()[1] not in {number for number, _ in waiting}
        queue = find(listeners(), port)
        assert (queue.rx_queue, queue.tx_queue) == (2, 7)


def test_listening_at() -> None:
    """The listener on the address, else that on all addresses of the port; none where nobody listens."""
    with ExitStack() as stack:
        every = stack.enter_context(socket.create_server(("", 0)))
        port = every.getsockname()[1]
        netns = os.stat("/proc/self/ns/net").st_ino
        here, there, nowhere = ((netns, Endpoint(f"127.0.0.{n}", p)) for n, p in ((1, port), (2, port), (1, 1)))
        found = listening_at([here, there, nowhere], Namespaces())
        inode = os.fstat(every.fileno()).st_ino
        assert {place: [one.inode for one in several] for place, several in found.items()} == {
            here: [inode],
            there: [inode],
        }
        assert listening_at([], Namespaces()) == {}
        assert listening_at([(1, here[1])], Namespaces()) == {}  # no such namespace


def test_first_holder() -> None:
    """By pid, then by descriptor; nobody of nobody."""
    several = [Holder(20, 3, "b"), Holder(3, 9, "a"), Holder(3, 4, "a")]
    assert first_holder(several) == Holder(3, 4, "a")
    assert first_holder([]) is None


def ss(port: int) -> set[tuple[object, ...]]:
    """What ss says of a port: state, queues, addresses, inode, cookie."""
    rows: set[tuple[object, ...]] = set()
    command = ["ss", "-Htane", f"( sport = {port} or dport = {port} )"]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        state, rx, tx, local, remote = line.split()[:5]
        inode, cookie = re.search(r"ino:(\d+)", line), re.search(r"sk:([0-9a-f]+)", line)
        assert cookie
        rows.add((state, int(rx), int(tx), local, remote, int(inode[1]) if inode else 0, int(cookie[1], 16)))
    return rows


def test_agrees_with_ss() -> None:
    """The sockets of a port are those that ``ss -tane`` lists: state, queues, addresses, inode, cookie."""
    with connection() as (client, server):
        port = server.getsockname()[1]
        client.sendall(b"abc")
        server.shutdown(socket.SHUT_WR)
        until = time.monotonic() + 5
        while any(row[0] == "FIN-WAIT-1" for row in ss(port)) and time.monotonic() < until:
            time.sleep(0.01)  # the ACK of a FIN may be delayed (RFC 9293, 3.8.6.3)
        theirs = ss(port)
        ours = {
            (SS_NAMES[one.state], one.rx_queue, one.tx_queue, str(one.local), str(one.remote), one.inode, one.cookie)
            for one in dump(tuple(TcpState))
            if port in (one.local.port, one.remote.port) and one.state is not TcpState.LISTEN
        }
        assert len(ours) == 2
        assert ours == {row for row in theirs if row[0] != "LISTEN"}


SS_NAMES = {
    TcpState.ESTABLISHED: "ESTAB",
    TcpState.CLOSE_WAIT: "CLOSE-WAIT",
    TcpState.FIN_WAIT2: "FIN-WAIT-2",
    TcpState.TIME_WAIT: "TIME-WAIT",
}


@pytest.fixture
def netns() -> Iterator[str]:
    """Make a network namespace with loopback up; its path."""
    name = f"ct-diag-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.root
def test_other_namespace(netns: str) -> None:
    """A listener of another namespace is found there and only there, and this process stays in its own."""
    before = os.stat("/proc/thread-self/ns/net").st_ino
    with inside(netns, lambda: socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        assert [one.local for one in listeners(netns)] == [Endpoint("127.0.0.1", port)]
        assert find(listeners(netns), port).netns == os.stat(netns).st_ino
        assert os.fstat(listener.fileno()).st_ino not in {one.inode for one in listeners()}
    assert os.stat("/proc/thread-self/ns/net").st_ino == before


@pytest.mark.parametrize("path", ["/proc/1/ns/mnt", "/etc/passwd", "/nonexistent", "/proc/self/ns/net\0x"])
def test_unreachable_namespace(path: str) -> None:
    """What is no network namespace gives the typed error with the path in it."""
    with pytest.raises(NetnsUnreachable, match=re.escape(path)):
        dump((TcpState.CLOSE_WAIT,), path)


def test_many_sockets_are_quick() -> None:
    """4000 sockets in one state take well under a second."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # by sudo it is 1024
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        port = listener.getsockname()[1]
        for _ in range(2000):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            stack.enter_context(listener.accept()[0])
        began = time.process_time()
        found = [one for one in dump((TcpState.ESTABLISHED,)) if port in (one.local.port, one.remote.port)]
        spent = time.process_time() - began
    assert len({one.cookie for one in found}) == 4000
    assert spent < 1.0
