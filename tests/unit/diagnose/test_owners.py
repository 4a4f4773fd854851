"""Oracle: whose code a person would say that a frame is, by the names as they are in real stacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from tracer.diagnose import owners
from tracer.diagnose.owners import (
    application_frame,
    has_own_file,
    is_application,
    is_loop,
    moves_between_threads,
    own_frames,
    owner_of,
    speaks_tls,
    waits_for_work,
)
from tracer.model.frame import Frame, Stack

LIBC = Frame("epoll_wait", "libc.so.6", internal=True)


def java(function: str) -> Frame:
    return Frame(function, None, language="java")


def python(function: str, file: str, internal: bool = False) -> Frame:
    return Frame(function, "[anon]", file=file, language="python", internal=internal)


def ruby(function: str, file: Optional[str], internal: bool = False) -> Frame:
    return Frame(function, None, file=file, language="ruby", internal=internal)


def whole(*frames: Frame) -> Stack:
    return Stack((LIBC, *frames), complete=True)


@pytest.mark.parametrize(
    ("frame", "owner"),
    [
        (java("io.netty.channel.nio.NioEventLoop.run"), "Netty"),
        (java("io.lettuce.core.protocol.CommandHandler.channelRead"), "Lettuce"),
        (java("java.lang.Thread.run"), "the JDK"),
        (java("com.sun.net.httpserver.Headers.get"), "the JDK"),
        (java("org.postgresql.core.PGStream.receiveChar"), "PostgreSQL's driver"),
        (java("org.apache.kafka.clients.NetworkClient.poll"), "Kafka's client"),
        (Frame("Java_java_net_PlainSocketImpl_socketConnect", "libfoo.so"), "the JDK"),
        (Frame(None, "_http_parser.cpython-311-x86_64-linux-gnu.so", 0x11), "_http_parser"),
        (Frame("__pyx_pw_6uvloop", "loop.cpython-311-x86_64-linux-gnu.so"), "loop"),
        (Frame("rust_future", "_rust.abi3.so"), "_rust"),
        (Frame("sock_recv", "python3.11"), "Python"),
        (Frame("_PyEval_EvalFrameDefault", "libpython3.11.so.1.0"), "Python"),
        (python("recv_into", "/usr/lib/python3.11/socket.py"), "Python"),
        (python("getaddrinfo", "/opt/venv/lib/python3.12/site-packages/gevent/socket.py"), "gevent"),
        (Frame("v8::internal::Builtin_HandleApiCall", "libnode.so.108"), "Node.js"),
        (Frame("node::LibuvStreamWrap::OnUvRead(long, uv_buf_t const*)", "node"), "Node.js"),
        (Frame(None, "node", 0x1234), "Node.js"),
        (Frame("worker", "node", file="../deps/uv/src/threadpool.c", line=76), "Node.js"),
        (Frame("worker", "nodejs"), "Node.js"),
        (Frame("ares_process", "node", file="../deps/cares/src/lib/ares_process.c"), "Node.js"),
        (Frame(None, "java", 0x1206), "the JDK"),
        (Frame("Fill", "bcrypt.node"), "bcrypt.node"),
        (Frame("connect", "[anon]", file="/srv/node_modules/@scope/pg/lib/client.js", language="node"), "@scope/pg"),
        (Frame("(JavaScript)", None, language="node"), "Node.js"),
        (Frame("uv__try_write.isra.5", "node"), "libuv"),
        (Frame("uv_fs_read", "app"), "libuv"),
        (Frame("uv_ip4_addr", "libuv.so.1"), "libuv"),
        (Frame("uv_run", "app", file="../deps/uv/src/unix/core.c"), "libuv"),
        (Frame("event_base_loop", "app"), "libevent"),
        (Frame("io_uring_submit", "app"), "liburing"),
        (Frame("blas_thread_server", "libscipy_openblas64_-32a4b2a6.so"), "OpenBLAS"),
        (Frame("ssl3_read", "libssl-28bef1ac.so.1.1"), "TLS"),
        (Frame(None, "libgfortran-040039e1-0352e75f.so.5.0.0", 1), "libraries of Python packages"),
        (Frame("_io_uring_get_cqe", "liburing.so.2"), "liburing"),
        (Frame("ev_run", "libev.so.4.0.0"), "libev"),
        (Frame("apr_socket_recv", "libapr-1.so.0"), "APR"),
        (Frame("ngx_unix_recv", "nginx"), "nginx"),
        (Frame("getchar", "app", file="/usr/include/x86_64-linux-gnu/bits/stdio.h", inlined=True), "system headers"),
        (Frame(None, "haproxy", 0x99), "HAProxy"),
        (Frame("mpm_event_run", "mod_mpm_event.so"), "Apache httpd"),
        (Frame("rb_io_wait", "libruby-3.1.so.3.1"), "Ruby"),
        (ruby("connect", "/usr/lib/ruby/3.1.0/socket.rb", internal=True), "Ruby"),
        (ruby("recv", None, internal=True), "Ruby"),
        (ruby("times", "<internal:numeric>", internal=True), "Ruby"),
        (ruby("connect", "/usr/local/lib/ruby/3.3.0/openssl/ssl.rb", internal=True), "TLS"),
        (ruby("run", "/var/lib/gems/3.1.0/gems/puma-5.6.5/lib/puma/server.rb"), "puma"),
        (ruby("run", "/usr/share/rubygems-integration/all/gems/rack-test-2.0.2/lib/rack/test.rb"), "rack-test"),
        (ruby("call", "/srv/bundle/ruby/3.1.0/bundler/gems/rails-0123456789ab/activerecord/lib/a.rb"), "rails"),
        (ruby("get", "/usr/lib/ruby/vendor_ruby/excon/connection.rb"), "excon"),
        (Frame("zif_fread", "php-fpm8.2"), "PHP"),
        (Frame("Perl_pp_sysread", "libperl.so.5.36"), "Perl"),
        (Frame(None, "libluajit-5.1.so.2.1.0", 1), "LuaJIT"),
        (Frame("luaD_call", "liblua5.4.so.0"), "Lua"),
        (Frame(None, "libpypy3.9-c.so", 1), "PyPy"),
        (Frame("erts_schedule", "beam.smp"), "Erlang"),
        (Frame("RunMain", "libcoreclr.so"), ".NET"),
        (Frame(None, "System.Net.Sockets.dll", 1), ".NET"),
        (Frame("Npgsql.NpgsqlConnector.Open", "[anon]", language="dotnet"), "Npgsql"),
        (
            Frame("request", "zero", file="/srv/vendor/guzzlehttp/guzzle/src/Client.php", language="php"),
            "guzzlehttp/guzzle",
        ),
        (Frame("<tokio::net::tcp::stream::TcpStream as tokio::io::AsyncRead>::poll_read", "app"), "tokio"),
        (Frame("mio::poll::Poll::poll", "app"), "mio"),
        (Frame("<&mut hyper::proto::h1::io::Buffered<T,B> as core::fmt::Debug>::fmt", "app"), "hyper"),
        (Frame("<rustls::conn::Reader as std::io::Read>::read", "app"), "TLS"),
        (Frame("google.golang.org/grpc.(*ClientConn).Invoke", "app", language="go"), "google.golang.org"),
        (Frame("crypto/tls.(*Conn).Read", "app", language="go", internal=True), "TLS"),
    ],
)
def test_the_code_of_others(frame: Frame, owner: str) -> None:
    """Runtimes, drivers, frameworks, C extensions and servers, each by its own language's rules."""
    assert owner_of(frame) == owner
    assert not is_application(frame)


