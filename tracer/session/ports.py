"""Which ephemeral ports are in use in all network namespaces, for who asks again and again."""

from __future__ import annotations

import time

from tracer.diagnose.census.ports import port_use, usable_ports
from tracer.errors import ClosetraceError
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import dump
from tracer.host.tcp_settings import tcp_settings
from tracer.model.finding import PortShare
from tracer.model.states import TcpState

_STATES = tuple(state for state in TcpState if state not in (TcpState.CLOSE, TcpState.NEW_SYN_RECV))
_EVERY_S = 60.0
_MOST_NAMESPACES = 64
_MOST = 10


class Ports:
    """Looks once a minute at most, as there may be tens of thousands of sockets in TIME_WAIT."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._next = 0.0
        self._found: tuple[PortShare, ...] = ()

    def now(self) -> tuple[PortShare, ...]:
        """The fullest pairs of local address and remote endpoint. Namespaces that cannot be read are left out."""
        begun = time.monotonic()
        if begun >= self._next:
            self._found = self._look()
            self._next = begun + _EVERY_S
        return self._found

    def _look(self) -> tuple[PortShare, ...]:
        found: list[PortShare] = []
        for inode in self._namespaces.all()[:_MOST_NAMESPACES]:
            path = self._namespaces.path(inode)
            try:
                sockets, settings = dump(_STATES, path), tcp_settings(path)
            except (OSError, ValueError, ClosetraceError):
                continue
            listening = {one.local.port for one in sockets if one.state is TcpState.LISTEN}
            connected = (one for one in sockets if one.state is not TcpState.LISTEN)
            found += (
                PortShare(use.source, use.destination, use.used, use.time_wait, use.usable)
                for use in port_use(connected, settings, usable_ports(settings, listening))[:_MOST]
            )
        return tuple(sorted(found, key=lambda share: (-share.used / max(share.usable, 1), share.source))[:_MOST])
