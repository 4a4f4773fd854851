"""Finds network namespaces by inode number, with a path into each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Optional

from tracer.host.netns import other_paths
from tracer.model.scope import Scope


class Namespaces:
    """Finds a ``/proc/PID/ns/net`` path by namespace inode. Reads /proc again for an inode that is not known."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}
        self.denied = 0
        """Processes whose namespace could not be told for want of CAP_SYS_PTRACE, at the last call of all().

        After of_scope(): those among whose namespaces one in scope may be.
        """

    def _look(self) -> None:
        self._paths = {inode: path for inode, path in self._paths.items() if _inode(path) == inode}
        for name in os.listdir("/proc"):
            if name.isdigit():
                self._note_process(int(name))
        with contextlib.suppress(OSError):
            for name in os.listdir("/run/netns"):  # a bind mount keeps these alive (ip-netns(8))
                self.note(f"/run/netns/{name}")

    def note(self, path: str) -> Optional[int]:
        """Remember a path. Returns its inode number, None if it does not exist."""
        try:
            inode = os.stat(path).st_ino
        except PermissionError:
            self.denied += 1
            return None
        except OSError:
            return None
        self._paths.setdefault(inode, path)
        return inode

    def _note_process(self, pid: int) -> Optional[int]:
        denied = self.denied
        found = self.note(f"/proc/{pid}/ns/net")
        if found is not None or denied != self.denied:
            return found
        return next((inode for path in other_paths(pid) if (inode := self.note(path)) is not None), None)

    def path(self, inode: int) -> Optional[str]:
        """A path into the namespace. None if it is this process's own, or if no path to it exists any more."""
        own = self.note("/proc/self/ns/net")
        if inode == own:
            return None
        known = self._paths.get(inode)
        if known is None or self.note(known) != inode:
            self._paths.pop(inode, None)
            self._look()
        return self._paths.get(inode)

    def all(self, pids: Optional[Iterable[int]] = None) -> tuple[int, ...]:
        """The namespaces of these processes; without any, of all processes."""
        self.denied = 0
        if pids is None:
            self._look()
            self.note("/proc/self/ns/net")
            return tuple(self._paths)
        chosen = [self._note_process(pid) for pid in pids]
        return tuple(dict.fromkeys(inode for inode in chosen if inode is not None))

    def of_scope(self, scope: Scope, members: Optional[Iterable[int]]) -> tuple[int, ...]:
        """Those in which sockets may be in scope; ``members`` are the processes in scope, None if everybody is."""
        found = self.all(members)
        if not scope.netns:
            return found
        if set(scope.netns) <= set(found):
            self.denied = 0  # all that are in scope are known: another process's could only be one of them
        return tuple(inode for inode in found if inode in scope.netns)


def _inode(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
