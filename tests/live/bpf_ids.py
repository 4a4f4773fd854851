"""Asks the kernel by id whether the BPF objects of a process still exist after its end."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import struct
from pathlib import Path

_SYS_BPF = 321  # x86-64
# enum bpf_cmd, include/uapi/linux/bpf.h
_GET_FD_BY_ID = {"prog": 13, "map": 14, "link": 30}
_LIBC = ctypes.CDLL(None, use_errno=True)


def loaded_by(pid: int) -> set[tuple[str, int]]:
    """The programs, maps and links that a process has descriptors of, from /proc/PID/fdinfo (proc(5))."""
    found = set()
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            ids = re.findall(r"^(prog|map|link)_id:\s*(\d+)", path.read_text(), re.M)
            found |= {(kind, int(number)) for kind, number in ids}
    return found


def still_there(objects: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those that the kernel can still open by id (BPF_*_GET_FD_BY_ID)."""
    return {(kind, number) for kind, number in objects if _exists(kind, number)}


def _exists(kind: str, number: int) -> bool:
    attributes = ctypes.create_string_buffer(struct.pack("<III", number, 0, 0), 128)
    fd = _LIBC.syscall(_SYS_BPF, _GET_FD_BY_ID[kind], attributes, 12)
    if fd >= 0:
        os.close(fd)
        return True
    code = ctypes.get_errno()
    assert code == errno.ENOENT, os.strerror(code)
    return False
