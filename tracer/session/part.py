"""The part of what a session recorded that one report tells, by the filters that a run of its own would have."""

from __future__ import annotations

from typing import Optional

from tracer.errors import ClosetraceError
from tracer.host import cgroups
from tracer.host.descriptors import sockets_of
from tracer.host.matching import matches
from tracer.host.namespaces import Namespaces
from tracer.host.processes import descendants
from tracer.host.processes import pids as all_pids
from tracer.host.programs import is_called, short
from tracer.host.sockdiag import DiagSocket, listeners
from tracer.host.thread_times import began_ns
from tracer.model.connection import Connection, Touch
from tracer.model.scope import Scope
from tracer.session.endings import Endings
from tracer.session.preexisting import Preexisting
from tracer.session.reconcile import Reconciler

Listening = tuple[int, int]
"""Network namespace and port."""


class Members:
    """The processes of a scope as they are now. The sockets that they hold and the ports that they listen on."""

    def __init__(self, scope: Scope, namespaces: Namespaces) -> None:
        self._pids = pids_in(scope) if scope.by_task else None
        self.inodes = frozenset(inode for pid in self._pids or () for inode in sockets_of(pid))
        self.listening = frozenset(self._ports(scope, namespaces)) if self._pids is not None else frozenset()
        theirs = descendants(self._pids) - self._pids if self._pids else ()
        self._near = self.inodes.union(inode for pid in theirs for inode in sockets_of(pid))

    def may_have(self, one: DiagSocket) -> bool:
        """Whether one of them, or a descendant of theirs, holds this socket or could accept it."""
        return self._pids is None or not one.inode or one.inode in self._near

    def now(self) -> Optional[frozenset[int]]:
        """The processes; None if everybody is in scope."""
        return self._pids

    def _ports(self, scope: Scope, namespaces: Namespaces) -> list[Listening]:
        found: list[Listening] = []
        for netns in namespaces.of_scope(scope, self._pids):
            try:
                several = listeners(namespaces.path(netns))
            except ClosetraceError:
                continue  # the comparison with the kernel's list tells of it
            found += [(netns, one.local.port) for one in several if one.inode in self.inodes]
        return found


def pids_in(scope: Scope) -> frozenset[int]:
    """The processes that a scope by task names, as they are now."""
    found = set(all_pids())
    if scope.pids:
        found &= _with_children(set(scope.pids), scope)
    if scope.comm:
        named = {pid for pid in found if is_called(pid, scope.comm)}
        found &= named if scope.pids else _with_children(named, scope)
    if scope.cgroup_path:
        found &= cgroups.pids(scope.cgroup_path)
    return frozenset(found)


def _with_children(pids: set[int], scope: Scope) -> set[int]:
    return pids | descendants(pids) if scope.follow_forks else pids


class Part:
    """What is in ``scope`` (``target``: in words) and has lingered for ``linger_ns``, of what a session recorded."""

    def __init__(self, scope: Scope, target: str, linger_ns: int, older: Preexisting, namespaces: Namespaces) -> None:
        self.scope, self.target, self.linger_ns = scope, target, linger_ns
        self._members = Members(scope, namespaces)
        self._began: dict[int, int] = {}
        self._by_name = bool(scope.comm) and not scope.pids and not scope.cgroup_path
        may_have = self._members.may_have if scope.by_task else None
        self.reconciler = Reconciler(scope, self._members, older, namespaces, linger_ns, may_have)

    def has(self, connection: Connection) -> bool:
        """Whether this living socket is in scope: held or used by a process in scope, or on its way to one."""
        if not matches(self.scope, connection.netns, connection.local, connection.remote):
            return False
        if self._members.now() is None or connection.inode in self._members.inodes:
            return True
        return self._was_used(connection) or self._waits_for_one(connection)

    def ended(self, endings: Endings) -> Endings:
        """Those of the latest sockets that left."""
        mine = Endings()
        for gone in endings.latest:
            c = gone.connection
            if gone.lingered_ns < self.linger_ns or not matches(self.scope, c.netns, c.local, c.remote):
                continue
            named = self._by_name and bool(gone.program) and short(gone.program) == short(self.scope.comm or "")
            if self._members.now() is None or named or self._was_used(c) or self._waits_for_one(c):
                mine.add(gone)
        return mine

    def _waits_for_one(self, c: Connection) -> bool:
        """Whether it is in the accept queue of a process in scope."""
        return not c.inode and (c.netns, c.local.port) in self._members.listening

    def _was_used(self, c: Connection) -> bool:
        touches = (c.opened, c.last, c.eof, c.sent, c.shutdown, c.closed)
        return any(touch is not None and self._is_members(touch) for touch in touches)

    def _is_members(self, touch: Touch) -> bool:
        """Whether a process in scope made this call: not one before it that had the same number."""
        pid = touch.actor.pid
        if pid in (self._members.now() or ()):
            if pid not in self._began:
                self._began[pid] = began_ns(pid, pid) or 0
            return touch.ns >= self._began[pid]
        return self._by_name and touch.actor.comm.encode(errors="surrogateescape") == short(self.scope.comm or "")
