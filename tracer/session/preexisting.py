"""Finds sockets that are older than the trace. It lists them after attaching, so that no socket is missed."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Optional

from tracer.errors import ClosetraceError
from tracer.flight.recorder import Recorder
from tracer.host.accept_queues import Listeners, queued
from tracer.host.descriptors import sockets_of
from tracer.host.matching import matches
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import DiagSocket, dump, listeners
from tracer.model.connection import Connection, Endpoint
from tracer.model.scope import Scope
from tracer.model.states import TcpState
from tracer.trail import Took, Trail

_log = Trail(__name__)

_CONNECTED = tuple(set(TcpState) - {TcpState.LISTEN, TcpState.TIME_WAIT, TcpState.NEW_SYN_RECV, TcpState.CLOSE})


def fin_before_ns(one: DiagSocket, listed_ns: int) -> int:
    """When FIN had come at the latest, of a socket listed at ``listed_ns``: the peer's last packet of any kind."""
    return listed_ns - min(one.last_ack_recv_ms or 0, one.last_data_recv_ms or 0) * 1_000_000


class _Queues:
    """The accept queues of the listening sockets ``inodes``, among ``every`` of a network namespace."""

    def __init__(self, every: Collection[DiagSocket], inodes: Collection[int]) -> None:
        self._listeners, self._inodes = Listeners(every), inodes
        self.ports = [one.local.port for one in every if one.inode in inodes]
        self._ports = frozenset(self.ports)
        self._known: dict[Endpoint, bool] = {}

    def may_have(self, waiting: DiagSocket) -> bool:
        """Whether a connection that waits is in one of them, as far as the kernel tells (SO_REUSEPORT)."""
        local = waiting.local
        if local.port not in self._ports:
            return False
        if local not in self._known:  # many wait at one place, and many may listen there
            self._known[local] = any(one.inode in self._inodes for one in queued(self._listeners.at(local)))
        return self._known[local]


class Preexisting:
    """The sockets in scope that were there when the trace began."""

    def __init__(self, scope: Scope, namespaces: Namespaces) -> None:
        self.scope, self._namespaces = scope, namespaces
        self._cookies: set[int] = set()
        self._waiting: dict[int, DiagSocket] = {}
        self._taken_ns = 0

    def take(self, recorder: Recorder, members: Optional[Collection[int]]) -> None:
        """List, seed the kernel side with what belongs to tasks in scope, and keep what is in CLOSE_WAIT already.

        ``members`` are the processes in scope, None if everybody is. What may not be read is told at the report.
        """
        took = Took()
        inodes = None if members is None else {inode for pid in members for inode in sockets_of(pid)}
        # Only a filter by task needs every connection: the kernel side cannot tell their owners otherwise.
        states = _CONNECTED if inodes is not None else (TcpState.CLOSE_WAIT,)
        namespaces = self._namespaces.of_scope(self.scope, members)
        for netns in namespaces:
            path = self._namespaces.path(netns)
            try:
                queues = self._seed_listeners(recorder, netns, path, inodes)
                for one in dump(states, path):
                    mine = inodes is None or one.inode in inodes or (one.inode == 0 and queues.may_have(one))
                    if mine and matches(self.scope, one.netns, one.local, one.remote):
                        self._keep(recorder, one)
            except ClosetraceError as error:
                _log.debug("network namespace %d cannot be read: %s", netns, error)
                continue  # it ended meanwhile, or may not be entered
        self._taken_ns = time.monotonic_ns()
        _log.debug(
            "seeded with what is older: %d sockets (%d in CLOSE_WAIT) of %d network namespaces in %s",
            len(self._cookies),
            len(self._waiting),
            len(namespaces),
            took,
        )

    def _seed_listeners(
        self, recorder: Recorder, netns: int, path: Optional[str], inodes: Optional[set[int]]
    ) -> _Queues:
        every = listeners(path) if inodes is not None else ()
        queues = _Queues(every, inodes or ())
        for port in queues.ports:
            recorder.add_listener(netns, port)
        return queues

    def _keep(self, recorder: Recorder, one: DiagSocket) -> None:
        self._cookies.add(one.cookie)
        recorder.add_seed(one.cookie)
        if one.state is TcpState.CLOSE_WAIT:
            self._waiting[one.cookie] = one

    def is_older(self, connection: Connection) -> bool:
        """Whether a socket whose beginning was not seen is older than the trace. Else it came from out of scope.

        The listing gives a cookie to every socket that it shows (sock_diag_save_cookie in net/core/sock_diag.c). So a
        socket without a cookie is newer, unless it was recorded between attaching and the end of the listing.
        """
        if not self.scope.by_task or connection.cookie in self._cookies:
            return True
        return connection.cookie == 0 and connection.birth_ns < self._taken_ns

    def fin_before_ns(self, cookie: int) -> Optional[int]:
        """The latest time at which FIN can have come (CLOCK_MONOTONIC, ns): that of the peer's last packet."""
        one = self._waiting.get(cookie)
        if one is None:
            return None
        return fin_before_ns(one, self._taken_ns)

    def waiting(self) -> tuple[DiagSocket, ...]:
        """The sockets in scope that were in CLOSE_WAIT at the start."""
        return tuple(self._waiting.values())

    def lingered(self, linger_ns: int) -> tuple[DiagSocket, ...]:
        """Those of ``waiting`` that had been in CLOSE_WAIT for ``linger_ns`` at the start already."""
        return tuple(one for one in self.waiting() if self._taken_ns - fin_before_ns(one, self._taken_ns) >= linger_ns)

    def crowded_out(self, cookie: int) -> bool:
        """Whether a socket in CLOSE_WAIT whose beginning has no record would have one, had one been free.

        The transition to CLOSE_WAIT makes a record of every socket in scope, where scope does not depend on the task.
        """
        return not self.scope.by_task and cookie not in self._waiting

    def waited(self, cookie: int) -> bool:
        """Whether this socket, in scope, was in CLOSE_WAIT at the start."""
        return cookie in self._waiting
