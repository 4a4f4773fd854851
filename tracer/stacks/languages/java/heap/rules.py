"""What libraries' objects say of a connection: leased to the program, or idle in a pool. One rule a line."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Optional

from tracer.model.holder import Use
from tracer.stacks.languages.java.heap.objects import Objects

LEASED, IDLE = Use.LEASED, Use.IDLE


class State(enum.Enum):
    """What kind of field tells: 0 (an empty list, the first constant of an enum) is idle, 1 is leased."""

    NUMBER = "number"
    FLAG = "flag"
    ENUM = "enum"
    LIST = "list"


@dataclass(frozen=True)
class Rule:
    """A chain through ``field`` of an object of class ``holder`` or a subclass of it; ``*`` is any field.

    ``use`` follows from that alone, or from a field of the same object: the first of ``names`` that it has.
    """

    library: str
    holder: str
    field: str
    use: Optional[Use] = None
    state: Optional[State] = None
    names: tuple[str, ...] = ()


_HTTP3 = ("Commons HttpClient 3", "org.apache.commons.httpclient.")
_HTTP4 = ("Apache HttpClient", "org.apache.http.")
_HTTP5 = ("Apache HttpClient 5", "org.apache.hc.core5.pool.")
_OKHTTP = ("OkHttp", "okhttp3.internal.connection.")
_URL = ("HttpURLConnection", "sun.net.www.")
_JDK = ("the JDK's HttpClient", "jdk.internal.net.http.")
_HIKARI = ("HikariCP", "com.zaxxer.hikari.pool.")
_DBCP = ("Commons DBCP", "org.apache.commons.pool2.impl.")
_TOMCAT = ("Tomcat's JDBC pool", "org.apache.tomcat.jdbc.pool.")
_NETTY = ("Netty", "io.netty.channel.pool.")
_JETTY = ("Jetty's client", "org.eclipse.jetty.client.")

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
    (_NETTY, "SimpleChannelPool", "deque", IDLE),
    (_JETTY, "DuplexConnectionPool", "idleConnections", IDLE),
    (_JETTY, "DuplexConnectionPool", "activeConnections", LEASED),
)

_BY_STATE = (
    (_HTTP3, "SimpleHttpConnectionManager", "httpConnection", State.FLAG, ("inUse",)),
    (_HTTP4, "impl.conn.BasicHttpClientConnectionManager", "conn", State.FLAG, ("leased",)),
    (_OKHTTP, "RealConnection", "*", State.LIST, ("calls", "transmitters", "allocations")),
    (_HIKARI, "PoolEntry", "connection", State.NUMBER, ("state",)),
    (_DBCP, "DefaultPooledObject", "object", State.ENUM, ("state",)),
)

RULES = (
    *(Rule(library, f"{package}{name}", field, use) for (library, package), name, field, use in _BY_PLACE),
    *(
        Rule(library, f"{package}{name}", field, None, state, names)
        for (library, package), name, field, state, names in _BY_STATE
    ),
)


def use_of(rule: Rule, objects: Objects, address: int) -> Optional[Use]:
    """What the rule says of the holder at ``address``. Raises MemoryUnreadable and Nonsense."""
    if rule.use is not None:
        return rule.use
    if rule.state in (State.NUMBER, State.FLAG):
        value = objects.number(address, *rule.names, size=4 if rule.state is State.NUMBER else 1)
    else:
        inner = objects.reference(address, *rule.names)
        field = "ordinal" if rule.state is State.ENUM else "size"
        value = objects.number(inner, field) if inner else None
        value = int(value > 0) if rule.state is State.LIST and value is not None else value
    return IDLE if value == 0 else LEASED if value == 1 else None
