"""Servers on loopback that answer for a while, then send nothing and keep the connection open."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(handler: Handler, tls: Optional[ssl.SSLContext] = None) -> Iterator[int]:
    """Accept connections and run ``handler`` on each. Yields the port. All connections are closed at the end."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=_accept, args=(listener, handler, tls, kept), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()


def _accept(
    listener: socket.socket, handler: Handler, tls: Optional[ssl.SSLContext], kept: list[socket.socket]
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        kept.append(connection)
        threading.Thread(target=_serve, args=(connection, handler, tls, kept), daemon=True).start()


def _serve(
    connection: socket.socket, handler: Handler, tls: Optional[ssl.SSLContext], kept: list[socket.socket]
) -> None:
    with contextlib.suppress(OSError):
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
            kept.append(connection)
        handler(connection)


def bytes_then_silence(count: int) -> Handler:
    """Send ``count`` bytes, each alone as the peer sees it, then nothing."""

    def handler(connection: socket.socket) -> None:
        connection.sendall(b"y" * count)

    return handler


class Tap:
    """A handler that sends only what :meth:`pour` asks for, to every connection."""

    def __init__(self) -> None:
        self._connections: list[socket.socket] = []
        self._closed = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        self._connections.append(connection)
        self._closed.wait()

    def pour(self, count: int) -> None:
        """Send ``count`` bytes to each connection."""
        for connection in self._connections:
            connection.sendall(b"y" * count)

    def close(self) -> None:
        """End the handlers, so that the connections are closed."""
        self._closed.set()


def replies_then_silence(count: int) -> Handler:
    """Answer ``count`` HTTP requests, counted over all connections. Later requests get no answer."""
    left = threading.Semaphore(count)

    def handler(connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            for line in file:
                if line == b"\r\n" and left.acquire(blocking=False):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return handler


def self_signed(directory: Path) -> ssl.SSLContext:
    """A TLS server context with a self-signed certificate."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
