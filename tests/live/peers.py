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


def answer_and_hang_up(client: socket.socket, answer: bytes = b"answer") -> None:
    """Send the answer, at most a segment, and FIN with it: no read can see one of them without the other.

    After a ``sendall`` and a ``close`` the reader may be the faster one, or not: these are two verdicts. With
    ``MSG_MORE`` the answer waits for more, and the close sends both (``tcp_send_fin`` marks the last queued segment).
    """
    with client:
        client.send(answer, socket.MSG_MORE)
