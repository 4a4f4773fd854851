"""Ephemeral ports: how many a destination has in use, and whether connect will soon find none."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from tracer.host.inet_diag import DiagSocket, Ends
from tracer.host.tcp_settings import TIME_WAIT_S, TcpSettings
from tracer.model.connection import Endpoint
from tracer.model.states import TcpState

NEAR = 0.8
"""A destination is near exhaustion if this share of its ports, or more, is in use."""


@dataclass(frozen=True)
class PortUse:
    """The ephemeral ports that connections from one local address to one remote endpoint occupy.

    Two connections may not have the same pair of endpoints. So each pair of local address and remote endpoint has all
    ports of the range (connect(2), ip(7)). ``used``: ports in use. ``time_wait``: ports that only TIME_WAIT holds, part
    of ``used``. ``usable``: all ports. ``reusable``: connect may take ports in TIME_WAIT (tcp_tw_reuse).
    """

    netns: int
    source: str
    destination: Endpoint
    used: int
    time_wait: int
    usable: int
    reusable: bool

    @property
    def share(self) -> float:
        """Part of the usable ports that is in use, TIME_WAIT included; 1.0 without usable ports."""
        return self.used / self.usable if self.usable else 1.0

    @property
    def blocked_share(self) -> float:
        """Part of the usable ports that connect cannot have now."""
        blocked = self.used - self.time_wait if self.reusable else self.used
        return blocked / self.usable if self.usable else 1.0

    @property
    def near_exhaustion(self) -> bool:
        """Whether connect to this destination will soon fail with EADDRNOTAVAIL."""
        return self.blocked_share >= NEAR

    @property
    def connects_per_second(self) -> float:
        """How many connections this side can open and close each second for a long time, without reuse."""
        return self.usable / TIME_WAIT_S


def usable_ports(settings: TcpSettings, listening: Iterable[int]) -> frozenset[int]:
    """Return the ports that connect may choose: the range without reserved ports and without listeners' ports."""
    everything = range(settings.first_port, settings.last_port + 1)
    return frozenset(everything) - settings.reserved - frozenset(listening)


def port_use(
    outgoing: Iterable[Union[DiagSocket, Ends]], settings: TcpSettings, usable: frozenset[int]
) -> tuple[PortUse, ...]:
    """Count the ports of one namespace's ``outgoing`` connections per source and destination, the fullest first."""
    held: dict[tuple[str, Endpoint], set[int]] = defaultdict(set)
    waiting: dict[tuple[str, Endpoint], set[int]] = defaultdict(set)
    netns = 0
    for one in outgoing:
        if one.local.port in usable:
            netns = one.netns
            kept = waiting if one.state is TcpState.TIME_WAIT else held
            kept[(one.local.address, one.remote)].add(one.local.port)
    uses = [
        PortUse(
            netns=netns,
            source=key[0],
            destination=key[1],
            used=len(held[key] | waiting[key]),
            time_wait=len(waiting[key] - held[key]),
            usable=len(usable),
            reusable=_reusable(settings, key[0], key[1].address),
        )
        for key in held.keys() | waiting.keys()
    ]
    return tuple(sorted(uses, key=lambda use: (-use.blocked_share, -use.used, use.source, str(use.destination))))


def _reusable(settings: TcpSettings, source: str, destination: str) -> bool:
    """Whether tcp_tw_reuse applies between two addresses, by the kernel's rule (tcp_twsk_unique)."""
    if not settings.timestamps or settings.tw_reuse == 0:
        return False
    return settings.tw_reuse == 1 or any(ipaddress.ip_address(end).is_loopback for end in (source, destination))
