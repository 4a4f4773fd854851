"""Which host this is, and what it allows a tracer to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from tracer.model.connection import Host

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""PROC_PID_INIT_INO (include/linux/proc_ns.h): the inode of the first PID namespace. BPF sees its process numbers."""

_FIRST_TIME_NAMESPACE = 0xEFFFFFFA
"""PROC_TIME_INIT_INO: the inode of the first time namespace, whose clocks the kernel itself uses."""


def this_host() -> Host:
    """Name, kernel release and machine of this host."""
    uname = os.uname()
    return Host(uname.nodename, uname.release, uname.machine)


def lockdown() -> Optional[str]:
    """The kernel's lockdown mode (kernel_lockdown(7)); None if it is off or the kernel does not have it."""
    try:
        modes = _LOCKDOWN.read_text(encoding="ascii").split()
    except OSError:
        return None
    active = next((mode[1:-1] for mode in modes if mode.startswith("[")), "none")
    return None if active == "none" else active


def in_first_pid_namespace() -> bool:
    """Whether this process sees the same process numbers as BPF programs."""
    return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE


def monotonic_offset_s() -> int:
    """By how many seconds CLOCK_MONOTONIC of this process is ahead of the kernel's own (time_namespaces(7)).

    0 in the first time namespace, and on kernels that have none (before Linux 5.6).
    """
    try:
        if os.stat("/proc/self/ns/time").st_ino == _FIRST_TIME_NAMESPACE:
            return 0
        # The file tells of the namespace for children, which is this process's own after its exec.
        rows = Path("/proc/self/timens_offsets").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [row.split() for row in rows]
    return next((int(row[1]) for row in found if len(row) == 3 and row[0] in ("monotonic", "1")), 0)