@pytest.mark.parametrize(
    "frame",
    [
        java("io.acme.shop.Orders.fetch"),
        # A program that was built from sources beside a package is no part of the package.
        Frame("read_response", "price-client", file="/opt/venv/lib/python3.11/site-packages/tracer/demo/leak.c"),
        java("net.acme.Client.call"),
        java("javafoo.Main.run"),
        java("redis.Main.run"),
        java("com.google.Main.run"),
        python("handle", "/srv/app/server.py"),
        Frame("onClient", "[anon]", file="/srv/app/server.js", language="node"),
        ruby("fetch", "/srv/shop/lib/orders.rb"),
        ruby("fetch", "/srv/gems/orders.rb"),
        ruby("block in fetch", "(eval)"),
        Frame("tokio::handler(int)", "app"),
        Frame("redis::Client::get(std::string)", "app"),
        Frame("<shop::Reader as tokio::io::AsyncRead>::poll_read", "app"),
        Frame("node_service::run", "node"),
        Frame("worker", "app", file="../src/worker.c"),
        Frame("worker", "node", file="/srv/node/src/worker.c"),
        Frame("main", "java"),
        Frame("serve", "libshop-2.so.1"),
        Frame("serve", "libshop-deadbee.so"),
        Frame("event_handler", "app"),
        Frame("event_process_orders", "app"),
        Frame("apr_quote", "bank"),
        Frame("uv_report", "weather"),
        Frame("uv_listen_to_sensor", "weather", file="/srv/weather/uv.c"),
        Frame("ev_run", "fleet", file="../vehicle.c"),
        Frame("everything_read", "app"),
        Frame("github.com/acme/shop.(*Orders).Fetch", "shop", language="go"),
        Frame(None, "app", 0x11D),
        Frame(None, "libshop.so", 0x11D),
        Frame("compiled_by_luajit", "[anon]"),
    ],
)
def test_the_program(frame: Frame) -> None:
    """What only looks alike is the program's own code."""
    assert owner_of(frame) == ""
    assert is_application(frame)


