"""Well-known client libraries, recognised by their frames, and what to set in them.

Every sentence here was tried with the real library: tests/advice has a cell for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Optional

from tracer.diagnose.library import Library, Setting, owns
from tracer.diagnose.per_stack import per_frame, per_stack
from tracer.model.frame import Frame, Stack


def _package(name: str) -> tuple[str, ...]:
    """Where a Python package's files lie, or those of a module of it."""
    end = "" if "/" in name else "/"
    return (f"/site-packages/{name}{end}", f"/dist-packages/{name}{end}")


_UNRELEASED = "a connection whose response was not read to its end or closed"

_LIBPQ = tuple(
    f"PQ{name}"
    for name in "connectdb connectdbParams connectStart connectStartParams connectPoll setdbLogin reset resetStart"
    " resetPoll exec execParams prepare execPrepared describePrepared describePortal fn sendQuery sendQueryParams"
    " sendPrepare sendQueryPrepared sendDescribePrepared sendDescribePortal sendPipelineSync pipelineSync getResult"
    " consumeInput flush putCopyData putCopyEnd getCopyData getline getlineAsync putline putnbytes endcopy".split()
)
"""The functions of libpq that talk to the server (PostgreSQL's src/interfaces/libpq/exports.txt)."""
_HIREDIS = tuple(
    f"redis{name}"
    for name in "Connect ConnectWithOptions ConnectWithTimeout ConnectNonBlock ConnectBindNonBlock"
    " ConnectBindNonBlockWithReuse ConnectUnix ConnectUnixWithTimeout ConnectUnixNonBlock Reconnect Command vCommand"
    " CommandArgv AppendCommand AppendCommandArgv BufferRead BufferWrite GetReply GetReplyFromReader NetRead NetWrite"
    " ContextConnectTcp ContextConnectBindTcp ContextConnectUnix".split()
)
"""Functions of hiredis that use the socket (its hiredis.h and net.h)."""

