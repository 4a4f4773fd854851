"""Which FileDescriptor object is a socket's: descriptor and ports have to agree with what the kernel says.

A closed NIO channel keeps the number in its FileDescriptor, and the number is soon another socket's.
"""

from __future__ import annotations

from typing import Optional

from tracer.model.holder import SocketAt
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.classes import Classes, Klass
from tracer.stacks.languages.java.heap.objects import Objects
from tracer.stacks.target.reader import Nonsense

_SOCKET = "java.net.SocketImpl"
_CHANNELS = ("java.nio.channels.spi.AbstractInterruptibleChannel", "java.nio.channels.AsynchronousSocketChannel")
_CLOSING = 4
"""NioSocketImpl.state from here on: ST_CLOSING, ST_CLOSED."""


class Sockets:
    """Compares sockets with objects. Nothing raises: what cannot be read does not agree."""

    def __init__(self, objects: Objects, classes: Classes) -> None:
        self._objects, self._classes = objects, classes

    def number(self, descriptor: int) -> Optional[int]:
        """The number in the FileDescriptor at this address; None if it cannot be read."""
        try:
            return self._objects.number(descriptor, "fd")
        except (MemoryUnreadable, Nonsense):
            return None

    def owns(self, klass: Klass) -> bool:
        """Whether an object of this class is the socket that a FileDescriptor is of."""
        return self._classes.is_a(klass, _SOCKET, *_CHANNELS)

    def is_collected(self, owner: int) -> bool:
        """Whether a collection closes the socket of the object at ``owner`` if nothing refers to that any more.

        java.net.Socket has a cleaner or a finalizer in all JDKs. Channels have neither.
        """
        return self._objects.is_a(owner, _SOCKET)

    def agrees(self, owner: int, wanted: SocketAt) -> bool:
        """Whether the socket object at ``owner`` is open and has the ports of ``wanted``."""
        try:
            klass = self._objects.class_at(owner)
            if klass is None:
                return False
            if self._classes.is_a(klass, _SOCKET):
                return self._open_socket(owner) and self._same(
                    wanted, self._objects.number(owner, "localport"), self._objects.number(owner, "port")
                )
            return self._open_channel(owner) and self._same(
                wanted, self._port(owner, "localAddress"), self._port(owner, "remoteAddress")
            )
        except (MemoryUnreadable, Nonsense):
            return False

    def _open_socket(self, owner: int) -> bool:
        state = self._objects.number(owner, "state")
        return state is None or state < _CLOSING

    def _open_channel(self, owner: int) -> bool:
        closed = self._objects.number(owner, "closed", size=1)
        if closed is not None:
            return closed == 0
        return self._objects.number(owner, "open", size=1) == 1  # JDK 8

    def _port(self, owner: int, field: str) -> Optional[int]:
        address = self._objects.reference(owner, field)
        holder = self._objects.reference(address, "holder") if address else 0
        return self._objects.number(holder, "port") if holder else None

    @staticmethod
    def _same(wanted: SocketAt, local: Optional[int], remote: Optional[int]) -> bool:
        # The local port of an object may be unset; that of the peer never is.
        return remote == wanted.remote_port and local in (wanted.local_port, 0, -1)
