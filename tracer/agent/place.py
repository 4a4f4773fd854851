"""Where an agent listens: a unix socket that only root can put another one in the place of, for one agent."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
from typing import Optional

from tracer.errors import UsageError

_BACKLOG = 128
_LONGEST = 107
"""Of sun_path in unix(7), without the zero at its end."""
_MOST_LINKS = 40  # as many as the kernel follows (MAXSYMLINKS)


class Place:
    """A place for a socket at ``path``, for root and for ``group`` (a name, "" for none). Raises UsageError.

    A lock on a file beside it is held from the beginning: of two agents that start at the same time one gets it. Who
    connects before :meth:`listen` finds nobody.
    """

    def __init__(self, path: str, group: str) -> None:
        self.gid = _gid(group)
        if not path:
            raise UsageError("--socket is empty: give a path")
        self._path = os.path.abspath(path)
        if len(os.fsencode(self._path)) > _LONGEST:
            raise UsageError(f"--socket {path}: a socket's path has at most {_LONGEST} bytes: choose a shorter one")
        try:
            self._lock = self._locked(path)
        except (OSError, ValueError) as error:
            folder = os.path.dirname(self._path)
            raise UsageError(f"--socket {path}: {folder}: {getattr(error, 'strerror', None) or error}") from None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._inode = 0

    def _locked(self, path: str) -> int:
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.mkdir(os.path.dirname(self._path), 0o755)
        require_safe(self._path)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
                raise UsageError(f"--socket {path}: there is a file that is no socket")
        lock = _lock(f"{self._path}.lock")
        if lock is None or _answers(self._path):
            if lock is not None:
                os.close(lock)
            raise UsageError(f"--socket {path}: another agent listens there")
        return lock

    def listen(self) -> None:
        """Let them connect from now on. Raises UsageError."""
        before = os.umask(0o177)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self.socket.bind(self._path)
            self._inode = os.stat(self._path).st_ino
            self._own(self.gid)
            self.socket.listen(_BACKLOG)
        except OSError as error:
            raise UsageError(f"--socket {self._path}: {error.strerror or error}") from None
        finally:
            os.umask(before)

    def _own(self, gid: Optional[int]) -> None:
        """Let root connect, and the group. In this order nobody else can meanwhile."""
        os.chmod(self._path, 0o600)
        os.chown(self._path, -1, gid if gid is not None else os.getegid())
        if gid is not None:
            os.chmod(self._path, 0o660)

    def give_to(self, group: str) -> None:
        """From now on this group may connect in place of the one before. Raises UsageError."""
        gid = _gid(group)
        try:
            self._own(gid)
        except OSError as error:
            raise UsageError(f"--group {group}: {self._path}: {error.strerror}") from None
        self.gid = gid

    def close(self) -> None:
        """Stop to listen, and remove the socket, if it is still this one. It may be called again."""
        if self._lock < 0:
            return
        self.socket.close()
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        # While the lock is held: who has opened the file meanwhile sees that it is not there any more.
        with contextlib.suppress(OSError):
            os.unlink(f"{self._path}.lock")
        os.close(self._lock)
        self._lock = -1


def _gid(group: str) -> Optional[int]:
    if not group:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UsageError(f"--group {group}: there is no such group") from None


def _lock(path: str) -> Optional[int]:
    """A descriptor of the file, which is locked; None if another process has the lock. Raises OSError."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.fstat(lock).st_uid not in (0, os.geteuid()):
            os.close(lock)
            raise PermissionError(errno.EPERM, f"{path} is another user's")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)  # who had it before has removed it


def require_safe(path: str) -> None:
    """Raises UsageError unless nobody but root and this user can put anything in the place of ``path``; OSError.

    ``path`` is absolute. Each folder on the way counts, also where symbolic links lead through.
    """
    left, at, links = [part for part in path.split("/") if part], "/", 0
    while left:
        _require_ours(path, at)
        part = left.pop(0)
        if part == "..":
            at = os.path.dirname(at)
            continue
        step = os.path.join(at, part)
        found = _look(step) if part != "." else None
        if found is not None and stat.S_ISLNK(found.st_mode) and left:
            links += 1
            if links > _MOST_LINKS or found.st_uid not in (0, os.geteuid()):
                raise UsageError(f"--socket {path}: {step} is a link of another user's: choose another folder")
            target = os.readlink(step)
            left = [part for part in target.split("/") if part] + left
            at = "/" if target.startswith("/") else at
        elif found is not None and left:
            at = step


def _look(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _require_ours(path: str, folder: str) -> None:
    found = os.stat(folder)
    sticky_is_safe = bool(found.st_mode & stat.S_ISVTX)
    if found.st_uid not in (0, os.geteuid()) or (found.st_mode & 0o022 and not sticky_is_safe):
        raise UsageError(f"--socket {path}: {folder} can be written by others than root: choose another folder")


def _answers(path: str) -> bool:
    """Whether somebody listens at ``path``: a socket that an agent left when it was killed is in nobody's use."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(1.0)
        try:
            line.connect(path)
        except (BlockingIOError, TimeoutError):
            return True
        except OSError:
            return False
        return True