def test_generated_code_without_a_name_is_nobodys() -> None:
    """Whose it is cannot be known."""
    assert not is_application(Frame(None, "[anon]", 0x11D))
    assert not is_application(Frame(None, "memfd:doublemapper (deleted)", 0x11D))


def test_application_frame() -> None:
    """The innermost frame of the program's own. No library's takes its place."""
    curl, own = Frame("Curl_x", "libcurl.so.4"), Frame("fetch", "app")
    assert application_frame(whole(curl, own)) == 2
    assert application_frame(whole(curl)) is None
    assert application_frame(None) is None


SITE = "/opt/venv/lib/python3.12/site-packages"
FETCH, MAIN = (
    Frame(name, None, file=f"{SITE}/shopd/cli.py", language="python", of_program=True) for name in ("fetch", "main")
)
STUB = Frame("<module>", None, file="/opt/venv/bin/shopd", language="python", of_program=True)
GET = Frame("get", None, file=f"{SITE}/requests/api.py", language="python")
UNKNOWN = Frame("fetch_json", None, file=f"{SITE}/acme_http/get.py", language="python")
PLUGIN = Frame("hook", None, file="/etc/shopd/plugin.py", language="python")
RUN = Frame("run_forever", None, file="/usr/lib/python3.12/asyncio/base_events.py", language="python", internal=True)


@pytest.mark.parametrize(
    ("frames", "own", "mark", "is_file"),
    [
        ((GET, UNKNOWN, FETCH, MAIN, STUB), (FETCH, MAIN, STUB), FETCH, False),
        ((GET, FETCH), (FETCH,), FETCH, False),
        ((GET, UNKNOWN, STUB), (STUB,), STUB, False),
        ((GET, FETCH, PLUGIN, MAIN, STUB), (PLUGIN, STUB), PLUGIN, True),
        ((GET, FETCH, RUN, MAIN, STUB), (FETCH, MAIN, STUB), FETCH, False),
        ((GET, FETCH, RUN, PLUGIN), (PLUGIN,), FETCH, False),
        ((replace(GET, of_program=True), STUB), (STUB,), STUB, False),
        ((GET, UNKNOWN), (), None, False),
    ],
)
def test_the_package_that_is_the_program(
    frames: tuple[Frame, ...], own: tuple[Frame, ...], mark: Optional[Frame], is_file: bool
) -> None:
    """It is the program's own where no file of the program's own is at work, and never where it is a known library."""
    stack = whole(*frames)
    assert own_frames(stack) == own
    index = application_frame(stack)
    assert (None if index is None else stack.frames[index]) is mark
    assert has_own_file(stack) is is_file
    assert not has_own_file(None)


def test_javascript_between_the_frames_of_node() -> None:
    """Node.js has C++ functions on both sides of the program's: only its event loop ends the program's part."""
    write = Frame("node::LibuvStreamWrap::DoTryWrite(uv_buf_t**, unsigned long*)", "node")
    own = Frame("openQuotes", None, file="/srv/lines.js", line=8, language="node")
    entered = Frame("node::InternalMakeCallback(node::Environment*, v8::Local<v8::Object>)", "node")
    assert application_frame(whole(write, own, entered, Frame("uv_run", "node"), *NODE_LOOP)) == 2


