"""Well-known libraries, recognised by their frames: what is not the program's own code, and which setting to turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.model.frame import Frame, Stack
from tracer.stacks.registry import language


@dataclass(frozen=True)
class Library:
    """How a library's frames are known, and what it calls the settings that matter here.

    ``functions`` and ``modules`` are prefixes (a module is a file's base name), ``files`` parts of a source path.
    ``pool``: how its pool lets go of idle connections, ``{limit}`` standing for a time below the peer's.
    ``release``: how a program gives one connection back for good. Both are empty for frameworks that own no client.
    ``pools``: whether it takes an idle connection from its own pool before it opens another to the same peer.
    ``prefills``: whether its pool opens connections before anybody asks for one.
    """

    name: str
    functions: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    pool: str = ""
    release: str = ""
    pools: bool = False
    prefills: bool = False


_CLIENTS = (
    Library(
        "Apache HttpClient",
        pools=True,
        functions=("org.apache.http.",),
        pool="HttpClientBuilder.evictIdleConnections({limit}), or in 4.2 closeIdleConnections({limit}) called every few"
        " seconds by a thread of your own; or setValidateAfterInactivity on the connection manager",
        release="EntityUtils.consume(entity) and response.close() in a finally block",
    ),
    Library(
        "Apache HttpClient 5",
        pools=True,
        functions=("org.apache.hc.",),
        pool="HttpClientBuilder.evictIdleConnections({limit}), or ConnectionConfig.setValidateAfterInactivity",
        release="a response handler, or response.close() in try-with-resources",
    ),
    Library(
        "Commons HttpClient 3",
        pools=True,
        functions=("org.apache.commons.httpclient.",),
        pool="closeIdleConnections({limit}) on the MultiThreadedHttpConnectionManager, or an"
        " IdleConnectionTimeoutThread",
        release="method.releaseConnection() in a finally block",
    ),
    Library(
        "OkHttp",
        pools=True,
        functions=("okhttp3.", "com.squareup.okhttp.", "okio."),
        pool="a ConnectionPool with a keepAliveDuration of {limit}",
        release="response.close() in try-with-resources",
    ),
    Library(
        "the JDK's HttpClient",
        pools=True,
        functions=("jdk.internal.net.http.",),
        pool="-Djdk.httpclient.keepalive.timeout in seconds, {limit} here (1200 by default before JDK 20)",
        release="reading the body to its end, or closing its InputStream",
    ),
    Library(
        "HttpURLConnection",
        pools=True,
        functions=("sun.net.www.http.", "sun.net.www.protocol.http."),
        pool="-Dhttp.keepAlive.time.server={limit} (JDK 19+, in whole seconds), or -Dhttp.keepAlive=false",
        release="getInputStream().close(), and getErrorStream() read and closed when the status is an error",
    ),
    Library(
        "Reactor Netty",
        pools=True,
        functions=("reactor.netty.", "io.projectreactor.netty."),
        pool="ConnectionProvider.builder(...).maxIdleTime({limit}).evictInBackground(...)",
        release="consuming or releasing the response body",
    ),
    Library(
        "Jetty's client",
        pools=True,
        functions=("org.eclipse.jetty.client.",),
        pool="HttpClient.setIdleTimeout({limit})",
        release="reading or aborting the response",
    ),
    Library(
        "HikariCP",
        prefills=True,
        functions=("com.zaxxer.hikari.",),
        pool="maxLifetime or idleTimeout of {limit}, or keepaliveTime below it",
        release="connection.close() in try-with-resources (leakDetectionThreshold finds who forgets)",
    ),
    Library(
        "Commons Pool",
        prefills=True,
        functions=("org.apache.commons.pool2.", "org.apache.commons.pool.", "redis.clients.jedis."),
        pool="minEvictableIdleTime of {limit} with timeBetweenEvictionRuns set, or testWhileIdle / testOnBorrow",
        release="returning or invalidating the object in a finally block",
    ),
    Library(
        "requests/urllib3",
        pools=True,
        functions=("urllib3.", "requests."),
        files=("/urllib3/", "/requests/"),
        pool="session.close() when a burst is over: urllib3 looks at a pooled connection only when it takes it out"
        " again, and has no idle limit",
        release="response.close() or a with block (stream=True keeps the connection until the body is read)",
    ),
    Library(
        "aiohttp",
        pools=True,
        functions=("aiohttp.",),
        files=("/aiohttp/",),
        pool="TCPConnector(keepalive_timeout={limit})",
        release="async with around the response",
    ),
    Library(
        "httpx",
        pools=True,
        functions=("httpx.", "httpcore."),
        files=("/httpx/", "/httpcore/"),
        pool="httpx.Limits(keepalive_expiry={limit})",
        release="response.close() or a with block around client.stream",
    ),
    Library(
        "http.client",
        functions=("http.client.",),
        files=("/http/client.py",),
        pool="connection.close() when it is no longer needed: http.client keeps it open as long as the object lives",
        release="connection.close()",
    ),
    Library(
        "Go's net/http",
        pools=True,
        functions=("net/http.",),
        pool="Transport.IdleConnTimeout of {limit}",
        release="resp.Body.Close() after reading it (defer it right after the error check)",
    ),
    Library(
        "libcurl",
        functions=("curl_easy_", "curl_multi_", "Curl_"),
        modules=("libcurl",),
        pool="CURLOPT_MAXAGE_CONN of {limit} (118 s by default), which curl applies when a handle is used again;"
        " else curl_easy_cleanup",
        release="curl_easy_cleanup, or CURLOPT_FORBID_REUSE",
    ),
    Library(
        "Node's http.Agent",
        functions=("node::", "uv__", "uv_"),
        modules=("libuv", "libnode"),
        files=("node:_http", "node:net", "node:internal"),
        pool="new http.Agent({{keepAlive: true, timeout: ...}}) with a timeout of {limit}",
        release="response.resume() or response.destroy()",
    ),
    Library(
        "libpq",
        functions=("PQ", "pq"),
        modules=("libpq.",),
        pool="the connection pool's idle limit set to {limit}, or a check (SELECT 1) before use",
        release="PQfinish",
    ),
    Library(
        "the MySQL client",
        functions=("mysql_", "com.mysql.", "org.mariadb."),
        modules=("libmysqlclient", "libmariadb"),
        pool="the pool's maximum lifetime set below the server's wait_timeout: {limit} here",
        release="mysql_close, or connection.close() in try-with-resources",
    ),
    Library(
        "hiredis",
        functions=("redisConnect", "redisCommand", "redisBuffer", "redisGetReply"),
        modules=("libhiredis",),
        pool="the pool's idle limit set to {limit}, below the server's `timeout`",
        release="redisFree",
    ),
)
_TLS = Library(
    "TLS",
    functions=("sun.security.ssl.", "javax.net.ssl.", "crypto/tls.", "SSL_", "ssl.SSLSocket", "org.conscrypt."),
    modules=("libssl", "libcrypto", "libgnutls", "libnss3", "libssl3", "libmbedtls", "_ssl."),
    files=("/lib/python3/ssl.py", "/ssl.py"),
)
_FRAMEWORKS = (
    _TLS,
    Library("the JDK", functions=("java.", "javax.", "jdk.", "sun.", "com.sun.", "Java_java_", "Java_sun_")),
    Library(
        "Tomcat", functions=("org.apache.catalina.", "org.apache.tomcat.", "org.apache.coyote.", "org.apache.jasper.")
    ),
    Library("Spring", functions=("org.springframework.",)),
    Library("Jetty", functions=("org.eclipse.jetty.",)),
    Library("Netty", functions=("io.netty.",)),
    Library("Undertow", functions=("io.undertow.", "org.xnio.")),
    Library("Hibernate", functions=("org.hibernate.",)),
    Library("Jersey", functions=("org.glassfish.",)),
    Library("gunicorn", files=("/gunicorn/",)),
    Library("Django", files=("/django/",)),
    Library("Flask", files=("/flask/", "/werkzeug/")),
    Library("Go's runtime", functions=("runtime.", "net.(", "internal/poll.", "syscall.", "bufio.", "io.")),
    Library("libnghttp2", modules=("libnghttp2",)),
    Library("libevent", modules=("libevent",)),
    Library("libstdc++", modules=("libstdc++",)),
)


def _base(path: Optional[str]) -> str:
    return path.rsplit("/", 1)[-1] if path else ""


def _owns(library: Library, frame: Frame) -> bool:
    function, module, file = frame.function or "", _base(frame.module), frame.file or ""
    return (
        (bool(library.functions) and function.startswith(library.functions))
        or (bool(library.modules) and module.startswith(library.modules))
        or any(part in file for part in library.files)
    )


def owner_of(frame: Frame) -> Optional[Library]:
    """The well-known library or framework that a frame belongs to, None for any other code."""
    return next((library for library in (*_CLIENTS, *_FRAMEWORKS) if _owns(library, frame)), None)


def client_of(*stacks: Optional[Stack]) -> Optional[Library]:
    """The client library nearest to the socket in the first of ``stacks`` that has one."""
    for stack in stacks:
        for frame in stack.frames if stack is not None else ():
            library = next((library for library in _CLIENTS if _owns(library, frame)), None)
            if library is not None:
                return library
    return None


def speaks_tls(stack: Optional[Stack]) -> bool:
    """Whether a TLS library's frames are on the stack."""
    return stack is not None and any(_owns(_TLS, frame) for frame in stack.frames)


def is_application(frame: Frame) -> bool:
    """Whether a frame is the program's own code, as far as one can tell: no runtime's and no library's."""
    return not frame.internal and owner_of(frame) is None and not language(frame.language).package(frame)


def application_frame(stack: Optional[Stack]) -> Optional[int]:
    """Index of the innermost frame of the program's own code; else of the first that is no runtime's; None if none."""
    if stack is None:
        return None
    indices = range(len(stack.frames))
    own = next((i for i in indices if is_application(stack.frames[i])), None)
    if own is not None:
        return own
    return next((i for i in indices if not stack.frames[i].internal), None)
