"""Which ephemeral ports are in use in all network namespaces, for who asks again and again."""

from __future__ import annotations

import contextlib
import time
from typing import Optional

from tracer.diagnose.census.ports import port_use, usable_ports
from tracer.errors import ClosetraceError
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import each, listeners
from tracer.host.tcp_settings import tcp_settings
from tracer.model.finding import PortShare
from tracer.model.states import TcpState
from tracer.session.pace import Pace

_CONNECTED = frozenset(TcpState) - {TcpState.CLOSE, TcpState.NEW_SYN_RECV, TcpState.LISTEN}
_EVERY_S = 60.0
_MOST_NAMESPACES = 64
_MOST = 10


class Ports:
    """Looks once a minute at most, as there may be tens of thousands of sockets in TIME_WAIT.

    It takes ``share`` of one CPU at most.
    """

    def __init__(self, namespaces: Namespaces, share: float) -> None:
        self._namespaces = namespaces
        self._pace = Pace(share)
        self._next = 0.0
        self._found: tuple[PortShare, ...] = ()

    def now(self) -> tuple[PortShare, ...]:
        """The fullest pairs of local address and remote endpoint. Namespaces that cannot be read are left out."""
        begun = time.monotonic()
        if begun >= self._next and self._pace.due:
            with self._pace.turn():
                self._found = self._look()
            self._next = begun + _EVERY_S
        return self._found

    def allow(self, share: float) -> None:
        """Another share from now on."""
        self._pace.share = share

    def _look(self) -> tuple[PortShare, ...]:
        found: list[PortShare] = []
        for inode in self._namespaces.all()[:_MOST_NAMESPACES]:
            with contextlib.suppress(OSError, ValueError, ClosetraceError):
                found += _fullest(self._namespaces.path(inode))
        return tuple(sorted(found, key=lambda share: (-share.used / max(share.usable, 1), share.source))[:_MOST])


def _fullest(path: Optional[str]) -> list[PortShare]:
    """Those of a namespace. No list of its sockets is made. Raises OSError, ValueError, ClosetraceError."""
    settings = tcp_settings(path)
    usable = usable_ports(settings, (one.local.port for one in listeners(path)))
    uses = port_use(each(_CONNECTED, path), settings, usable)[:_MOST]
    return [PortShare(use.source, use.destination, use.used, use.time_wait, use.usable) for use in uses]