NODE_LOOP = (
    Frame("uv__io_poll", "libuv.so.1"),
    Frame("uv_run", "libuv.so.1"),
    Frame("node::SpinEventLoop(node::Environment*)", "libnode.so.108", internal=True),
)
GET_TASK = (java("java.util.concurrent.ThreadPoolExecutor.getTask"), java("java.lang.Thread.run"))


@pytest.mark.parametrize(
    ("frames", "idle"),
    [
        (GET_TASK, True),
        ((java("org.apache.tomcat.util.threads.ThreadPoolExecutor.getTask"),), True),
        ((java("io.netty.channel.epoll.EpollEventLoop.epollWait"),), True),
        (NODE_LOOP, True),
        ((Frame("epoll_dispatch", "libevent-2.1.so.7"), Frame("main", "app")), False),
        ((Frame(None, "[anon]", 1), *NODE_LOOP), False),
        ((Frame("select_epoll_poll", "python3.11", internal=True),), False),
        ((java("com.acme.Job.run"), *GET_TASK), False),
        ((java("java.util.concurrent.ThreadPoolExecutor.runWorker"),), False),
    ],
)
def test_waiting_for_work(frames: tuple[Frame, ...], idle: bool) -> None:
    """Only where the program cannot be in a function that is not shown."""
    assert waits_for_work(whole(*frames)) is idle
    assert not waits_for_work(Stack((LIBC, *frames), complete=False))


@pytest.mark.parametrize(
    ("frames", "loop"),
    [
        (NODE_LOOP, True),
        ((java("io.netty.channel.nio.NioEventLoop.run"),), True),
        ((Frame("ngx_epoll_process_events", "nginx"),), True),
        ((Frame("tokio::runtime::scheduler::multi_thread::worker::run", "app"),), True),
        ((python("run_forever", "/usr/lib/python3.11/asyncio/base_events.py", internal=True),), True),
        ((ruby("run", "/var/lib/gems/3.1.0/gems/puma-5.6.5/lib/puma/server.rb"),), True),
        ((Frame("sock_recv", "python3.11", internal=True),), False),
        ((Frame("main", "app"),), False),
    ],
)
def test_event_loops(frames: tuple[Frame, ...], loop: bool) -> None:
    """An event loop or a pool's worker, by its own functions."""
    assert is_loop(whole(*frames)) is loop
    assert not is_loop(None)


@pytest.mark.parametrize(
    ("frame", "moves"),
    [
        (Frame("runtime.goexit.abi0", "app", language="go", internal=True), True),
        (java("java.lang.VirtualThread.run"), True),
        (java("java.lang.Thread.run"), False),
        (None, False),
    ],
)
def test_work_that_moves(frame: Optional[Frame], moves: bool) -> None:
    """Goroutines and virtual threads go on in another thread."""
    assert moves_between_threads(whole(frame) if frame is not None else None) is moves


@pytest.mark.parametrize(
    ("facts", "tls"),
    [
        ({"function": "sun.security.ssl.SSLSocketImpl.read", "module": None, "language": "java"}, True),
        ({"function": "read", "module": "_ssl.cpython-311-x86_64-linux-gnu.so"}, True),
        ({"function": "SSL_read", "module": "app"}, True),
        ({"function": "read", "module": "libc.so.6"}, False),
    ],
)
def test_tls(facts: dict[str, Any], tls: bool) -> None:
    """TLS is told by its library's frames anywhere on the stack."""
    assert speaks_tls(Stack((Frame(**facts),), True)) is tls
    assert not speaks_tls(None)


def test_tls_is_asked_once_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of sockets share a stack: all languages are asked about its frames once, not for each socket."""
    asked: list[Frame] = []

    def package_of(frame: Frame) -> str:
        asked.append(frame)
        return ""

    monkeypatch.setattr(owners, "package_of", package_of)
    stack = Stack((LIBC, Frame("read_answer", "app")), True)
    assert not any(speaks_tls(stack) for _ in range(1000))
    assert asked == list(stack.frames)
