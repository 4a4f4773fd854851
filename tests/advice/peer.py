"""The other end of the cells: an HTTP server on loopback that hangs up on a connection after some silence."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
from types import TracebackType

_ANSWER_AFTER_S = 0.3
"""So long every answer takes, so that requests made at once need a connection each."""

_WEBSOCKET_KEY = re.compile(rb"\r\nSec-WebSocket-Key: (\S+)\r\n", re.IGNORECASE)
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HELLO = b"\x81\x05hello"
"""A text frame (RFC 6455 5.7)."""


class Peer:
    """Answers every request as its path says, and hangs up after ``idle_s`` without one.

    ``hung_up`` counts the connections that it closed so while the client had not.
    """

    def __init__(self, idle_s: float) -> None:
        self.idle_s = idle_s
        self.hung_up = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Peer:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port: int = started.result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.idle_s)
                await asyncio.sleep(_ANSWER_AFTER_S)
                writer.write(_answer(request))
                await writer.drain()
        except asyncio.TimeoutError:
            self.hung_up += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


def _answer(request: bytes) -> bytes:
    """The answer that the path asks for: ``/STATUS/SIZE``, or ``/STATUS/SIZE/SENT`` for one that is cut short."""
    if key := _WEBSOCKET_KEY.search(request):
        return _websocket(key.group(1))
    method, path, _ = request.split(b" ", 2)
    status, size, *sent = path.removeprefix(b"/").split(b"/")
    head = b"HTTP/1.1 %s Told\r\nContent-Type: text/plain\r\nContent-Length: %s\r\n\r\n" % (status, size)
    return head if method == b"HEAD" else head + b"x" * int(sent[0] if sent else size)


def _websocket(key: bytes) -> bytes:
    """The server's side of a WebSocket's opening (RFC 6455 4.2.2), and a first message."""
    accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + _HELLO