CLIENTS = (
    Library(
        "Apache HttpClient",
        functions=("org.apache.http.",),
        pools=True,
        setting=Setting(
            "HttpClientBuilder.evictIdleConnections({0}, TimeUnit.MILLISECONDS), or before 4.4"
            " manager.closeIdleConnections({0}, TimeUnit.MILLISECONDS) called every second by a thread of the program",
            share=0.5,
        ),
        release="consuming the entity and closing the response (EntityUtils.consume(entity), try-with-resources)",
    ),
    Library(
        "Apache HttpClient 5",
        functions=("org.apache.hc.",),
        pools=True,
        setting=Setting("HttpClientBuilder.evictIdleConnections(TimeValue.ofMilliseconds({0}))", share=0.5),
        release="closing the response (a response handler does, or try-with-resources)",
    ),
    Library(
        "Commons HttpClient 3",
        functions=("org.apache.commons.httpclient.",),
        pools=True,
        setting=Setting(
            "an IdleConnectionTimeoutThread with setConnectionTimeout({0}) and addConnectionManager(manager), started",
        ),
        release="releasing it after each response (method.releaseConnection() in a finally block)",
    ),
    Library(
        "OkHttp",
        functions=("okhttp3.", "com.squareup.okhttp.", "okio."),
        pools=True,
        setting=Setting("new ConnectionPool(5, {0}, TimeUnit.MILLISECONDS)"),
        release="closing the response (response.close(), try-with-resources)",
    ),
    Library(
        "the JDK's HttpClient",
        functions=("jdk.internal.net.http.",),
        pools=True,
        notices=_UNRELEASED,
        release="reading the body to its end, or closing its InputStream",
    ),
    Library(
        "HttpURLConnection",
        functions=("sun.net.www.http.", "sun.net.www.protocol.http."),
        pools=True,
        idle="-Dhttp.keepAlive=false keeps none; else its cache closes them itself within 10 s of the last answer",
        release="closing the response's stream (getInputStream(), or getErrorStream() when the status is an error)",
    ),
    Library(
        "HikariCP",
        functions=("com.zaxxer.hikari.",),
        prefills=True,
        setting=Setting("setMaxLifetime({0})", least_ms=30_000),
        release="connection.close() (try-with-resources)",
    ),
    Library(
        "Commons DBCP",
        functions=("org.apache.commons.dbcp2.",),
        prefills=True,
        setting=Setting(
            "setMinEvictableIdleTimeMillis({0}) with setTimeBetweenEvictionRunsMillis of half of it", share=0.6
        ),
        release="connection.close() (try-with-resources)",
    ),
    Library(
        "requests",
        package="requests",
        files=_package("requests"),
        pools=True,
        idle="session.close() when a burst is over (or a with block); its pool has no idle limit, and looks at a"
        " connection only when it takes it out again",
        release="closing the response (response.close() or a with block around it)",
    ),
    Library(
        "botocore",
        package="botocore",
        files=_package("botocore"),
        pools=True,
        idle="client.close() when a burst is over; its pool has no idle limit, and looks at a connection only when it"
        " takes it out again",
        release='closing the response\'s stream (response["Body"].close())',
    ),
    Library(
        "urllib3",
        package="urllib3",
        files=_package("urllib3"),
        beneath=True,
        pools=True,
        idle="PoolManager.clear() when a burst is over; its pool has no idle limit, and looks at a connection only when"
        " it takes it out again",
        release="closing the response (response.close())",
    ),
    Library(
        "aiohttp",
        package="aiohttp",
        files=(*_package("aiohttp/client"), *_package("aiohttp/connector")),
        pools=True,
        notices=_UNRELEASED,
        release="closing the response (async with around it)",
    ),
    Library(
        "httpx",
        package="httpx",
        files=(*_package("httpx"), *_package("httpcore")),
        pools=True,
        idle="client.close() when a burst is over (or a with block); keepalive_expiry acts only when the next"
        " request is made",
        release="closing the response (response.close() or a with block around client.stream)",
    ),
    Library(
        "redis-py",
        package="redis",
        files=_package("redis"),
        idle="client.close() when a burst is over (or a with block); its pool has no idle limit, and"
        " health_check_interval acts only when the next command is sent",
    ),
    Library(
        "SQLAlchemy",
        package="sqlalchemy",
        files=_package("sqlalchemy"),
        idle="poolclass=NullPool keeps none, engine.dispose() closes all; pool_recycle and pool_pre_ping act only when"
        " a connection is taken out again",
        release="connection.close() or a with block around engine.connect()",
    ),
    Library(
        "psycopg_pool",
        package="psycopg_pool",
        files=_package("psycopg_pool"),
        prefills=True,
        idle="call pool.check() more often than the server's idle limit; max_idle and max_lifetime act only when a"
        " connection is given back",
    ),
    Library("asyncpg", package="asyncpg", files=_package("asyncpg"), prefills=True),
    Library("c3p0", functions=("com.mchange.v2.c3p0.", "com.mchange.v2.resourcepool."), prefills=True),
    Library(
        "http.client",
        files=("/http/client.py",),
        beneath=True,
        idle="connection.close() when it is no longer needed: http.client has no pool, and keeps it as long as the"
        " object lives",
        release="connection.close()",
    ),
    Library("Faraday", files=("/gems/faraday-", "/vendor_ruby/faraday/", "/vendor_ruby/faraday.rb")),
    Library("redis-rb", files=("/gems/redis-", "/vendor_ruby/redis/", "/vendor_ruby/redis.rb")),
    Library("Ruby's pg", modules=("pg_ext.",), files=("/gems/pg-", "/vendor_ruby/pg/", "/vendor_ruby/pg.rb")),
    Library(
        "Net::HTTP",
        files=("/net/http.rb", "/net/http/response.rb", "/net/protocol.rb"),
        beneath=True,
        idle="http.finish when it is no longer needed (or Net::HTTP.start with a block): Net::HTTP has no pool, and"
        " keep_alive_timeout acts only when the next request is made",
        release="http.finish",
    ),
    Library(
        "Go's net/http",
        functions=("net/http.(*Client)", "net/http.(*Transport)", "net/http.(*persistConn)", "net/http.send"),
        pools=True,
        notices=_UNRELEASED,
        release="closing the response's body (defer resp.Body.Close() right after the error check)",
    ),
    Library(
        "libcurl",
        functions=("curl_easy_", "curl_multi_", "Curl_"),
        modules=("libcurl",),
        idle="CURLOPT_FORBID_REUSE, or curl_easy_cleanup when a handle is not needed for a while; a handle looks at the"
        " connections that it keeps, CURLOPT_MAXAGE_CONN included, only when it is used again",
        release="curl_easy_cleanup",
    ),
    Library(
        "Node's http.Agent",
        files=("node:_http_agent", "node:_http_client"),
        pools=True,
        notices=_UNRELEASED,
        release="reading the response to its end (response.resume()), or response.destroy()",
    ),
    Library(
        "fetch",
        files=("node:internal/deps/undici",),
        pools=True,
        notices=_UNRELEASED,
        release="reading the body to its end, or response.body.cancel()",
    ),
    Library(
        "undici",
        files=("/node_modules/undici/",),
        pools=True,
        notices=_UNRELEASED,
        release="reading the body to its end, or body.destroy()",
    ),
    Library(
        "ws",
        serves=True,
        files=("/node_modules/ws/",),
        notices="a WebSocket that is paused",
        release="terminate(), or resume() so that its end is read",
    ),
    Library(
        "Node's net",
        serves=True,
        files=("node:net",),
        beneath=True,
        notices="a socket that is paused, or that was made with allowHalfOpen and is not ended",
        release='socket.end() on its "end" event (it comes only while data are read), or socket.destroy()',
    ),
    Library(
        "Netty",
        serves=True,
        functions=("io.netty.",),
        beneath=True,
        notices="a channel with autoRead off",
        setting=Setting("IdleStateHandler(0, 0, {0}, TimeUnit.MILLISECONDS) and context.close() on its IdleStateEvent"),
        release="channel.close()",
    ),
    Library(
        "Apache's mod_proxy",
        modules=("mod_proxy",),
        idle="disablereuse=On (ProxyPass) keeps none",
    ),
    Library(
        "libpq",
        names=_LIBPQ,
        modules=("libpq.",),
        beneath=True,
        idle="PQfinish when it is no longer needed: libpq has no pool",
        release="PQfinish",
    ),
    Library(
        "hiredis",
        names=_HIREDIS,
        modules=("libhiredis",),
        beneath=True,
        idle="redisFree when it is no longer needed: hiredis has no pool",
        release="redisFree",
    ),
)


