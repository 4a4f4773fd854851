"""What to watch, as the user gave it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Union

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 peers of IPv6 sockets (RFC 4291, 2.5.5.2). They count as what they are, IPv4."""


def network_of(text: str) -> Network:
    """An address or network as people write it; a v4-mapped one is the IPv4 network that it stands for. ValueError."""
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(MAPPED):
        return ipaddress.IPv4Network((network.network_address.packed[12:], network.prefixlen - 96))
    return network


@dataclass(frozen=True)
class Scope:
    """The filters; empty means everything. All kinds must match; several values of one kind are alternatives.

    ``pids`` are thread groups; ``netns`` inode numbers of network namespaces; ``cgroup`` id and level of a cgroup v2
    directory, ``cgroup_path`` the same from the hierarchy's root; ``follow_forks`` brings in the children of ``pids``,
    or of the programs that are called ``comm``.
    """

    pids: tuple[int, ...] = ()
    comm: str = ""
    local_ports: tuple[int, ...] = ()
    remote_ports: tuple[int, ...] = ()
    remotes: tuple[Network, ...] = ()
    netns: tuple[int, ...] = ()
    cgroup: tuple[int, int] = (0, 0)
    cgroup_path: str = ""
    follow_forks: bool = False

    @property
    def by_task(self) -> bool:
        """Whether scope depends on the calling task, so that softirq events must be matched by listener or record."""
        return bool(self.pids or self.comm or self.cgroup[0])

    @property
    def follows_pids(self) -> bool:
        """Whether processes join ``pids`` while the trace runs."""
        return self.follow_forks and bool(self.pids)

    @property
    def comm_bytes(self) -> bytes:
        """``comm`` as the kernel keeps it: any bytes, at most 15 (TASK_COMM_LEN)."""
        return self.comm.encode(errors="surrogateescape")[:15]
