"""The objects that have a descriptor's number: Python's sockets, and uvloop's transports, which are no sockets.

A socket object has number, family, type and timeout (Modules/socketmodule.h), but no ports. So what it says of itself
is held against the descriptor: it has to be of TCP, and if it waits in the kernel the descriptor has to do so, too. A
number that was closed beneath its object may be another socket's by now.

A transport of uvloop refers to libuv's handle, which has the number and refers back to the transport (UVHandle in
uvloop/handles/handle.pxd; uv_handle_t and uv_stream_t in include/uv.h and include/uv/unix.h of libuv 1).
"""

from __future__ import annotations

import socket
from typing import Optional

from tracer.model.holder import SocketAt
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.heap.live import LOWEST, Fact, Live, is_word
from tracer.stacks.languages.cpython.heap.steps import Step, alive
from tracer.stacks.languages.cpython.heap.types import TypeInfo

_FD, _FAMILY, _KIND, _TIMEOUT = 16, 20, 24, 40
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_HANDLE = 24
_UV_DATA, _UV_TYPE, _UV_FLAGS, _UV_FD = 0, 16, 88, 184
_UV_TCP, _UV_ENDED = 12, 3
"""UV_TCP; UV_HANDLE_CLOSING and UV_HANDLE_CLOSED."""
_INT = 0xFFFF_FFFF
_NEGATIVE = 1 << 63


class Strange(Exception):
    """A transport's handle is not where it is known to be."""


class Numbers:
    """Raises MemoryUnreadable."""

    def __init__(self, live: Live) -> None:
        self._live, self._reader = live, live.reader

    def number(self, address: int, info: TypeInfo) -> Optional[int]:
        """The descriptor of the object at ``address``; None if it has none, or one that is not of TCP.

        Raises Strange.
        """
        if info.is_transport:
            return self._of_transport(address)
        unsigned = self._reader.unsigned
        family, kind = unsigned(address + _FAMILY, 4), unsigned(address + _KIND, 4)
        return unsigned(address + _FD, 4) if family in _FAMILIES and kind == socket.SOCK_STREAM else None

    def _of_transport(self, address: int) -> Optional[int]:
        handle = self._reader.pointer(address + _HANDLE)
        if not handle:
            return None
        try:
            back = self._reader.pointer(handle + _UV_DATA) if handle > LOWEST and not handle & 7 else 0
        except MemoryUnreadable:
            back = 0
        if back != address:
            raise Strange
        kind, flags = self._reader.unsigned(handle + _UV_TYPE, 4), self._reader.unsigned(handle + _UV_FLAGS, 4)
        return self._reader.unsigned(handle + _UV_FD, 4) if kind == _UV_TCP and not flags & _UV_ENDED else None

    def facts(self, wanted: SocketAt, address: int, info: TypeInfo) -> tuple[Fact, ...]:
        """What is true of an object that lives and has this number."""
        if info.is_transport:
            handle = self._reader.pointer(address + _HANDLE)
            return (
                *alive(address, info),
                is_word(address + _HANDLE, handle),
                is_word(handle + _UV_DATA, address),
                Fact(handle + _UV_TYPE, _UV_TCP, _UV_TCP, _INT),
                Fact(handle + _UV_FLAGS, 0, 0, _UV_ENDED),
                Fact(handle + _UV_FD, wanted.fd, wanted.fd, _INT),
            )
        return (*alive(address, info), Fact(address + _FD, wanted.fd, wanted.fd, _INT))

    def agrees(self, wanted: SocketAt, address: int, info: TypeInfo) -> bool:
        """Whether its mode is the descriptor's: a socket without a timeout waits in the kernel."""
        if info.is_transport or wanted.waits is None:
            return True
        return bool(self._reader.pointer(address + _TIMEOUT) & _NEGATIVE) is wanted.waits

    def step(self, wanted: SocketAt, address: int, info: TypeInfo) -> Optional[Step]:
        """How a transport has its number; None for a socket, whose own number it is."""
        if not info.is_transport:
            return None
        handle = self._reader.pointer(address + _HANDLE)
        return Step(address, info, handle, "_handle", self.facts(wanted, address, info))
