"""What to watch, as the user gave it, and as the C macros that the kernel side filters by."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from tracer.kernel.objectcode import parameter

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 peers of IPv6 sockets (RFC 4291, 2.5.5.2). They count as what they are, IPv4."""


def network_of(text: str) -> Network:
    """An address or network as people write it; a v4-mapped one is the IPv4 network that it stands for. ValueError."""
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((network.network_address.packed[12:], network.prefixlen - 96))
    return network


@dataclass(frozen=True)
class Scope:
    """The filters; empty means everything. All kinds must match; several values of one kind are alternatives.

    ``pids`` are thread groups; ``netns`` inode numbers of network namespaces; ``cgroup`` id and level of a cgroup v2
    directory, ``cgroup_path`` the same from the hierarchy's root; ``follow_forks`` brings in the children of ``pids``.
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
    def comm_bytes(self) -> bytes:
        """``comm`` as the kernel keeps it: any bytes, at most 15 (TASK_COMM_LEN)."""
        return self.comm.encode(errors="surrogateescape")[:15]

    def defines(self) -> dict[str, str]:
        """The filters as macros, so that the compiler leaves out those that were not given.

        The pids are parameters 1 and up of the object code: the one filter that differs in every incident.
        """
        macros = {}
        if self.by_task:
            macros["CT_SCOPE_TASKS"] = "1"
        if self.follow_forks:
            macros["CT_SCOPE_FORKS"] = "1"
        elif self.pids:
            macros["CT_PIDS(t)"] = _any(f"(t) == {parameter(1 + n)}" for n in range(len(self.pids)))
        if self.comm:
            low, high = struct.unpack("<QQ", self.comm_bytes.ljust(16, b"\0"))
            macros["CT_COMM_LOW"], macros["CT_COMM_HIGH"] = f"{low:#x}ULL", f"{high:#x}ULL"
        if self.cgroup[0]:
            macros["CT_CGROUP_ID"], macros["CT_CGROUP_LEVEL"] = f"{self.cgroup[0]:#x}ULL", str(self.cgroup[1])
        for name, ports in (("CT_LOCAL_PORTS(p)", self.local_ports), ("CT_REMOTE_PORTS(p)", self.remote_ports)):
            if ports:
                macros[name] = _any(f"(p) == {port}" for port in ports)
        if self.netns:
            macros["CT_NETNS(n)"] = _any(f"(n) == {number}u" for number in self.netns)
        if self.remotes:
            macros["CT_REMOTES(a, b, c, d)"] = _any(_network_test(network) for network in self.remotes)
        return macros


def _any(tests: Iterable[str]) -> str:
    return " || ".join(f"({test})" for test in tests)


def _network_test(network: Network) -> str:
    """A test of four network-order words; an IPv4 network is tested in its v4-mapped form."""
    address, mask = network.network_address.packed, network.netmask.packed
    if network.version == 4:
        address, mask = b"\0" * 10 + b"\xff\xff" + address, b"\xff" * 12 + mask
    words = zip("abcd", struct.unpack("<4I", address), struct.unpack("<4I", mask))
    tests = [f"((({name}) & {m:#x}u) == {a:#x}u)" for name, a, m in words if m]
    if isinstance(network, ipaddress.IPv6Network) and network.supernet_of(_MAPPED):
        tests.append(f"!({_network_test(ipaddress.IPv4Network('0.0.0.0/0'))})")
    return " && ".join(tests)
