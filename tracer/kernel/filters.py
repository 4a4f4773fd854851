"""Turns a scope into the C macros by which the kernel side filters."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

from tracer.kernel.objectcode import parameter
from tracer.model.scope import MAPPED, Network, Scope


def defines(scope: Scope) -> dict[str, str]:
    """The filters as macros. The compiler leaves out filters that were not given.

    Pids differ from run to run. So they are not in the text but are parameters 3 and up of the object code.
    """
    macros = {}
    if scope.by_task:
        macros["CT_SCOPE_TASKS"] = "1"
    if scope.follows_pids:
        macros["CT_SCOPE_FORKS"] = "1"
    elif scope.pids:
        macros["CT_PIDS(t)"] = _any(f"(t) == {parameter(3 + n)}" for n in range(len(scope.pids)))
    if scope.comm:
        low, high = struct.unpack("<QQ", scope.comm_bytes.ljust(16, b"\0"))
        macros["CT_COMM_LOW"], macros["CT_COMM_HIGH"] = f"{low:#x}ULL", f"{high:#x}ULL"
        if scope.follow_forks:
            macros["CT_PROGRAMS_CHILDREN"] = "1"
    if scope.cgroup[0]:
        macros["CT_CGROUP_ID"], macros["CT_CGROUP_LEVEL"] = f"{scope.cgroup[0]:#x}ULL", str(scope.cgroup[1])
    for name, ports in (("CT_LOCAL_PORTS(p)", scope.local_ports), ("CT_REMOTE_PORTS(p)", scope.remote_ports)):
        if ports:
            macros[name] = _any(f"(p) == {port}" for port in ports)
    if scope.netns:
        macros["CT_NETNS(n)"] = _any(f"(n) == {number}u" for number in scope.netns)
    if scope.remotes:
        macros["CT_REMOTES(a, b, c, d)"] = _any(_network_test(network) for network in scope.remotes)
    return macros


def _any(tests: Iterable[str]) -> str:
    return " || ".join(f"({test})" for test in tests)


def _network_test(network: Network) -> str:
    """A C test of an address in four network-order words. An IPv4 network is tested in its v4-mapped form."""
    address, mask = network.network_address.packed, network.netmask.packed
    if network.version == 4:
        address, mask = b"\0" * 10 + b"\xff\xff" + address, b"\xff" * 12 + mask
    words = zip("abcd", struct.unpack("<4I", address), struct.unpack("<4I", mask))
    tests = [f"((({name}) & {m:#x}u) == {a:#x}u)" for name, a, m in words if m]
    if isinstance(network, ipaddress.IPv6Network) and network.supernet_of(MAPPED):
        tests.append(f"!({_network_test(ipaddress.IPv4Network('0.0.0.0/0'))})")
    return " && ".join(tests)
