"""Asks the kernel by id about the BPF objects of a process: whether they exist after its end, what programs call."""

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
_OBJ_GET_INFO_BY_FD = 15
_CALL = 0x85  # BPF_JMP | BPF_CALL
_MOST_CODE = 1 << 20
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


def calls_in(number: int) -> list[str]:
    """The kernel functions that a program calls, from its code as the verifier left it (xlated_prog_insns).

    A helper's call holds the distance from __bpf_call_base.
    """
    lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    names = {int(address, 16): name for address, _, name, *_ in lines}
    base = next(address for address, name in names.items() if name == "__bpf_call_base")
    return [names.get(base + distance, hex(distance)) for distance in _distances(number)]


def _distances(number: int) -> list[int]:
    fd = _open("prog", number)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    code = ctypes.create_string_buffer(_MOST_CODE)
    # struct bpf_prog_info: xlated_prog_len at 20, xlated_prog_insns at 32
    info = ctypes.create_string_buffer(struct.pack("<20xII4xQ", _MOST_CODE, 0, ctypes.addressof(code)), 128)
    attributes = ctypes.create_string_buffer(struct.pack("<IIQ", fd, len(info), ctypes.addressof(info)), 128)
    done = _LIBC.syscall(_SYS_BPF, _OBJ_GET_INFO_BY_FD, attributes, 16)
    os.close(fd)
    assert done == 0, os.strerror(ctypes.get_errno())
    (length,) = struct.unpack_from("<I", info, 20)
    return [imm for op, _, _, imm in struct.iter_unpack("<BBhi", code.raw[:length]) if op == _CALL]


def _open(kind: str, number: int) -> int:
    attributes = ctypes.create_string_buffer(struct.pack("<III", number, 0, 0), 128)
    return int(_LIBC.syscall(_SYS_BPF, _GET_FD_BY_ID[kind], attributes, 12))


def _exists(kind: str, number: int) -> bool:
    fd = _open(kind, number)
    if fd >= 0:
        os.close(fd)
        return True
    code = ctypes.get_errno()
    assert code == errno.ENOENT, os.strerror(code)
    return False
