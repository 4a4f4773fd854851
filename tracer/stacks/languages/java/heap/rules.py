"""What libraries' objects say of a connection: the program has it, or a pool or a connector. One rule a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.model.holder import Use
from tracer.stacks.languages.java.heap.objects import Objects
from tracer.stacks.languages.java.heap.states import State, is_busy

LEASED, IDLE, SERVING, WAITING = Use.LEASED, Use.IDLE, Use.SERVING, Use.WAITING


@dataclass(frozen=True)
class Rule:
    """A chain through ``field`` of an object of class ``holder`` or a subclass of it; ``*`` is any field.

    ``use`` follows from that alone, or from a field of the same object: the first of ``names`` that it has. Then it is
    ``busy`` or ``free``.
    """

    library: str
    holder: str
    field: str
    use: Optional[Use] = None
    state: Optional[State] = None
    names: tuple[str, ...] = ()
    busy: Use = LEASED
    free: Use = IDLE


_HTTP3 = ("Commons HttpClient 3", "org.apache.commons.httpclient.")
_HTTP4 = ("Apache HttpClient", "org.apache.http.")
_HTTP5 = ("Apache HttpClient 5", "org.apache.hc.core5.pool.")
_OKHTTP = ("OkHttp", "okhttp3.internal.connection.")
_URL = ("HttpURLConnection", "sun.net.www.")
_JDK = ("the JDK's HttpClient", "jdk.internal.net.http.")
_HIKARI = ("HikariCP", "com.zaxxer.hikari.pool.")
_DBCP = ("Commons DBCP", "org.apache.commons.pool2.impl.")
_TOMCAT = ("Tomcat's JDBC pool", "org.apache.tomcat.jdbc.pool.")
_NETTY = ("Netty", "io.netty.channel.")
_JETTY = ("Jetty's client", "org.eclipse.jetty.")
_JETTY_SERVER = ("Jetty", "org.eclipse.jetty.")
_TOMCAT_SERVER = ("Tomcat", "org.apache.tomcat.util.net.")

_BY_PLACE = (
    (_HTTP3, "MultiThreadedHttpConnectionManager$HostConnectionPool", "freeConnections", IDLE),
    (_HTTP3, "HttpMethodBase", "responseConnection", LEASED),
    (_HTTP4, "pool.AbstractConnPool", "available", IDLE),
    (_HTTP4, "pool.AbstractConnPool", "leased", LEASED),
    (_HTTP5, "StrictConnPool", "available", IDLE),
    (_HTTP5, "LaxConnPool$PerRoutePool", "available", IDLE),
    (_HTTP5, "StrictConnPool", "leased", LEASED),
    (_HTTP5, "LaxConnPool$PerRoutePool", "leased", LEASED),
    (_URL, "http.KeepAliveEntry", "hc", IDLE),
    (_URL, "protocol.http.HttpURLConnection", "http", LEASED),
    (_URL, "protocol.http.HttpURLConnection$HttpInputStream", "in", LEASED),
    (_JDK, "ConnectionPool", "plainPool", IDLE),
    (_JDK, "ConnectionPool", "sslPool", IDLE),
    (_JDK, "Http1Exchange", "connection", LEASED),
    (_JDK, "Http1Response", "connection", LEASED),
    (_TOMCAT, "ConnectionPool", "idle", IDLE),
    (_TOMCAT, "ConnectionPool", "busy", LEASED),
    (_NETTY, "pool.SimpleChannelPool", "deque", IDLE),
    (_JETTY_SERVER, "websocket.common.io.AbstractWebSocketConnection", "_endPoint", SERVING),
)

_BY_STATE = (
    (_HTTP3, "SimpleHttpConnectionManager", "httpConnection", State.FLAG, ("inUse",)),
    (_HTTP4, "impl.conn.BasicHttpClientConnectionManager", "conn", State.FLAG, ("leased",)),
    (_OKHTTP, "RealConnection", "*", State.LIST, ("calls", "transmitters", "allocations")),
    (_HIKARI, "PoolEntry", "connection", State.NUMBER, ("state",)),
    (_DBCP, "DefaultPooledObject", "object", State.ENUM, ("state",)),
    (_NETTY, "nio.AbstractNioChannel", "ch", State.ATTRIBUTE, ("io.netty.channel.pool.SimpleChannelPool",)),
    (_JETTY, "util.Pool$MultiEntry", "pooled", State.COUNT, ("state.value",)),
)

_OF_SERVERS = (
    (_TOMCAT_SERVER, "NioEndpoint$NioSocketWrapper", "socket", State.REQUEST, ("currentProcessor", "interestOps")),
    (_JETTY_SERVER, "server.HttpConnection", "_endPoint", State.PHASE, ("_channel._state._state",)),
)

RULES = (
    *(Rule(library, f"{package}{name}", field, use) for (library, package), name, field, use in _BY_PLACE),
    *(
        Rule(library, f"{package}{name}", field, None, state, names)
        for (library, package), name, field, state, names in _BY_STATE
    ),
    *(
        Rule(library, f"{package}{name}", field, None, state, names, SERVING, WAITING)
        for (library, package), name, field, state, names in _OF_SERVERS
    ),
)


def use_of(rule: Rule, objects: Objects, address: int) -> Optional[Use]:
    """What the rule says of the holder at ``address``. Raises MemoryUnreadable and Nonsense."""
    if rule.use is not None or rule.state is None:
        return rule.use
    busy = is_busy(rule.state, objects, address, rule.names)
    return None if busy is None else rule.busy if busy else rule.free
