"""Whose code a frame is: the program's own, a runtime's, or a well-known library's or framework's."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose.libraries import CLIENTS
from tracer.diagnose.library import Library, owns
from tracer.model.frame import Frame, Stack
from tracer.stacks.registry import language

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
    Library("Reactor Netty", functions=("reactor.netty.", "io.projectreactor.netty.")),
    Library("Undertow", functions=("io.undertow.", "org.xnio.")),
    Library("Hibernate", functions=("org.hibernate.",)),
    Library("Jersey", functions=("org.glassfish.",)),
    Library("Commons Pool", functions=("org.apache.commons.pool2.", "org.apache.commons.pool.")),
    Library("Jedis", functions=("redis.clients.jedis.",)),
    Library("PostgreSQL's JDBC driver", functions=("org.postgresql.",)),
    Library(
        "the MySQL client",
        functions=("mysql_", "com.mysql.", "org.mariadb."),
        modules=("libmysqlclient", "libmariadb"),
    ),
    Library("aiohttp", files=("/aiohttp/",)),
    Library("gunicorn", files=("/gunicorn/",)),
    Library("uvicorn", files=("/uvicorn/",)),
    Library("Django", files=("/django/",)),
    Library("Flask", files=("/flask/", "/werkzeug/")),
    Library("Node's runtime", functions=("node::", "uv_"), modules=("libuv", "libnode"), files=("node:",)),
    Library("Go's HTTP server", functions=("net/http.",)),
    Library("Go's runtime", functions=("runtime.", "net.(", "internal/poll.", "syscall.", "bufio.", "io.")),
    Library("libnghttp2", modules=("libnghttp2",)),
    Library("libevent", modules=("libevent",)),
    Library("libstdc++", modules=("libstdc++",)),
)


def owner_of(frame: Frame) -> Optional[Library]:
    """The well-known library or framework that a frame belongs to, None for any other code."""
    return next((library for library in (*CLIENTS, *_FRAMEWORKS) if owns(library, frame)), None)


def speaks_tls(stack: Optional[Stack]) -> bool:
    """Whether a TLS library's frames are on the stack."""
    return stack is not None and any(owns(_TLS, frame) for frame in stack.frames)


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
