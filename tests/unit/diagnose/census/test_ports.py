"""Ephemeral ports: what is usable, what is used, and when the kernel would give a port again."""

from __future__ import annotations

import pytest

from tracer.diagnose.census.ports import port_use, usable_ports
from tracer.host.inet_diag import DiagSocket
from tracer.host.tcp_settings import TcpSettings
from tracer.model.connection import Endpoint
from tracer.model.states import TcpState


def settings(reuse: int = 0, timestamps: bool = True) -> TcpSettings:
    return TcpSettings(100, 109, frozenset({101, 500}), reuse, timestamps, 60)


def sock(port: int, state: TcpState, remote: str = "10.0.0.2", local: str = "10.0.0.1") -> DiagSocket:
    return DiagSocket(1, state, Endpoint(local, port), Endpoint(remote, 443), 0, 0, 0, 0)


def test_usable() -> None:
    """Reserved and listening ports inside the range are taken off; those outside it do not matter."""
    assert usable_ports(settings(), [102, 80]) == {100, 103, 104, 105, 106, 107, 108, 109}


def test_one_range_for_each_destination() -> None:
    """The same port counts once for each remote endpoint and each local address, and ports outside the range never."""
    usable = usable_ports(settings(), [])
    uses = port_use(
        [
            sock(103, TcpState.ESTABLISHED),
            sock(103, TcpState.TIME_WAIT, remote="10.0.0.3"),
            sock(103, TcpState.TIME_WAIT, local="10.0.0.9"),
            sock(104, TcpState.TIME_WAIT),
            sock(99, TcpState.ESTABLISHED),
            sock(101, TcpState.ESTABLISHED),
        ],
        settings(),
        usable,
    )
    assert [(use.source, use.destination.address, use.used, use.time_wait, use.usable) for use in uses] == [
        ("10.0.0.1", "10.0.0.2", 2, 1, 9),
        ("10.0.0.1", "10.0.0.3", 1, 1, 9),
        ("10.0.0.9", "10.0.0.2", 1, 1, 9),
    ]


@pytest.mark.parametrize(
    ("reuse", "timestamps", "remote", "reusable"),
    [
        (0, True, "127.0.0.1", False),
        (1, True, "10.0.0.2", True),
        (1, False, "10.0.0.2", False),
        (2, True, "10.0.0.2", False),
        (2, True, "127.3.4.5", True),
        (2, True, "::1", True),
        (2, False, "127.0.0.1", False),
    ],
)
def test_reuse(reuse: int, timestamps: bool, remote: str, reusable: bool) -> None:
    """tcp_tw_reuse applies as in tcp_twsk_unique; a shortage of ports in TIME_WAIT alone is one only without it."""
    waiting = [sock(port, TcpState.TIME_WAIT, remote) for port in range(102, 110)]
    (use,) = port_use(waiting, settings(reuse, timestamps), usable_ports(settings(), []))
    assert (use.used, use.time_wait, use.reusable) == (8, 8, reusable)
    assert use.near_exhaustion is not reusable
    assert use.share == 8 / 9


def test_no_port_at_all() -> None:
    """A range that is wholly reserved is not divided by."""
    assert port_use([sock(100, TcpState.ESTABLISHED)], settings(), frozenset()) == ()
