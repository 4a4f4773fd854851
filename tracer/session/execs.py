"""Which holders of a socket have replaced their program (exec) while it was open, and made no call on it since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Optional

from tracer.host.descriptors import close_on_exec
from tracer.host.thread_times import began_ns
from tracer.model.connection import Holder
from tracer.model.frame import LastExec

LastExecOf = Callable[[int], Optional[LastExec]]
"""The newest exec of a process by pid; None if this host does not show them."""


def unknown(_pid: int) -> Optional[LastExec]:
    """Execs are not recorded."""
    return None


class Execs:
    """The newest exec of each holder. A process is asked for once, however many sockets it has."""

    def __init__(self, last_exec: LastExecOf) -> None:
        self._last_exec = last_exec
        self._newest: dict[int, int] = {}
        self._began: dict[int, Optional[int]] = {}

    def told(self, c: Any, holders: tuple[Holder, ...]) -> tuple[Holder, ...]:
        """The holders of a connection (or of its draft), with their execs. Mostly there are none, and all is as it was.

        The program that has called exec made the last call, and has the descriptor after it: it came through exec.
        Another process may have got its own later, over a unix socket (SCM_RIGHTS). Without close-on-exec it can have
        inherited it before its exec.
        """
        since_ns = c.birth_ns if c.sk else c.fin_before_ns  # what is only listed has no time of birth
        if since_ns is None:
            return holders
        for holder in holders:  # asked of each socket: any() takes three times as long
            if self._newest_of(holder.pid) > since_ns:
                return tuple(self._told(c, one, since_ns) for one in holders)
        return holders

    def _newest_of(self, pid: int) -> int:
        ns = self._newest.get(pid)
        if ns is None:
            last = self._last_exec(pid)
            ns = self._newest[pid] = last.ns if last is not None else 0
        return ns

    def _told(self, c: Any, holder: Holder, since_ns: int) -> Holder:
        ns = self._newest_of(holder.pid)
        touches = [touch for touch in (c.opened, c.last, c.eof, c.sent, c.shutdown) if touch is not None]
        own = [touch.ns for touch in touches if touch.actor.pid == holder.pid]
        if ns <= max(own, default=since_ns) or not self._is_of(holder.pid, min(own, default=ns)):
            return holder
        flag = close_on_exec(holder.table, holder.fd)
        user = c.last or c.opened
        if user is not None and user.actor.pid != holder.pid and flag is not False:
            return holder
        return replace(holder, exec_ns=ns, close_on_exec=flag)

    def _is_of(self, pid: int, ns: int) -> bool:
        """Whether the process was there at ``ns``: not one before it that had the same number."""
        if pid not in self._began:
            self._began[pid] = began_ns(pid, pid)
        began = self._began[pid]
        return began is not None and began <= ns
