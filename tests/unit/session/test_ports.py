"""Oracle: connections that this test makes, and lists that it makes up."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Optional

import pytest

from tracer.host.namespaces import Namespaces
from tracer.host.netns import NetnsUnreachable
from tracer.host.sockdiag import DiagSocket, dump
from tracer.host.tcp_settings import tcp_settings
from tracer.model.connection import Endpoint
from tracer.model.finding import PortShare
from tracer.model.states import TcpState
from tracer.session import ports as module
from tracer.session.ports import Ports


class Spaces(Namespaces):
    """Two namespaces: this one, and one that has just gone."""

    def all(self, _pids: object = None) -> tuple[int, ...]:
        return (1, 2)

    def path(self, inode: int) -> Optional[str]:
        return None if inode == 1 else "/proc/0/ns/net"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[DiagSocket]:
    """What sock_diag lists in this namespace."""
    sockets: list[DiagSocket] = []

    def each(states: Collection[TcpState], path: Optional[str] = None) -> Iterator[DiagSocket]:
        if path is not None:
            raise NetnsUnreachable("it is gone")
        yield from (one for one in sockets if one.state in states)

    monkeypatch.setattr(module, "each", each)
    monkeypatch.setattr(module, "listeners", lambda path: list(each((TcpState.LISTEN,), path)))
    return sockets


def test_shares(listed: list[DiagSocket]) -> None:
    """What came in by a listening port takes no ephemeral port; a namespace that is gone is left out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        port = server.getsockname()[1]
        real = dump((TcpState.ESTABLISHED, TcpState.LISTEN))
        listed += [one for one in real if port in (one.local.port, one.remote.port)]
        for client in clients:
            client.close()
    usable = tcp_settings(None)
    (share,) = Ports(Spaces(), share=1e6).now()
    assert (share.source, share.destination) == ("127.0.0.1", Endpoint("127.0.0.1", port))
    assert (share.used, share.time_wait) == (3, 0)
    assert share.usable <= usable.last_port - usable.first_port + 1


def test_once_a_minute(listed: list[DiagSocket], monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be tens of thousands of sockets in TIME_WAIT."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    found: list[tuple[PortShare, ...]] = [(PortShare("a", Endpoint("b", 1), 1, 1, 1),), ()]
    ports = Ports(Spaces(), share=1e6)
    monkeypatch.setattr(ports, "_look", lambda: found.pop(0))
    assert ports.now() == ports.now() != ()
    now[0] += 61
    assert ports.now() == ()


def test_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that took long is made the more seldom."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    looks: list[float] = []
    ports = Ports(Spaces(), share=1e-9)

    def look() -> tuple[PortShare, ...]:
        looks.append(now[0])
        return ()

    monkeypatch.setattr(ports, "_look", look)
    ports.now()
    now[0] += 61
    ports.now()
    assert looks == [1000.0]
