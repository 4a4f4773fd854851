"""Opens files that a traced process's owner chose: below the process's own root, regular ones only, never waiting.

A path is resolved as the process itself would (openat2(2) with RESOLVE_IN_ROOT, Linux 5.6): a symbolic link, absolute
or not, never leads out of its root. Magic links (``/proc/PID/fd/3``) are not followed. What was found is looked at by
an O_PATH descriptor, by which nothing acts, and only then opened for reading: a FIFO, a device, or a file of a pseudo
file system, which may wait or lose what is read, is never opened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from functools import lru_cache
from typing import Any, Optional

_SYS_OPENAT2 = 437
"""The same number on all machines, as of all calls since Linux 5.1 (include/uapi/asm-generic/unistd.h)."""
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_MAX_LINKS = 40
"""MAXSYMLINKS of the kernel."""
_LARGEST_BYTES = 16 << 30
_PLACE = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PSEUDO = frozenset(
    (
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0xF97CFF8C,  # selinuxfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0xCAFE4A11,  # bpf
        0x6165676C,  # pstore
        0x62656570,  # configfs
        0xDE5E81E4,  # efivarfs
        0x42494E4D,  # binfmt_misc
        0x65735543,  # fusectl
        0x19800202,  # mqueue
    )
)
"""File systems (linux/magic.h) whose "regular" files are the kernel's own: to read one may wait, or consume."""


def open_below(root: int, path: str, *, follow_links: bool = True) -> Optional[int]:
    """Open the regular file ``path`` below the directory ``root`` (a descriptor); None if there is none to be read.

    ``follow_links`` is for the last component only.
    """
    try:
        place = _resolve(root, path, _PLACE | (0 if follow_links else os.O_NOFOLLOW))
    except (OSError, ValueError):
        return None
    return _open_place(place)


def exists_below(root: int, path: str) -> bool:
    """Whether there is anything at ``path`` below the directory ``root`` (a descriptor). Nothing is opened."""
    try:
        os.close(_resolve(root, path, _PLACE))
    except (OSError, ValueError):
        return False
    return bool(path)


def real_below(root: int, path: str) -> str:
    """Where ``path`` below the directory ``root`` (a descriptor) leads to, all links followed; empty if to nothing.

    As the kernel writes it for this process (d_path in fs/d_path.c). Nothing is opened.
    """
    try:
        place = _resolve(root, path, _PLACE)
    except (OSError, ValueError):
        return ""
    try:
        return os.readlink(f"/proc/self/fd/{place}")
    except OSError:
        return ""
    finally:
        os.close(place)


def open_linked(directory: int, name: str) -> Optional[int]:
    """Open the regular file that a magic link of ``/proc/PID`` leads to (``exe``, ``map_files/...``); None if none."""
    try:
        place = os.open(name, _PLACE, dir_fd=directory)
    except (OSError, ValueError):
        return None
    return _open_place(place)


def open_own(path: str, *, public: bool = False) -> Optional[int]:
    """Open the regular file ``path`` of this process's own root by the same rules; None if there is none to be read.

    ``public``: only if it is root's and everybody may read it, so that its contents are no secret.
    """
    try:
        root = os.open("/", _PLACE | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        found = open_below(root, path)
    finally:
        os.close(root)
    if found is not None and public:
        facts = os.fstat(found)
        if facts.st_uid != 0 or not facts.st_mode & stat.S_IROTH:
            os.close(found)
            return None
    return found


def _open_place(place: int) -> Optional[int]:
    """Open for reading what ``place`` (O_PATH, given away) stands for, if it is a file that only holds bytes."""
    try:
        facts = os.fstat(place)
        if not stat.S_ISREG(facts.st_mode) or not 0 < facts.st_size <= _LARGEST_BYTES:
            return None
        if _file_system(place) in _PSEUDO:
            return None
        return os.open(f"/proc/self/fd/{place}", _READ)
    except OSError:
        return None
    finally:
        os.close(place)


def _file_system(descriptor: int) -> int:
    """The magic number of the file system (struct statfs begins with it as a word)."""
    answer = ctypes.create_string_buffer(256)
    if _libc().fstatfs(descriptor, answer):
        raise OSError(ctypes.get_errno(), "fstatfs")
    return int(ctypes.c_ulong.from_buffer(answer).value)


def _resolve(root: int, path: str, flags: int) -> int:
    """Open ``path`` as if ``root`` were ``/``. Raises OSError."""
    how = struct.pack("<QQQ", flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a NUL in a path")
    found = _libc().syscall(_SYS_OPENAT2, root, name, how, len(how))
    if found >= 0:
        return int(found)
    reason = ctypes.get_errno()
    # EPERM: a seccomp filter that does not know the call (older container engines).
    if reason in (errno.ENOSYS, errno.EPERM):
        return walk(root, path, flags)
    raise OSError(reason, os.strerror(reason), path)


def walk(root: int, path: str, flags: int) -> int:
    """As openat2 with RESOLVE_IN_ROOT, a component at a time: no kernel look-up ever sees ``..`` or a link.

    The text of a magic link is taken as a path below ``root``, where it is harmless. Raises OSError.
    """
    rest, links, held = path.split("/")[::-1], 0, [os.dup(root)]
    try:
        while rest:
            name = rest.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(held) > 1:
                    os.close(held.pop())
                continue
            found = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=held[-1])
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                held.append(found)
                continue
            try:
                text = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            links += 1
            if links > _MAX_LINKS or (not any(rest) and flags & os.O_NOFOLLOW):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if text.startswith("/"):
                _close(held[1:])
                del held[1:]
            rest += text.split("/")[::-1]
        return held.pop()
    finally:
        _close(held)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _libc() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    library.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    return library
