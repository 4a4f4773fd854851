"""Servers on loopback that programs under test connect to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Callable


@contextlib.contextmanager
def serving(each: Callable[[socket.socket], object]) -> Iterator[int]:
    """Do ``each`` with every connection that is accepted, one after the other. Yields the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    each(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def answer_and_hang_up(client: socket.socket) -> None:
    """Six bytes, then FIN."""
    client.sendall(b"answer")
    client.close()
