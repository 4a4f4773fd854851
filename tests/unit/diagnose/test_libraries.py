"""Oracle: how the frames of these libraries are really called, as seen in their own stack traces."""

from __future__ import annotations

import pytest

from tracer.diagnose.libraries import client_of
from tracer.diagnose.owners import is_application, owner_of
from tracer.model.frame import Frame, Stack


def ruby(file: str) -> Frame:
    return Frame("request", None, file=file, language="ruby", internal="/lib/ruby/3" in file)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (Frame("org.apache.http.impl.conn.CPool.validate", None, language="java"), "Apache HttpClient"),
        (
            Frame("org.apache.hc.core5.http.impl.io.SessionInputBufferImpl.fillBuffer", None, language="java"),
            "Apache HttpClient 5",
        ),
        (Frame("org.apache.commons.httpclient.HttpConnection.readLine", None, language="java"), "Commons HttpClient 3"),
        (Frame("jdk.internal.net.http.SocketTube.lambda$read", None, language="java"), "the JDK's HttpClient"),
        (Frame("sun.net.www.http.HttpClient.parseHTTP", None, language="java"), "HttpURLConnection"),
        (Frame("curl_easy_perform", "/usr/lib/libcurl.so.4"), "libcurl"),
        (Frame("Socket._writeGeneric", None, file="node:net", language="node", internal=True), "Node's net"),
        (Frame("PQexecParams", "a-static-program"), "libpq"),
        (Frame("redisBufferRead", "a-static-program"), "hiredis"),
        (Frame(None, "/usr/lib/x86_64-linux-gnu/libcurl-gnutls.so.4", 0x1F), "libcurl"),
        (Frame("net/http.(*persistConn).readLoop", "server", language="go"), "Go's net/http"),
        (
            Frame("urlopen", "python3.11", file="/opt/venv/lib/python3.11/site-packages/urllib3/connectionpool.py"),
            "urllib3",
        ),
        (Frame("getresponse", "python3.11", file="/usr/lib/python3.11/http/client.py"), "http.client"),
        (ruby("/usr/lib/ruby/3.1.0/net/http.rb"), "Net::HTTP"),
        (ruby("/usr/lib/ruby/3.1.0/net/protocol.rb"), "Net::HTTP"),
        (ruby("/var/lib/gems/3.1.0/gems/faraday-net_http-3.0.2/lib/faraday/adapter/net_http.rb"), "Faraday"),
        (ruby("/usr/lib/ruby/vendor_ruby/redis/client.rb"), "redis-rb"),
        (ruby("/usr/local/bundle/gems/redis-client-0.22.1/lib/redis_client.rb"), "redis-rb"),
        (ruby("/usr/local/bundle/gems/pg-1.5.6/lib/pg/connection.rb"), "Ruby's pg"),
        (Frame("pg_conn_exec", "pg_ext.so"), "Ruby's pg"),
        (Frame("org.apache.catalina.core.StandardHostValve.invoke", None, language="java"), "Tomcat"),
        (Frame("SSL_read", "/usr/lib/libssl.so.3"), "TLS"),
    ],
)
def test_known_libraries(frame: Frame, name: str) -> None:
    """A frame of a well-known library is recognised by function, module or file."""
    assert owner_of(frame) == name
    assert not is_application(frame)


@pytest.mark.parametrize(
    "frame",
    [
        Frame("do_request", "app"),
        Frame(None, "/opt/app/bin/app", 0x11D),
        Frame("com.acme.OrderClient.callBackend", None, language="java"),
        Frame("org.apache.kafka.app.Server.poll", None, language="java"),
        Frame("main.fetch", "server", language="go"),
        Frame("fetch", "[anon]", file="/srv/app/requests_log.py", language="python"),
        Frame("fetch", "python3.11", file="/srv/app/src/http/client.py", language="python"),
        ruby("/srv/app/lib/net/http.rb"),
        ruby("/srv/app/lib/net/protocol.rb"),
        Frame("redisConnectReplica", "app"),
        Frame("PQgetTicket", "app"),
    ],
)
def test_everything_else_is_the_program(frame: Frame) -> None:
    """What no rule knows counts as the program's own."""
    assert owner_of(frame) == ""
    assert is_application(frame)


def python(path: str) -> Frame:
    return Frame("f", "python3.11", file=f"/opt/venv/lib/python3.11/{path}", language="python")


@pytest.mark.parametrize(
    ("frames", "name"),
    [
        (
            [python("http/client.py"), python("site-packages/urllib3/x.py"), python("site-packages/requests/x.py")],
            "requests",
        ),
        ([python("http/client.py"), python("site-packages/urllib3/connection.py")], "urllib3"),
        ([python("http/client.py")], "http.client"),
        ([python("site-packages/urllib3/x.py"), python("site-packages/botocore/x.py")], "botocore"),
        (
            [
                Frame("io.netty.channel.socket.nio.X.read", None, language="java"),
                Frame("okhttp3.internal.X.y", None, language="java"),
                Frame("io.netty.channel.AbstractChannelHandlerContext.fireChannelRead", None, language="java"),
            ],
            "OkHttp",
        ),
        ([Frame("io.netty.channel.socket.nio.X.read", None, language="java")], "Netty"),
    ],
)
def test_the_library_that_the_program_calls(frames: list[Frame], name: str) -> None:
    """The outermost library is named; what others are built on only where none of them is there."""
    library = client_of(None, Stack((*frames, Frame("main", "app")), True))
    assert library is not None
    assert library.name == name


@pytest.mark.parametrize(
    "frame",
    [
        Frame("node::(anonymous namespace)::Parser::OnStreamRead", "/usr/lib/libnode.so.108"),
        Frame("uv__read", "/usr/lib/libuv.so.1"),
        Frame("net/http.(*conn).serve", "server", language="go"),
        python("site-packages/aiohttp/web_protocol.py"),
        Frame("handle", "python3.11", file="/srv/app/requests/handler.py", language="python"),
        Frame("PQueue_push", "app"),
    ],
)
def test_a_runtime_or_a_server_is_no_client_library(frame: Frame) -> None:
    """Beneath every program of a language, or serving it: that says nothing of who opened a connection."""
    assert client_of(Stack((frame,), True)) is None


def test_the_first_stack_with_a_library_counts() -> None:
    """Who opened a connection is asked first; a stack without a library is passed over."""
    okhttp, netty = (Frame(name, None, language="java") for name in ("okhttp3.X.y", "io.netty.X.y"))
    library = client_of(None, Stack((Frame("f", "app"),), True), Stack((netty,), True), Stack((okhttp,), True))
    assert library is not None
    assert library.name == "Netty"
