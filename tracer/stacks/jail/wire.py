"""Messages between the root process and a worker: a JSON head, bytes, and (to the worker only) descriptors.

Both sides take turns: after a message its sender waits for one. Nothing that the worker sends is more than JSON.
"""

from __future__ import annotations

import array
import json
import select
import socket
import struct
from typing import Any, Callable, NamedTuple

_SIZES = struct.Struct("<II")
_MAX_HEAD = 8 << 20
_MAX_DESCRIPTORS = 4
_SLICE_MS = 20
_AT_ONCE = 256 << 10
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Broken(Exception):
    """The other side has gone, or said what is no message."""


class Message(NamedTuple):
    """``head`` is what JSON has: never believed by the root process without a look."""

    head: dict[str, Any]
    data: bytes = b""
    descriptors: tuple[int, ...] = ()


class Line:
    """One end of the connection (a stream socket, which it owns)."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        self._room = bytearray(_AT_ONCE)  # a new buffer for each message would cost more than the message

    def send(self, head: dict[str, Any], data: bytes = b"", descriptors: tuple[int, ...] = ()) -> None:
        """Send a message. Raises Broken."""
        text = _ENCODER.encode(head).encode("ascii")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        whole = memoryview(_SIZES.pack(len(text), len(data)) + text + data)
        try:
            sent = self._end.sendmsg([whole], rights, socket.MSG_NOSIGNAL)
            if sent < len(whole):
                self._end.sendall(whole[sent:], socket.MSG_NOSIGNAL)
        except OSError as error:
            raise Broken(str(error)) from None

    def receive(self, waits: Callable[[], None], most: int = 0) -> Message:
        """The next message, without descriptors, with ``most`` bytes at most.

        ``waits`` is called again and again meanwhile, and may raise. Raises Broken.
        """
        whole = self._more(waits)
        while len(whole) < _SIZES.size:
            whole += self._more(waits)
        text_size, size = _SIZES.unpack_from(whole)
        if text_size > _MAX_HEAD or size > most:
            raise Broken("a message that is too long")
        end = _SIZES.size + text_size
        while len(whole) < end + size:
            waits()
            whole += self._more(waits)
        if len(whole) > end + size:
            raise Broken("more than a message")
        return Message(_head(whole[_SIZES.size : end]), whole[end:])

    def _more(self, waits: Callable[[], None]) -> bytes:
        """What has come by now, at least a byte."""
        while not self._poll.poll(_SLICE_MS):
            waits()
        try:
            size = self._end.recv_into(self._room, 0, socket.MSG_DONTWAIT)
        except OSError as error:
            raise Broken(str(error)) from None
        if not size:
            raise Broken("it has ended")
        return bytes(memoryview(self._room)[:size])

    def receive_trusted(self) -> Message:
        """The next message of the root process, with its descriptors; waits for it. Raises Broken."""
        room = socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4)
        came, rights, _, _ = self._end.recvmsg_into([self._room], room, socket.MSG_CMSG_CLOEXEC)
        if not came:
            raise Broken("it has ended")
        whole = bytes(memoryview(self._room)[:came])
        descriptors = array.array("i")
        for level, kind, content in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content[: len(content) // 4 * 4])
        whole = self._up_to(whole, _SIZES.size)
        text_size, size = _SIZES.unpack_from(whole)
        end = _SIZES.size + text_size
        whole = self._up_to(whole, end + size)
        return Message(_head(whole[_SIZES.size : end]), whole[end:], tuple(descriptors))

    def _up_to(self, begun: bytes, size: int) -> bytes:
        """``begun`` with what follows, ``size`` bytes in all."""
        if len(begun) >= size:
            return begun
        parts = bytearray(begun)
        while len(parts) < size:
            part = self._end.recv(size - len(parts))
            if not part:
                raise Broken("it has ended")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """Close the socket."""
        self._end.close()


def _head(text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError):
        raise Broken("no message") from None
    if not isinstance(head, dict):
        raise Broken("no message")
    return head
