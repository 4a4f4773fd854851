"""The filter macros, compiled by a C compiler, against what ipaddress and Python say."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.cc import output
from tracer.kernel.filters import defines
from tracer.model.scope import Network, Scope

NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/23", "127.0.0.1/32", "255.255.255.255/32", "192.168.0.0/17",
        "::/0", "::/1", "::/64", "::1/128", "2001:db8::/32", "fe80::/10", "2001:db8:1:2:3:4:5:6/127", "::fffe:0:0/95",
    )
)  # fmt: skip

ADDRESSES = [
    ipaddress.ip_address(text)
    for text in (
        "0.0.0.0", "10.0.0.0", "10.255.255.255", "11.0.0.0", "10.1.2.255", "10.1.3.255", "10.1.4.0", "127.0.0.1",
        "255.255.255.255", "192.168.127.255", "192.168.128.0", "::", "::1", "::2", "2001:db8::1", "2001:db9::",
        "fe80::1", "febf:ffff::", "fec0::", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:7", "2001:db8:1:2:3:4:5:8",
        "::fffe:1:2", "::fffe:ffff:ffff",
    )
]  # fmt: skip


def evaluate(scope: Scope, *expressions: str) -> list[int]:
    """What C makes of ``expressions`` under the macros of ``scope``."""
    macros = "".join(f"#define {name} {value}\n" for name, value in defines(scope).items())
    lines = "".join(f'printf("%d\\n", !!({expression}));' for expression in expressions)
    values = ", ".join(map(str, (0, 0, 0, *scope.pids)))
    put_in = f"static const unsigned long long parameters[] = {{ {values} }};\n"
    put_in += "#define CT_PARAMETER(word) parameters[(word) & 0xFFFF]\n"
    source = f"#include <stdio.h>\ntypedef unsigned int u32;\n{put_in}{macros}int main(void) {{ {lines} return 0; }}\n"
    return [int(word) for word in output(source).split()]


def words(address: Any) -> str:
    """The arguments that bpf/sock.h gives to CT_REMOTES: an IPv4 address in its v4-mapped form."""
    packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    return ", ".join(f"{word:#x}u" for word in struct.unpack("<4I", packed))


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_network_matches_what_ipaddress_says(network: Network) -> None:
    """Prefixes of every length, at and beside their borders; IPv6 networks hold no IPv4 peer."""
    found = evaluate(Scope(remotes=(network,)), *(f"CT_REMOTES({words(a)})" for a in ADDRESSES))
    assert found == [int(address.version == network.version and address in network) for address in ADDRESSES]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.ip_addresses(), st.integers(0, 128)).map(
            lambda pair: ipaddress.ip_network((pair[0], min(pair[1], pair[0].max_prefixlen)), strict=False)
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.ip_addresses(), min_size=1, max_size=20),
)
def test_several_networks_are_alternatives(networks: list[Network], addresses: list[Any]) -> None:
    """One of several networks is enough, for random networks and for addresses in and out of them."""
    inside = [network[int(network.num_addresses) // 2] for network in networks]
    every = [a for a in (*addresses, *inside) if a.version == 4 or a.ipv4_mapped is None]
    found = evaluate(Scope(remotes=tuple(networks)), "1", *(f"CT_REMOTES({words(a)})" for a in every))[1:]
    assert found == [int(any(a.version == n.version and a in n for n in networks)) for a in every]


def test_ports_and_pids_are_alternatives() -> None:
    """Each value given matches, its neighbours do not; precedence holds inside a larger expression."""
    scope = Scope(pids=(7, 4194304), local_ports=(80, 65535), remote_ports=(443,), netns=(4026531833,))
    checks = {
        "CT_PIDS(7)": 1, "CT_PIDS(8)": 0, "CT_PIDS(4194304)": 1, "!(CT_PIDS(7))": 0, "CT_PIDS(3 + 4)": 1,
        "CT_LOCAL_PORTS(80)": 1, "CT_LOCAL_PORTS(81)": 0, "CT_LOCAL_PORTS(65535)": 1,
        "CT_REMOTE_PORTS(443)": 1, "CT_REMOTE_PORTS(80)": 0,
        "CT_NETNS((u32)4026531833u)": 1, "CT_NETNS((u32)4026531834u)": 0,
    }  # fmt: skip
    assert evaluate(scope, *checks) == list(checks.values())


@pytest.mark.parametrize(
    "name", ["x", "nginx", "exactly15bytes!", "longer-than-fifteen-bytes", "schön", "\udcff\udcfe"]
)
def test_a_command_name_is_compared_as_the_kernel_keeps_it(name: str) -> None:
    """TASK_COMM_LEN is 16: fifteen bytes count and the rest is zero, whatever the encoding."""
    raw = name.encode(errors="surrogateescape")[:15].ljust(16, b"\0")
    text = ", ".join(str(byte) for byte in raw)
    test = f"(({{ union {{ unsigned char c[16]; unsigned long long w[2]; }} u = {{ {{ {text} }} }};"
    assert evaluate(Scope(comm=name), f"{test} u.w[0] == CT_COMM_LOW && u.w[1] == CT_COMM_HIGH; }}))") == [1]


@pytest.mark.parametrize(
    ("scope", "by_task", "macros"),
    [
        (Scope(), False, set()),
        (Scope(local_ports=(1,)), False, {"CT_LOCAL_PORTS(p)"}),
        (Scope(pids=(1,)), True, {"CT_SCOPE_TASKS", "CT_PIDS(t)"}),
        (Scope(pids=(1,), follow_forks=True), True, {"CT_SCOPE_TASKS", "CT_SCOPE_FORKS"}),
        (Scope(comm="x"), True, {"CT_SCOPE_TASKS", "CT_COMM_LOW", "CT_COMM_HIGH"}),
        (Scope(cgroup=(9, 2)), True, {"CT_SCOPE_TASKS", "CT_CGROUP_ID", "CT_CGROUP_LEVEL"}),
    ],
)
def test_only_given_filters_are_compiled(scope: Scope, by_task: bool, macros: set[str]) -> None:
    """What was not asked for costs nothing in the kernel."""
    assert scope.by_task is by_task
    assert set(defines(scope)) == macros
