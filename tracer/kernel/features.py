"""What this kernel offers, found by looking and trying, never by its version."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from tracer.kernel import syscalls
from tracer.kernel.btf import KIND_FUNC, Btf

BTF_PATH = "/sys/kernel/btf/vmlinux"

FUNCTIONS = (
    "tcp_set_state",
    "tcp_close",
    "tcp_shutdown",
    "inet_recvmsg",
    "inet6_recvmsg",
    "inet_sendmsg",
    "inet6_sendmsg",
    "inet_csk_accept",
    "tcp_v4_destroy_sock",
)
TRACEPOINTS = (
    "inet_sock_set_state",
    "sock_recv_length",
    "sock_send_length",
    "tcp_destroy_sock",
    "tcp_receive_reset",
    "tcp_send_reset",
    "sched_process_fork",
    "sched_process_exit",
)
HELPERS = ("task_pt_regs", "get_current_task_btf", "get_current_ancestor_cgroup_id")


@dataclass(frozen=True)
class Features:
    """A host as the attach plan sees it.

    ``functions`` maps kernel functions to their number of parameters, ``btf_ids`` to their
    BTF type numbers. ``trampolines`` and ``kprobes`` say that
    such programs attach here; otherwise ``refused`` has the kernel's own words by "fentry" or "kprobe".
    """

    release: str
    architecture: str
    btf: bool
    functions: dict[str, int] = field(default_factory=dict)
    btf_ids: dict[str, int] = field(default_factory=dict)
    tracepoints: frozenset[str] = frozenset()
    helpers: frozenset[str] = frozenset()
    trampolines: bool = False
    kprobes: frozenset[str] = frozenset()
    refused: dict[str, str] = field(default_factory=dict)


def _try_trampoline(btf: Btf) -> Optional[str]:
    """None if an fentry program attaches to tcp_set_state, else why not."""
    number = btf.find("tcp_set_state", KIND_FUNC)
    if number is None:
        return "tcp_set_state is not in the kernel's BTF"
    try:
        with syscalls.closing(syscalls.load_empty(syscalls.PROG_TRACING, number)) as program:
            os.close(syscalls.open_trampoline(program))
            return None
    except OSError as error:
        return f"the kernel refuses them ({error.strerror})"


def _try_kprobes(functions: Iterable[str]) -> tuple[frozenset[str], Optional[str]]:
    """Where kprobes can be placed; why nowhere, if so."""
    if not _has_kprobe_device():
        return frozenset(), "this kernel is built without kprobes"
    found, refused = set(), None
    for function in functions:
        try:
            syscalls.try_kprobe(function)
            found.add(function)
        except FileNotFoundError:  # this kernel has no such function
            continue
        except OSError as error:
            refused = f"the kernel refuses them ({error.strerror})"
    return frozenset(found), None if found else refused


def _has_kprobe_device() -> bool:
    return os.path.exists("/sys/bus/event_source/devices/kprobe/type")


def _try_tracepoints() -> frozenset[str]:
    """Without BTF: attach an empty program to each, and see."""
    found = set()
    try:
        program = syscalls.load_empty(syscalls.PROG_RAW_TRACEPOINT)
    except OSError:
        return frozenset()
    with syscalls.closing(program):
        for name in TRACEPOINTS:
            try:
                os.close(syscalls.open_raw_tracepoint(program, name))
                found.add(name)
            except OSError:
                continue
    return frozenset(found)


def discover(btf: Optional[Btf]) -> Features:
    """Look at this host; ``btf`` is None where the kernel has none. Needs the rights to load BPF for a full answer."""
    uname = os.uname()
    refused: dict[str, str] = {}
    kprobes, why = _try_kprobes(FUNCTIONS)
    if why is not None:
        refused["kprobe"] = why
    if btf is None:
        refused["fentry"] = f"there is no {BTF_PATH}"
        return Features(
            release=uname.release,
            architecture=uname.machine,
            btf=False,
            tracepoints=_try_tracepoints(),
            kprobes=kprobes,
            refused=refused,
        )
    why = _try_trampoline(btf)
    if why is not None:
        refused["fentry"] = why
    functions = {name: count for name in FUNCTIONS if (count := btf.parameters(name)) is not None}
    return Features(
        release=uname.release,
        architecture=uname.machine,
        btf=True,
        functions=functions,
        btf_ids={name: btf.find(name, KIND_FUNC) or 0 for name in functions},
        tracepoints=frozenset(name for name in TRACEPOINTS if btf.has_tracepoint(name)),
        helpers=frozenset(name for name in HELPERS if btf.has_helper(name)),
        trampolines=why is None,
        kprobes=kprobes,
        refused=refused,
    )
