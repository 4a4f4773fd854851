"""Network namespaces by inode number, and how to get into each: through a process that lives in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Optional


class Namespaces:
    """Finds ``/proc/PID/ns/net`` paths by namespace inode; looks again when asked for an unknown one."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}

    def _look(self) -> None:
        for name in os.listdir("/proc"):
            if name.isdigit():
                self.note(f"/proc/{name}/ns/net")
        with contextlib.suppress(OSError):
            for name in os.listdir("/run/netns"):  # namespaces that live by a bind mount (ip-netns(8))
                self.note(f"/run/netns/{name}")

    def note(self, path: str) -> Optional[int]:
        """Remember a path; its inode number, None if there is nothing."""
        try:
            inode = os.stat(path).st_ino
        except OSError:
            return None
        self._paths.setdefault(inode, path)
        return inode

    def path(self, inode: int) -> Optional[str]:
        """A path into the namespace; None for this process's own, or one that no process is in any more."""
        own = self.note("/proc/self/ns/net")
        if inode == own:
            return None
        known = self._paths.get(inode)
        if known is None or self.note(known) != inode:
            self._paths.pop(inode, None)
            self._look()
        return self._paths.get(inode)

    def all(self, pids: Iterable[int] = ()) -> tuple[int, ...]:
        """The namespaces of these processes; without any, of all processes."""
        chosen = [self.note(f"/proc/{pid}/ns/net") for pid in pids]
        if not chosen:
            self._look()
            self.note("/proc/self/ns/net")
            return tuple(self._paths)
        return tuple(dict.fromkeys(inode for inode in chosen if inode is not None))
