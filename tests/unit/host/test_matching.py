"""The filters of sock_diag's sockets and the kernel side's macros say the same."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cc import output
from tracer.host.matching import matches
from tracer.kernel.filters import defines
from tracer.model.connection import Endpoint
from tracer.model.scope import Scope, network_of

SCOPES = [
    Scope(),
    Scope(local_ports=(80, 443)),
    Scope(remote_ports=(5432,), netns=(1, 2)),
    Scope(remotes=(network_of("10.0.0.0/8"), network_of("2001:db8::/32"))),
    Scope(remotes=(network_of("::/0"),)),
    Scope(remotes=(network_of("0.0.0.0/0"),)),
    Scope(remotes=(network_of("::ffff:10.1.0.0/112"),), local_ports=(80,)),
]
SOCKETS = [
    (netns, Endpoint("127.0.0.1", local), Endpoint(peer, remote))
    for netns in (1, 3)
    for local in (80, 8080)
    for remote in (5432, 1)
    for peer in ("10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1", "::1")
]


def by_macros(scope: Scope) -> list[int]:
    """What bpf/sock.h makes of each socket."""
    macros = "".join(f"#define {name} {value}\n" for name, value in defines(scope).items())
    tests = []
    for netns, local, remote in SOCKETS:
        address = ipaddress.ip_address(remote.address)
        packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
        words = ", ".join(f"{word:#x}u" for word in struct.unpack("<4I", packed))
        ports = f"CT_LOCAL_PORTS({local.port}), CT_REMOTE_PORTS({remote.port})"
        tests.append(f"T({ports}, CT_NETNS({netns}), CT_REMOTES({words}));")
    fallbacks = "".join(
        f"#ifndef {name.partition('(')[0]}\n#define {name} 1\n#endif\n"
        for name in ("CT_LOCAL_PORTS(p)", "CT_REMOTE_PORTS(p)", "CT_NETNS(n)", "CT_REMOTES(a, b, c, d)")
    )
    body = '#define T(a, b, c, d) printf("%d\\n", (a) && (b) && (c) && (d))\nint main(void) { ' + "\n".join(tests)
    return [int(word) for word in output(f"#include <stdio.h>\n{macros}{fallbacks}{body} return 0; }}").split()]


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: ",".join(defines(scope)) or "everything")
def test_both_sides_agree(scope: Scope) -> None:
    """A socket found by sock_diag is in scope exactly if the recorder would have taken it."""
    assert [int(matches(scope, *one)) for one in SOCKETS] == by_macros(scope)


@given(st.ip_addresses(), st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_no_filter_matches_everything(address: object, local: int, remote: int, netns: int) -> None:
    """The whole host is the whole host."""
    assert matches(Scope(), netns, Endpoint(str(address), local), Endpoint(str(address), remote))


def test_zones_of_link_local_addresses_do_not_matter() -> None:
    """fe80::1%eth0 is in fe80::/10."""
    assert matches(Scope(remotes=(network_of("fe80::/10"),)), 1, Endpoint("::", 1), Endpoint("fe80::1%eth0", 2))
