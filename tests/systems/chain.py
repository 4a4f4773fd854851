"""The shop from the incident reports: a client asks a Tomcat, and its servlet asks another Tomcat through nginx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.systems.software import nginx, tomcat

# nginx closes connections that were idle for this time (seconds).
KEEPALIVE_S = 2
AFTER_FIN_S = KEEPALIVE_S + 1
FRONT, PROXY, BACK = 8080, 8081, 8082
ORDER_URL = f"http://127.0.0.1:{PROXY}/order"
SHOP_URL = f"http://127.0.0.1:{FRONT}/shop/it"
CURED = "-Devict=true"


@contextmanager
def chain(netns: str, *properties: str) -> Iterator[int]:
    """Run Tomcat, nginx, Tomcat. Yields the pid of the first Tomcat."""
    stock = f"-Dstock.url=http://127.0.0.1:{PROXY}/shop/it"
    front = tomcat(netns, FRONT, "OrderServlet", stock, *properties)
    with nginx(netns, PROXY, KEEPALIVE_S, BACK), tomcat(netns, BACK, "StockServlet"), front as pid:
        yield pid
