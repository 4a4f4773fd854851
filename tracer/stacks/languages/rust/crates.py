"""Well-known crates, which are compiled into every program that uses them."""

from __future__ import annotations

import re

from tracer.stacks.generics import without_arguments
from tracer.stacks.language import TLS, Part

_CRATES = frozenset(
    "tokio tokio_util tokio_stream tokio_rustls tokio_native_tls tokio_postgres tokio_tungstenite tokio_uring mio hyper"
    " hyper_util hyper_tls hyper_rustls h2 h3 quinn quinn_udp rustls native_tls openssl reqwest ureq isahc curl"
    " futures futures_util futures_core futures_executor futures_channel futures_lite async_std async_io async_executor"
    " async_channel async_task async_trait smol polling monoio glommio actix actix_rt actix_web actix_http"
    " actix_server axum axum_core warp tower tower_http tower_service tonic rocket tungstenite http http_body bytes"
    " postgres sqlx sqlx_core sqlx_postgres sqlx_mysql diesel redis mongodb rdkafka lapin deadpool bb8 r2d2 socket2"
    " rayon rayon_core crossbeam crossbeam_channel crossbeam_utils parking_lot parking_lot_core tracing tracing_core"
    " tracing_subscriber log serde serde_json anyhow backtrace".split()
)
_TLS = frozenset({"rustls", "tokio_rustls", "native_tls", "tokio_native_tls", "openssl", "hyper_tls", "hyper_rustls"})
_FIRST = re.compile(r"<?[&*]*(?:mut |dyn |const )*([a-z_][a-z0-9_]*)::")
_LOOP = re.compile(r"<?(tokio::runtime::|async_executor::|futures_executor::|actix_rt::|monoio::runtime|rayon_core::)")
_IDLE = re.compile(r"<?(mio::poll::|tokio::runtime::park::|polling::|tokio::runtime::io::driver)")


def package(function: str) -> str:
    """Name the crate of a function; empty for a crate that is not known, and for C++ (names with parameters)."""
    match = _FIRST.match(function)
    if match is None or match[1] not in _CRATES or "(" in without_arguments(function):
        return ""
    return TLS if match[1] in _TLS else match[1]


def part(function: str) -> Part:
    """Tell the runtimes that poll the program's tasks."""
    if not package(function):
        return Part.OTHER
    return Part.IDLE if _IDLE.match(function) else Part.LOOP if _LOOP.match(function) else Part.OTHER
