"""What this kernel offers. It is found by looking and trying, never by the kernel's version."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from tracer.kernel import bpf
from tracer.kernel.hooks import CAST, CAST_TO, FUNCTIONS, TRACEPOINTS, Hooks
from tracer.trail import Took, Trail

_log = Trail(__name__)

BTF_PATH = "/sys/kernel/btf/vmlinux"


@dataclass(frozen=True)
class Features:
    """What the attach plan needs to know of a host.

    ``functions`` maps names of kernel functions to their number of parameters, ``btf_ids`` maps them to their BTF type
    numbers. ``casts``: programs may call CAST. ``trampolines``: fentry and fexit programs attach here. ``kprobes``: the
    functions where a kprobe can be placed. If there are none, ``refused`` gives the reason under "fentry" or "kprobe".
    """

    release: str
    functions: dict[str, int] = field(default_factory=dict)
    btf_ids: dict[str, int] = field(default_factory=dict)
    tracepoints: frozenset[str] = frozenset()
    helpers: frozenset[str] = frozenset()
    casts: bool = False
    trampolines: bool = False
    kprobes: frozenset[str] = frozenset()
    refused: dict[str, str] = field(default_factory=dict)


def _try_trampoline(hooks: Hooks) -> Optional[str]:
    """None if an fentry program attaches to tcp_set_state, else why not."""
    number = hooks.btf_ids.get("tcp_set_state")
    if number is None:
        return "tcp_set_state is not in the kernel's BTF"
    try:
        with bpf.closing(bpf.load_empty(bpf.PROG_TRACING, number)) as program:
            os.close(bpf.open_trampoline(program))
            return None
    except OSError as error:
        return f"the kernel refuses them ({error.strerror})"


def _may_cast(hooks: Hooks) -> bool:
    """Whether programs may call CAST: it needs the JIT compiler, too."""
    if CAST not in hooks.btf_ids:
        return False
    try:
        bpf.try_cast(hooks.btf_ids[CAST], hooks.btf_ids[CAST_TO])
        return True
    except OSError:
        return False


def _try_kprobes(functions: Iterable[str]) -> tuple[frozenset[str], Optional[str]]:
    """The functions where kprobes can be placed. If there are none, also the reason."""
    if not _has_kprobe_device():
        return frozenset(), "this kernel is built without kprobes"
    found, refused = set(), None
    for function in functions:
        try:
            bpf.try_kprobe(function)
            found.add(function)
        except FileNotFoundError:  # this kernel has no such function
            continue
        except OSError as error:
            refused = f"the kernel refuses them ({error.strerror})"
    return frozenset(found), None if found else refused


def _has_kprobe_device() -> bool:
    return os.path.exists("/sys/bus/event_source/devices/kprobe/type")


def _try_tracepoints() -> frozenset[str]:
    """Find the tracepoints without BTF: try to attach an empty program to each."""
    found = set()
    try:
        program = bpf.load_empty(bpf.PROG_RAW_TRACEPOINT)
    except OSError:
        return frozenset()
    with bpf.closing(program):
        for name in TRACEPOINTS:
            try:
                os.close(bpf.open_raw_tracepoint(program, name))
                found.add(name)
            except OSError:
                continue
    return frozenset(found)


def discover(hooks: Optional[Hooks]) -> Features:
    """Find this host's features. ``hooks`` is None if the kernel has no BTF.

    The answer is complete only if this process may load BPF programs.
    """
    took = Took()
    found = _discover(hooks)
    _log.debug(
        "kernel probed for trampolines (%s), kprobes (%d of %d places), tracepoints (%d of %d) in %s",
        "yes" if found.trampolines else found.refused.get("fentry", "no"),
        len(found.kprobes),
        len(FUNCTIONS),
        len(found.tracepoints),
        len(TRACEPOINTS),
        took,
    )
    return found


def _discover(hooks: Optional[Hooks]) -> Features:
    release = os.uname().release
    refused: dict[str, str] = {}
    kprobes, why = _try_kprobes(FUNCTIONS)
    if why is not None:
        refused["kprobe"] = why
    if hooks is None:
        refused["fentry"] = f"there is no {BTF_PATH}"
        return Features(
            release=release,
            tracepoints=_try_tracepoints(),
            kprobes=kprobes,
            refused=refused,
        )
    why = _try_trampoline(hooks)
    if why is not None:
        refused["fentry"] = why
    return Features(
        release=release,
        functions=hooks.functions,
        btf_ids=hooks.btf_ids,
        tracepoints=frozenset(hooks.tracepoints),
        helpers=frozenset(hooks.helpers),
        casts=_may_cast(hooks),
        trampolines=why is None,
        kprobes=kprobes,
        refused=refused,
    )
