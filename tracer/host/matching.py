"""The filters of a scope once more, as the kernel side applies them: for what sock_diag and /proc list."""

from __future__ import annotations

import ipaddress

from tracer.model.connection import Endpoint
from tracer.model.scope import Scope


def matches(scope: Scope, netns: int, local: Endpoint, remote: Endpoint) -> bool:
    """Whether ports, remote address and network namespace are in scope (v4-mapped addresses are given as IPv4)."""
    if scope.local_ports and local.port not in scope.local_ports:
        return False
    if scope.remote_ports and remote.port not in scope.remote_ports:
        return False
    if scope.netns and netns not in scope.netns:
        return False
    if not scope.remotes:
        return True
    address = ipaddress.ip_address(remote.address.split("%")[0])
    return any(address.version == network.version and address in network for network in scope.remotes)
