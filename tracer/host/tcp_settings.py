"""The kernel settings that control how long closed connections stay and how many can be opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tracer.host.netns import inside

TIME_WAIT_S = 60
"""TCP_TIMEWAIT_LEN (include/net/tcp.h), in seconds. It is a constant of the kernel; no setting changes it."""

_DIRECTORY = "/proc/sys/net/ipv4"
_PORTS = 1 << 16


@dataclass(frozen=True)
class TcpSettings:
    """Settings of one network namespace (Documentation/networking/ip-sysctl.rst). IPv6 uses them too.

    Ephemeral ports are ``first_port`` to ``last_port`` without ``reserved``. With ``tw_reuse`` (0 never, 1 always, 2
    for loopback only) connect may use a port that has been in TIME_WAIT for ``reuse_delay_ms``, if ``timestamps``
    (RFC 7323) are on.
    """

    first_port: int
    last_port: int
    reserved: frozenset[int]
    tw_reuse: int
    timestamps: bool
    fin_timeout_s: int
    reuse_delay_ms: int = 1000


def tcp_settings(netns_path: Optional[str] = None) -> TcpSettings:
    """Read the settings of a namespace (None: this one). Raises NetnsUnreachable, OSError, ValueError."""
    return inside(netns_path, _read)


def port_list(text: str) -> frozenset[int]:
    """Parse a list of ports as in ip_local_reserved_ports: ``8080,9148-9150``. Raises ValueError."""
    ports: set[int] = set()
    for part in text.replace("\n", "").split(","):
        if part.strip():
            first, _, last = part.partition("-")
            ports.update(range(int(first), min(int(last or first), _PORTS - 1) + 1))
    return frozenset(ports)


def _read() -> TcpSettings:
    first, last = map(int, _text("ip_local_port_range").split())
    return TcpSettings(
        first_port=first,
        last_port=last,
        reserved=port_list(_text("ip_local_reserved_ports")),
        tw_reuse=int(_text("tcp_tw_reuse")),
        timestamps=_text("tcp_timestamps").strip() != "0",
        fin_timeout_s=int(_text("tcp_fin_timeout")),
        reuse_delay_ms=_reuse_delay(),
    )


def _reuse_delay() -> int:
    try:
        return int(_text("tcp_tw_reuse_delay"))
    except FileNotFoundError:  # in kernels without the setting the delay is fixed
        return TcpSettings.reuse_delay_ms


def _text(name: str) -> str:
    return Path(_DIRECTORY, name).read_text(encoding="ascii")
