"""Downloads a debug file by its build-id from the servers that DEBUGINFOD_URLS names, in a process of its own.

Run as a program it is that process: it becomes a user that has nothing but the cache, which is its working directory,
and prints the path of the file there (debuginfod_find_debuginfo(3)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from typing import Callable, Optional

_PATIENCE_S = 120.0
_SLICE_S = 0.05
_MOST_TEXT = 4096
_UID = 2_146_999_999
"""Nobody else has it."""
_CACHE = "/var/cache/closetrace"
_PR_SET_NO_NEW_PRIVS = 38


def find(build_id: bytes, waits: Callable[[], None] = lambda: None) -> Optional[int]:
    """Open the debug file with this build-id: a descriptor; None if no server has it, or none is named.

    ``waits`` is called again and again while it is asked for. What it raises ends that.
    """
    if not os.environ.get("DEBUGINFOD_URLS"):
        return None
    try:
        cache = _cache()
        path = _path(build_id, cache, waits)
        return _opened(cache, path) if path else None
    except OSError:
        return None


def _path(build_id: bytes, cache: str, waits: Callable[[], None]) -> str:
    """The path of the file below ``cache``; empty if there is none."""
    process = subprocess.Popen(
        [sys.executable, "-I", __file__, build_id.hex()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=cache,
        env={**os.environ, "DEBUGINFOD_CACHE_PATH": "."},
    )
    until = time.monotonic() + _PATIENCE_S
    with process:
        try:
            while time.monotonic() < until:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said, _ = process.communicate(timeout=_SLICE_S)
                    return os.fsdecode(said[:_MOST_TEXT]) if process.returncode == 0 else ""
                waits()
            return ""
        finally:
            process.kill()


def _cache() -> str:
    """The folder for downloads, which is the user's own who downloads. Raises OSError."""
    base = os.environ.get("DEBUGINFOD_CACHE_PATH") or _CACHE
    path = os.path.join(base, "debuginfod")
    os.makedirs(base, mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        if os.geteuid() == 0:
            os.chown(path, _UID, _UID)
    return path


def _opened(cache: str, path: str) -> Optional[int]:
    from tracer.host.opening import open_below

    directory = os.open(cache, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_below(directory, path)
    finally:
        os.close(directory)


def _main(build_id: bytes) -> int:
    try:
        library = ctypes.CDLL("libdebuginfod.so.1")
        _give_up_rights()
    except OSError:
        return 1
    library.debuginfod_begin.restype = ctypes.c_void_p
    library.debuginfod_find_debuginfo.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_void_p),
    ]
    path = ctypes.c_void_p()
    client = library.debuginfod_begin()
    if not client or library.debuginfod_find_debuginfo(client, build_id, len(build_id), ctypes.byref(path)) < 0:
        return 1
    os.write(1, ctypes.string_at(path.value or 0))
    return 0


def _give_up_rights() -> None:
    """Become a user that nobody else is. Raises OSError where that cannot be."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_UID, _UID, _UID)
        os.setresuid(_UID, _UID, _UID)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(_main(bytes.fromhex(sys.argv[1])))
