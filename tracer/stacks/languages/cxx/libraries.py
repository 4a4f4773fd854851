"""Well-known native libraries and servers, by the names of their files and functions."""

from __future__ import annotations

import re

from tracer.stacks.language import TLS, Part

_SERVERS = {
    "nginx": re.compile(r"nginx(-\w+)?|angie|openresty|ngx_\w+\.so"),
    "Apache httpd": re.compile(r"apache2|httpd|mod_\w+\.so"),
    "HAProxy": re.compile(r"haproxy"),
    "Envoy": re.compile(r"envoy"),
}
_LIBRARIES = {
    "libuv": "uv",
    "liburing": "uring",
    "libev": "ev",
    "libevent": "event event_core event_extra event_pthreads event_openssl",
    "APR": "apr apr-1 aprutil-1",
    TLS: "ssl crypto gnutls nss3 ssl3 nspr4 mbedtls mbedx509 mbedcrypto wolfssl s2n",
    "GLib": "glib-2.0 gio-2.0 gobject-2.0 soup-2.4 soup-3.0",
    "Qt": "Qt5Core Qt5Network Qt6Core Qt6Network",
    "Boost": "boost_system boost_thread boost_context boost_coroutine",
    "gRPC": "grpc grpc++ gpr",
    "libcurl": "curl curl-gnutls curl-nss",
    "libnghttp2": "nghttp2 nghttp3 ngtcp2",
    "libpq": "pq",
    "the MySQL client": "mysqlclient mariadb",
    "hiredis": "hiredis hiredis_ssl",
    "MongoDB's driver": "mongoc-1.0 mongocxx",
    "librdkafka": "rdkafka rdkafka++",
    "librabbitmq": "rabbitmq",
    "ZeroMQ": "zmq",
    "OpenLDAP": "ldap lber ldap-2.5 lber-2.5 ldap_r-2.4",
    "Kerberos": "krb5 gssapi_krb5 sasl2",
    "libssh": "ssh ssh2",
    "c-ares": "cares",
    "libwebsockets": "websockets",
    "libmicrohttpd": "microhttpd",
    "systemd": "systemd dbus-1",
    "memory allocators": "jemalloc tcmalloc tcmalloc_minimal mimalloc",
    "sanitizers": "asan tsan ubsan lsan",
    "the C library": "m dl rt resolv nss_files nss_dns nsl util anl",
    "compression": "z zstd brotlidec brotlienc lz4 bz2 lzma snappy",
    "libffi": "ffi",
    "SQLite": "sqlite3",
    "libxml2": "xml2",
    "OpenBLAS": "openblas scipy_openblas scipy_openblas64_",
    "OpenMP": "gomp omp iomp5",
    "oneTBB": "tbb",
    "PyTorch": "torch torch_cpu torch_cuda torch_python c10",
}
_BY_STEM = {stem: name for name, stems in _LIBRARIES.items() for stem in stems.split()}
_SHARED_OBJECT = re.compile(r"lib([\w+.-]+?)(?:-[\d.]+)?((?:-[0-9a-f]{8})*)\.so(?:\.[\d.]+)?")
"""The second group is what auditwheel adds to the name of a wheel's own copy of a library: libpq-e8a033dd.so.5.16."""
_IN_WHEEL = "libraries of Python packages"
_UV = (
    "accept async backend barrier buf cancel check close cond default fs getaddrinfo getnameinfo handle idle if kill"
    " listen loop mutex once os pipe poll prepare process queue random read req run rwlock sem shutdown signal sleep"
    " spawn stop stream tcp thread timer try tty udp update walk write"
)
"""What the functions in libuv's uv.h are about. Other programs have functions of theirs that begin with uv_."""
_BY_FUNCTION = (
    ("libuv", re.compile(rf"uv__\w+|uv_(?:{'|'.join(_UV.split())})\d?(?:_\w+)?")),
    ("liburing", re.compile(r"_*io_uring_\w+")),
    ("libev", re.compile(r"ev_(run|invoke|invoke_pending|feed_event|io_start)|fd_event_nocheck|epoll_poll")),
    (
        "libevent",
        re.compile(
            r"(event_base_(loop|dispatch)|event_process_active|event_persist_closure|evbuffer_|bufferevent_"
            r"|evconnlistener_|evhttp_)\w*"
        ),
    ),
    ("APR", re.compile(r"apr_(socket|poll|pollset|pollcb|bucket|brigade|file|pool|thread|proc|wait)_\w+")),
    ("nginx", re.compile(r"ngx_\w+")),
    (TLS, re.compile(r"(SSL|BIO)_\w+")),
    ("Boost", re.compile(r"boost::(asio|beast)::.*")),
    ("gRPC", re.compile(r"(grpc|grpc_core)::.*|grpc_\w+")),
)
_LOOPS = re.compile(
    r"uv_run|ev_run|event_base_(loop|dispatch)|event_process_active\w*|g_main_(loop_run|context_\w+)"
    r"|boost::asio::(io_context|detail::scheduler)::\w*run\w*.*|Q\w*EventDispatcher\w*::processEvents.*"
    r"|ngx_(worker_process_cycle|process_events_and_timers|single_process_cycle|epoll_process_events)"
)
_FILES = {
    "libuv": re.compile(
        r"core|stream|tcp|udp|pipe|poll|async|loop(-watcher)?|timer|threadpool|thread|linux(-\w+)?|posix-\w+|fs|signal"
        r"|process|getaddrinfo|getnameinfo|uv-common|tty|random\S*"
    ),
    "libev": re.compile(r"ev(_\w+)?"),
}
"""Source files without their endings: with debug information a function of another file is another's."""
_CLONE = re.compile(r"(\.(isra|part|constprop|cold|lto_priv)(\.\d+)?)+$")
"""What GCC adds to the name of a function that it has changed (IPA-SRA, partial inlining, and others)."""
_JOINS = re.compile(r"_*pthread_(clock|timed)?join(_ex|_np)?")
_IDLE = re.compile(r"uv__io_poll|epoll_dispatch|epoll_poll|ngx_epoll_process_events|g_main_context_poll\w*")


def package(function: str, module: str, file: str = "") -> str:
    """Name the library or server that compiled code belongs to; empty for any other code.

    ``file`` is its source file, empty if that is not known.
    """
    shared = _SHARED_OBJECT.fullmatch(module)
    if shared is not None and shared[1] in _BY_STEM:
        return _BY_STEM[shared[1]]
    if shared is not None and shared[2]:
        return _IN_WHEEL
    for name, modules in _SERVERS.items():
        if modules.fullmatch(module):
            return name
    function = _CLONE.sub("", function)
    name = next((name for name, functions in _BY_FUNCTION if functions.fullmatch(function)), "")
    stem = file.rpartition("/")[2].rpartition(".")[0]
    return "" if stem and name in _FILES and not _FILES[name].fullmatch(stem) else name


def part(function: str, module: str, file: str = "") -> Part:
    """Tell event loops and the C library's join by their functions, servers by their files."""
    name, function = package(function, module, file), _CLONE.sub("", function)
    if _JOINS.fullmatch(function):
        return Part.JOINS
    if not name:
        return Part.OTHER
    if _IDLE.fullmatch(function):
        return Part.IDLE
    return Part.LOOP if name in _SERVERS or _LOOPS.fullmatch(function) else Part.OTHER
