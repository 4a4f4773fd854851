"""The rules of libraries. Oracle: the program, which has given all connections back, or has kept them all."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Callable, Optional

import pytest

from tests.advice import servers
from tests.advice.led import Led
from tests.advice.peer import Peer
from tests.advice.programs import COUNT, command
from tests.lineage.programs import accepted_by, library_command, sockets_of
from tests.lineage.test_chains import nothing
from tracer.model.holder import Limits, SocketAt, Use
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

Said = dict[int, tuple[str, Optional[Use]]]

_IDLE_S = 120
_IN_CI = ("HttpClient4", "OkHttp", "UrlConnection")
_HTTP = {
    "HttpClient3": "Commons HttpClient 3",
    "HttpClient4": "Apache HttpClient",
    "HttpClient5": "Apache HttpClient 5",
    "OkHttp": "OkHttp",
    "UrlConnection": "HttpURLConnection",
    "JdkHttpClient": "the JDK's HttpClient",
    "JettyClient": "Jetty's client",
}
_POSTGRES = {"Hikari": "HikariCP", "Dbcp": "Commons DBCP", "TomcatJdbc": "Tomcat's JDBC pool"}
_OWN = ("TomcatJdbc", "NettyPool", "JettyClient")
_SERVERS = {"TomcatServer": "Tomcat", "JettyServer": "Jetty"}
_REQUESTS = {
    "waiting": Use.WAITING,
    "asynchronous": Use.SERVING,
    "working": Use.SERVING,
    "upgraded": Use.SERVING,
}
_UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def uses(program: str, mode: str, port: int, keeper: Keeper) -> list[tuple[str, object]]:
    """For each connection of the program: the library, and what its object says."""
    words = library_command(program) if program in _OWN else command(f"{program}.java")
    with Led(words, mode, port, 600_000) as led:
        led.until("ready")
        led.go()
        led.until("done")
        process = Process.open(led.pid)
        wanted = sockets_of(led.pid, port)
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
    assert held.note == ""
    assert all(lineage.root is not None and lineage.root.name == "Led.kept" for lineage in held.lineages) or (
        program == "UrlConnection" and mode == "idle"  # the JDK's own cache has it
    )
    return [(lineage.library, lineage.use) for lineage in held.lineages]


@pytest.mark.parametrize(("mode", "use"), [("idle", Use.IDLE), ("kept", Use.LEASED)])
@pytest.mark.parametrize(
    "program",
    [pytest.param(one, marks=pytest.mark.ci if one in _IN_CI else ()) for one in (*_HTTP, *_POSTGRES)],
)
def test_leased_is_told_from_idle(program: str, mode: str, use: Use, keeper: Keeper) -> None:
    """Each connection, by the library itself."""
    with ExitStack() as stack:
        if program in _HTTP:
            port = stack.enter_context(Peer(_IDLE_S)).port
        else:
            port = stack.enter_context(servers.postgres(_IDLE_S))
        library = _HTTP.get(program) or _POSTGRES[program]
        assert uses(program, mode, port, keeper) == [(library, use)] * COUNT


@pytest.mark.parametrize(("mode", "use"), [("idle", Use.IDLE), ("kept", Use.LEASED)])
def test_a_channel_of_nettys_pool_is_idle_or_taken(mode: str, use: Use, keeper: Keeper, peer: int) -> None:
    """One that is taken from it is in no set of the pool: an attribute of the channel tells."""
    assert uses("NettyPool", mode, peer, keeper) == [("Netty", use)] * COUNT


def test_a_channel_without_a_pool_has_its_event_loop(keeper: Keeper, peer: int) -> None:
    """Nothing is said of its use; the chain ends in the loop's thread."""
    with Led(library_command("NettyPool"), "plain", peer, 0) as led:
        led.until("ready")
        led.go()
        led.until("done")
        process = Process.open(led.pid)
        held = keeper.holders(process, sockets_of(led.pid, peer), Limits(), nothing)
        process.close()
    assert len(held.lineages) == COUNT
    assert {lineage.use for lineage in held.lineages} == {None}
    assert {lineage.root and lineage.root.name.split("-")[0] for lineage in held.lineages} == {"nioEventLoopGroup"}
    assert all(any(link.holder.endswith("SelectionKeyImpl") for link in one.links) for one in held.lineages)


@pytest.mark.parametrize("program", [pytest.param("TomcatServer", marks=pytest.mark.ci), "JettyServer"])
def test_a_servers_request_is_told_from_a_connection_that_waits(program: str, keeper: Keeper) -> None:
    """Oracle: the program says that it has the request, and the client that it has the whole answer."""
    with ExitStack() as stack:
        led = stack.enter_context(Led(library_command(program), "serve", 0, 0))
        led.until("ready")
        led.go()
        (port,) = (int(line[5:]) for line in led.until("done").splitlines() if line.startswith("port "))
        asked = {}
        for kind in (*_REQUESTS, "waiting"):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            extra = _UPGRADE if kind == "upgraded" else ""
            client.sendall(f"GET /{kind} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
            if kind != "waiting":
                led.until(kind)
            if kind in ("waiting", "upgraded"):
                _whole(client, b"done" if kind == "waiting" else b"\r\n\r\n")
            asked[client.getsockname()[1]] = kind
        process = Process.open(led.pid)
        wanted = accepted_by(led.pid, port)
        expected: Said = {one.fd: (_SERVERS[program], _REQUESTS[asked[one.remote_port]]) for one in wanted}
        assert len(expected) == len(asked)
        assert _settled(lambda: _said(keeper, process, wanted), expected) == expected
        process.close()


def _whole(client: socket.socket, end: bytes) -> None:
    """Read an answer to its end."""
    got = b""
    while not got.endswith(end):
        more = client.recv(4096)
        assert more, f"the server hung up after {got!r}"
        got += more


def _said(keeper: Keeper, process: Process, wanted: list[SocketAt]) -> Said:
    held = keeper.holders(process, wanted, Limits(), nothing)
    return {one.fd: (one.library, one.use) for one in held.lineages}


def _settled(look: Callable[[], Said], expected: Said) -> Said:
    """What is said once the server's threads have put a connection back, which they do after the answer."""
    said = look()
    for _ in range(5):
        if said == expected:
            break
        said = look()
    return said
