"""Which host this is, and what it allows a tracer to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from tracer.model.connection import Host

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""PROC_PID_INIT_INO (include/linux/proc_ns.h): the inode of the first PID namespace. BPF sees its process numbers."""


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
