"""The incidents happen without closetrace. ss shows them, and shows that the cures work."""

from __future__ import annotations

import time

import pytest

from tests.live.oracles import ss_close_wait
from tests.systems.chain import AFTER_FIN_S, CURED, KEEPALIVE_S, ORDER_URL, PROXY, SHOP_URL, chain
from tests.systems.software import HTTPCLIENT_3, fetch, nginx, program


@pytest.mark.parametrize(("cure", "left"), [("none", 10), ("evictor", 0)])
def test_idle_pool_behind_nginx(netns: str, cure: str, left: int) -> None:
    """A pool closes idle connections once, too early: ten sockets in CLOSE_WAIT. If it does so regularly: none."""
    with nginx(netns, PROXY, KEEPALIVE_S), program(netns, "OrderClient", ORDER_URL, "10", cure) as orders:
        orders.step()
        time.sleep(AFTER_FIN_S)
        assert len(ss_close_wait({orders.pid()}, netns)) == left


@pytest.mark.parametrize(("properties", "left"), [((), 8), ((CURED,), 0)])
def test_tomcat_nginx_tomcat(netns: str, properties: tuple[str, ...], left: int) -> None:
    """Under load the first Tomcat's pool grows. Some time after the last request, all of it is in CLOSE_WAIT."""
    with chain(netns, *properties) as pid:
        fetch(netns, SHOP_URL, 40, 8)
        time.sleep(AFTER_FIN_S)
        seen = [remote for _, remote in ss_close_wait({pid}, netns) if remote.endswith(f":{PROXY}")]
    assert len(seen) == left


@pytest.mark.parametrize("manager", ["simple", "pooled"])
@pytest.mark.parametrize(("cure", "left"), [("none", 5), ("header", 0), ("close", 0), ("idle", 0)])
def test_load_test(netns: str, manager: str, cure: str, left: int) -> None:
    """Five requests whose connections are released but not closed leave five sockets. Each of the three cures: none."""
    load_test = (netns, "LoadTest", ORDER_URL, "5", manager, cure)
    with nginx(netns, PROXY, KEEPALIVE_S), program(*load_test, jars=HTTPCLIENT_3) as load:
        load.step()
        time.sleep(AFTER_FIN_S)
        assert len(ss_close_wait({load.pid()}, netns)) == left
