"""Reports of hosts that have the same leak: as closetrace makes them, from sockets of each host."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.unit.builders import actor, connection, frame, judged, report, touch
from tracer.diagnose.sites import group
from tracer.model.connection import Endpoint, Holder, Host
from tracer.model.finding import Cost, PortShare, Report
from tracer.model.frame import Stack
from tracer.model.identity import Identity
from tracer.model.states import Op


def leak(host: int, sockets: int = 25) -> Report:
    """Host number ``host``: its own pids, addresses, library version, lines and container."""
    pid = 1000 + host
    library = f"/opt/{host}/libcurl.so.4.{host}.0"
    own = (
        frame("fetch_price", f"/srv/{host}/shop", offset=host, file=f"/build/{host}/price.c", line=10 + host),
        frame("serve", f"/srv/{host}/shop"),
    )
    stack = Stack((frame("curl_easy_perform", library, offset=host), *own), True)
    found = (
        connection(
            serial,
            local=Endpoint(f"10.0.{host % 250}.1", 40_000 + serial),
            remote=Endpoint(f"10.1.{host % 250}.2", 443),
            last=touch(Op.RECV, 1.006, 150, actor=actor(pid), stack=stack),
            opened=None,
            holders=(Holder(pid, 9, "shop"),),
        )
        for serial in range(1, sockets + 1)
    )
    homes = Identity("", f"{host:064x}", f"00000000-0000-0000-0000-{host:012x}")
    sites = group(judged(*found), lambda _pid: "shop", lambda _pid: homes)
    now = time.time()
    return replace(
        report(),
        host=Host(f"host-{host}", "6.12.0", "x86_64"),
        started=now - 3600,
        ended=now,
        sites=sites,
        cost=Cost(3600.0, 30.0 + now % 1000, 3.0 + now % 1000, 60 << 20, 32 << 20, 1.0),
        ports=(PortShare("10.0.0.1", Endpoint("10.0.0.9", 443), 27_000, 26_000, 28_232),),
    )
