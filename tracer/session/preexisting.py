"""Finds sockets that are older than the trace. It lists them after attaching, so that no socket is missed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Optional

from tracer.errors import ClosetraceError
from tracer.flight.recorder import Recorder
from tracer.host.descriptors import sockets_of
from tracer.host.matching import matches, process_matches
from tracer.host.namespaces import Namespaces
from tracer.host.processes import pids as all_pids
from tracer.host.processes import process_info
from tracer.host.sockdiag import DiagSocket, dump, listeners
from tracer.model.connection import Connection
from tracer.model.scope import Scope
from tracer.model.states import TcpState
from tracer.trail import Took

_log = logging.getLogger(__name__)

_CONNECTED = tuple(set(TcpState) - {TcpState.LISTEN, TcpState.TIME_WAIT, TcpState.NEW_SYN_RECV, TcpState.CLOSE})


class Preexisting:
    """The sockets in scope that were there when the trace began."""

    def __init__(self, scope: Scope, namespaces: Namespaces) -> None:
        self._scope, self._namespaces = scope, namespaces
        self._cookies: dict[int, DiagSocket] = {}
        self._waiting: dict[int, DiagSocket] = {}
        self._taken_ns = 0

    def take(self, recorder: Recorder) -> None:
        """List the sockets, tell the kernel side those of tasks in scope, and keep those in CLOSE_WAIT."""
        took = Took()
        inodes = self._inodes()
        # Only a filter by task needs every connection: the kernel side cannot know the owners of older ones.
        states = _CONNECTED if inodes is not None else (TcpState.CLOSE_WAIT,)
        namespaces = list(self._namespaces.all(self._scope.pids))
        for netns in namespaces:
            path = self._namespaces.path(netns)
            try:
                ports = self._seed_listeners(recorder, netns, path, inodes)
                for one in dump(states, path):
                    mine = inodes is None or one.inode in inodes or (one.inode == 0 and one.local.port in ports)
                    if mine and matches(self._scope, one.netns, one.local, one.remote):
                        self._keep(recorder, one)
            except ClosetraceError as error:
                _log.debug("network namespace %d cannot be read: %s", netns, error)
                continue  # a namespace that ended meanwhile
        self._taken_ns = time.monotonic_ns()
        _log.debug(
            "seeded with what is older: %d sockets (%d in CLOSE_WAIT) of %d network namespaces in %s",
            len(self._cookies),
            len(self._waiting),
            len(namespaces),
            took,
        )

    def _inodes(self) -> Optional[set[int]]:
        if not self._scope.by_task:
            return None
        return {inode for pid in self._pids() for inode in sockets_of(pid)}

    def _pids(self) -> Iterable[int]:
        infos = map(process_info, self._scope.pids or all_pids())
        return [info.pid for info in infos if info is not None and process_matches(self._scope, info)]

    def _seed_listeners(
        self, recorder: Recorder, netns: int, path: Optional[str], inodes: Optional[set[int]]
    ) -> frozenset[int]:
        if inodes is None:
            return frozenset()
        ports = [one.local.port for one in listeners(path) if one.inode in inodes]
        for port in ports:
            recorder.add_listener(netns, port)
        return frozenset(ports)

    def _keep(self, recorder: Recorder, one: DiagSocket) -> None:
        self._cookies[one.cookie] = one
        recorder.add_seed(one.cookie)
        if one.state is TcpState.CLOSE_WAIT:
            self._waiting[one.cookie] = one

    def is_older(self, connection: Connection) -> bool:
        """Whether a socket whose beginning was not seen is older than the trace. Else it came from out of scope.

        The listing gives a cookie to every socket that it shows (sock_diag_save_cookie in net/core/sock_diag.c). So a
        socket without a cookie is newer, unless it was recorded between attaching and the end of the listing.
        """
        if not self._scope.by_task or connection.cookie in self._cookies:
            return True
        return connection.cookie == 0 and connection.birth_ns < self._taken_ns

    def fin_before_ns(self, cookie: int) -> Optional[int]:
        """The latest time at which FIN can have come (CLOCK_MONOTONIC, ns): that of the peer's last packet."""
        one = self._waiting.get(cookie)
        if one is None:
            return None
        return self._taken_ns - min(one.last_ack_recv_ms or 0, one.last_data_recv_ms or 0) * 1_000_000

    def untouched(self, recorded: set[int]) -> list[Connection]:
        """The older sockets that are still in CLOSE_WAIT and have no record, because no call has used them since."""
        rest = {cookie: one for cookie, one in self._waiting.items() if cookie not in recorded}
        if not rest:
            return []
        still: dict[int, DiagSocket] = {}
        for netns in {one.netns for one in rest.values()}:
            try:
                still.update((one.cookie, one) for one in dump((TcpState.CLOSE_WAIT,), self._namespaces.path(netns)))
            except ClosetraceError:
                continue
        return [self._connection(still[cookie]) for cookie in rest if cookie in still]

    def _connection(self, one: DiagSocket) -> Connection:
        return Connection(
            sk=0,
            birth_ns=one.cookie,
            local=one.local,
            remote=one.remote,
            state=one.state,
            seen_ns=time.monotonic_ns(),
            netns=one.netns,
            cookie=one.cookie,
            inode=one.inode,
            preexisting=True,
            accepted=False if one.inode == 0 else None,
            fin_before_ns=self.fin_before_ns(one.cookie),
            rx_queue=one.rx_queue,
        )
