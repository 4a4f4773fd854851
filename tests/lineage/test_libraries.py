"""The rules of libraries. Oracle: the program, which has given all connections back, or has kept them all."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.advice import servers
from tests.advice.led import Led
from tests.advice.peer import Peer
from tests.advice.programs import COUNT, command
from tests.lineage.programs import pool_command, sockets_of
from tests.lineage.test_chains import nothing
from tracer.model.holder import Limits, Use
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_IDLE_S = 120
_IN_CI = ("HttpClient4", "OkHttp", "UrlConnection")
_HTTP = {
    "HttpClient3": "Commons HttpClient 3",
    "HttpClient4": "Apache HttpClient",
    "HttpClient5": "Apache HttpClient 5",
    "OkHttp": "OkHttp",
    "UrlConnection": "HttpURLConnection",
    "JdkHttpClient": "the JDK's HttpClient",
}
_POSTGRES = {"Hikari": "HikariCP", "Dbcp": "Commons DBCP", "TomcatJdbc": "Tomcat's JDBC pool"}
_POOLS = ("TomcatJdbc", "NettyPool")


def uses(program: str, mode: str, port: int, keeper: Keeper) -> list[tuple[str, object]]:
    """For each connection of the program: the library, and what its object says."""
    words = pool_command(program) if program in _POOLS else command(f"{program}.java")
    with Led(words, mode, port, 600_000) as led:
        led.until("ready")
        led.go()
        led.until("done")
        process = Process.open(led.pid)
        wanted = sockets_of(led.pid, port)
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
    assert held.note == ""
    assert all(lineage.root is not None and lineage.root.name == "Led.kept" for lineage in held.lineages) or (
        program == "UrlConnection" and mode == "idle"  # the JDK's own cache has it
    )
    return [(lineage.library, lineage.use) for lineage in held.lineages]


@pytest.mark.parametrize(("mode", "use"), [("idle", Use.IDLE), ("kept", Use.LEASED)])
@pytest.mark.parametrize(
    "program",
    [pytest.param(one, marks=pytest.mark.ci if one in _IN_CI else ()) for one in (*_HTTP, *_POSTGRES)],
)
def test_leased_is_told_from_idle(program: str, mode: str, use: Use, keeper: Keeper) -> None:
    """Each connection, by the library itself."""
    with ExitStack() as stack:
        if program in _HTTP:
            port = stack.enter_context(Peer(_IDLE_S)).port
        else:
            port = stack.enter_context(servers.postgres(_IDLE_S))
        library = _HTTP.get(program) or _POSTGRES[program]
        assert uses(program, mode, port, keeper) == [(library, use)] * COUNT


@pytest.mark.parametrize(("mode", "expected"), [("idle", ("Netty", Use.IDLE)), ("kept", ("", None))])
def test_a_channel_in_nettys_pool_is_idle(mode: str, expected: tuple[str, object], keeper: Keeper, peer: int) -> None:
    """One that is taken from it is in no set of the pool: only the program's own object tells."""
    assert uses("NettyPool", mode, peer, keeper) == [expected] * COUNT