def client_of(*stacks: Optional[Stack]) -> Optional[Library]:
    """The outermost client library in the first of ``stacks`` that has one: the one that the program calls."""
    for stack in stacks:
        library = _client_of(stack) if stack is not None else None
        if library is not None:
            return library
    return None


@per_stack
def _client_of(stack: Stack) -> Optional[Library]:
    named = [library for frame in reversed(stack.frames) if (library := client_frame(frame)) is not None]
    return next((library for library in named if not library.beneath), named[0] if named else None)


@per_frame
def client_frame(frame: Frame) -> Optional[Library]:
    """The client library that a frame is code of."""
    return next((library for library in CLIENTS if owns(library, frame)), None)


def named(name: str) -> Optional[Library]:
    """The client library of this name; None if it is not known."""
    return next((library for library in CLIENTS if library.name == name), None)


PACKAGES = tuple(library.package for library in CLIENTS if library.package)


def beside(packages: Collection[str], *stacks: Optional[Stack]) -> tuple[Library, ...]:
    """The libraries with these packages, for stacks without a name of Python's functions: any of them may be at work.

    Those that others are built on are given only where none of those is there.
    """
    if any(frame.language == "python" for stack in stacks if stack is not None for frame in stack.frames):
        return ()
    found = tuple(library for library in CLIENTS if library.package in packages)
    return tuple(library for library in found if not library.beneath) or found
