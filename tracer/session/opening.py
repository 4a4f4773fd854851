"""Opens a recorder for a request: checks rights, then headers, features, plan and compilation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from tracer.errors import HostUnsupported
from tracer.flight.recorder import Recorder
from tracer.host.identity import in_first_pid_namespace, lockdown, monotonic_offset_s
from tracer.kernel import bpf
from tracer.kernel.compiler import compile_text
from tracer.kernel.features import BTF_PATH, Features, discover
from tracer.kernel.headers import header_tree, installed_headers, kept_hooks
from tracer.kernel.hooks import read_hooks
from tracer.kernel.objectcache import compiled
from tracer.kernel.objectcode import ObjectCode
from tracer.kernel.plan import Plan, make_plan
from tracer.kernel.program import Program
from tracer.kernel.source import Sizes, Wanted, language_text, parameters, program_text
from tracer.machine.macros import machine_macros
from tracer.model.scope import Scope
from tracer.trail import Trail

_log = Trail(__name__)


@dataclass(frozen=True)
class Opened:
    """A loaded recorder, and the plan to attach it by."""

    recorder: Recorder
    plan: Plan


def require_rights() -> None:
    """Check that this process may load tracing programs. Raises HostUnsupported with the reason and what to do."""
    if lockdown() == "confidentiality":
        raise HostUnsupported(
            "kernel lockdown is in confidentiality mode, which forbids BPF to read kernel memory: "
            "boot with lockdown=integrity or without lockdown"
        )
    if not in_first_pid_namespace():
        raise HostUnsupported(
            "closetrace runs in a PID namespace of its own, and BPF sees other process numbers. Run it on the host, "
            "or in a container that shares the host's PID namespace (docker run --pid=host, hostPID: true)"
        )
    if monotonic_offset_s():
        raise HostUnsupported(
            "this is a time namespace of its own, whose monotonic clock is not the kernel's, so all times would be "
            "wrong: run it in the first one (nsenter --time=/proc/1/ns/time closetrace ..., as root on the host)"
        )
    try:
        os.close(bpf.load_empty(bpf.PROG_RAW_TRACEPOINT))
    except OSError as error:
        if os.geteuid() != 0:
            raise HostUnsupported(
                "tracing needs root (CAP_BPF, CAP_PERFMON; CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN to "
                "read processes and namespaces): run it with sudo"
            ) from None
        raise HostUnsupported(
            f"the kernel refuses BPF programs although this is root ({error.strerror}). Possible causes: a container "
            "without CAP_SYS_ADMIN or CAP_BPF, a seccomp filter, or a kernel without CONFIG_BPF_SYSCALL"
        ) from None


def look() -> Features:
    """The host's features, from its BTF if it has any."""
    machine_macros()
    return discover(read_hooks() if os.path.exists(BTF_PATH) else None)


def _require_headers() -> None:
    if installed_headers() is None:
        raise HostUnsupported(
            f"this kernel has no {BTF_PATH} and its headers are not installed: "
            f"install linux-headers-{os.uname().release} (apt) or kernel-devel (dnf)"
        )


Compile = Callable[[str, Optional[Path]], ObjectCode]


def open_recorder(
    scope: Scope, sizes: Sizes, wanted: Wanted, probes: str = "auto", compile_code: Compile = compile_text
) -> Opened:
    """Compile, by ``compile_code``, and load. The caller seeds the scope, then attaches with ``recorder.start(plan)``.

    Raises HostUnsupported with the reason.
    """
    require_rights()
    machine_macros()
    tree, remove = header_tree() if os.path.exists(BTF_PATH) else (None, None)
    try:
        features = discover(kept_hooks(tree) if tree is not None else None)
        plan = make_plan(features, probes, scope)
        for probe in plan.probes():
            _log.debug("hooks of family %s: %s", probe.family, probe.way or f"none ({probe.reason or probe.cost})")
        if tree is None:
            _require_headers()
        code = compiled(program_text(plan, scope, sizes, wanted), tree, compile_code)
    finally:
        if remove is not None:
            import shutil

            shutil.rmtree(remove, ignore_errors=True)
    program = Program(code, plan, sizes.entries(), parameters(scope, sizes, wanted))
    try:
        recorder = Recorder(program, sizes, wanted, scope, execs=plan.sees_execs)
        return Opened(recorder, plan)
    except BaseException:
        program.close()
        raise


def load_language(
    recorder: Recorder, plan: Plan, sizes: Sizes, number: int, source: str, compile_code: Compile = compile_text
) -> None:
    """Compile and load the program that tells the frames of a language's interpreters. Raises HostUnsupported."""
    tree, remove = header_tree() if os.path.exists(BTF_PATH) else (None, None)
    try:
        code = compiled(language_text(source, plan, sizes), tree, compile_code)
    finally:
        if remove is not None:
            import shutil

            shutil.rmtree(remove, ignore_errors=True)
    recorder.load_language(number, code)
