"""Compiles, loads and attaches. The only module that imports bcc, and the only place where anything is attached."""

from __future__ import annotations

import contextlib
import ctypes as ct
import errno
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

from tracer.errors import HostUnsupported
from tracer.kernel import syscalls
from tracer.kernel.maps import Map
from tracer.kernel.plan import Attachment, Plan

# A blocked receive holds a kretprobe instance for as long as it waits; kernels with rethook allow 4096 at most.
_MAXACTIVE = 4096

_CFLAGS = ["-g0", "-w"]

# Without BTF the types come from the installed headers.
_HEADERS_INSTALLED = """
#include <linux/tcp.h>
#include <linux/sched.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <net/sock.h>
#include <net/inet_sock.h>
#include <net/net_namespace.h>
"""


def _bcc() -> Any:
    try:
        import bcc  # slow, and absent on hosts where doctor must still run
    except ImportError:
        raise HostUnsupported(
            "bcc's Python module is missing: install python3-bpfcc (apt) or python3-bcc (dnf), "
            f"for the python that runs closetrace ({sys.executable})"
        ) from None
    return bcc


@contextlib.contextmanager
def _quietly() -> Iterator[Callable[[], str]]:
    """Collect what the compiler writes to the descriptors of stdout and stderr."""
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(1), os.dup(2)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)

        def said() -> str:
            sink.seek(0)
            return sink.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])


@contextlib.contextmanager
def _compile_environment(tree: Optional[Path]) -> Iterator[None]:
    """bcc compiles in the current directory's light and by an environment variable: give it a safe one of each."""
    try:
        before: Optional[str] = os.getcwd()
    except OSError:  # the directory was removed
        before = None
    variable = os.environ.get("BCC_KERNEL_SOURCE")
    os.chdir(tree or "/")
    if tree is not None:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chdir(before or "/")
        if variable is None:
            os.environ.pop("BCC_KERNEL_SOURCE", None)
        else:
            os.environ["BCC_KERNEL_SOURCE"] = variable


def _first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if "error:" in line]
    return lines[0].strip() if lines else (text.strip().splitlines() or ["no reason given"])[-1]


def _raise_memlock() -> None:
    """Kernels before 5.11 charge maps to RLIMIT_MEMLOCK."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Program:
    """The compiled kernel side. Closing it detaches everything."""

    def __init__(self, text: str, tree: Optional[Path]) -> None:
        """Compile. ``tree`` is the header tree, None to use the installed kernel headers. Raises HostUnsupported."""
        bcc = _bcc()

        class Unattached(bcc.BPF):  # type: ignore[misc, name-defined]
            """bcc.BPF attaches by function name on construction; here the plan alone attaches."""

            def _trace_autoload(self) -> None:
                """Nothing."""

        _raise_memlock()
        self._links: list[int] = []
        self._programs: list[int] = []
        self._raw_tracepoint = bcc.BPF.RAW_TRACEPOINT
        self._lib = bcc.lib
        with _quietly() as said, _compile_environment(tree):
            try:
                self._bpf = Unattached(text=text if tree else _HEADERS_INSTALLED + text, cflags=_CFLAGS)
            except Exception:  # bcc raises nothing more exact
                raise HostUnsupported(self._compile_failure(said())) from None

    @staticmethod
    def _compile_failure(said: str) -> str:
        if "map" in said and ("Cannot allocate memory" in said or "could not open bpf map" in said):
            if "Operation not permitted" in said:
                return (
                    "the kernel refuses BPF maps: root (or CAP_BPF with CAP_PERFMON), an unlocked kernel and a "
                    "sufficient memlock limit (ulimit -l unlimited) are needed"
                )
            return "no memory for the BPF maps: give a smaller --memory"
        return f"the kernel-side program could not be compiled or its maps made: {_first_error(said)}"

    def _load(self, name: str, kind: int) -> Any:
        with _quietly() as said:
            try:
                return self._bpf.load_func(name.encode(), kind)
            except Exception as error:  # bcc raises nothing more exact
                detail = [line for line in said().splitlines() if line.strip()]
                reason = f"{error}: {detail[-2] if len(detail) > 1 else ''}".rstrip(": ")
                raise HostUnsupported(f"the kernel refused the program {name}: {reason}") from None

    def _load_trampoline(self, attachment: Attachment, btf_id: int) -> int:
        """Load an fentry or fexit program without bcc, whose names for them differ from release to release."""
        code = bytes(self._bpf.dump_func(attachment.program.encode()))
        exits = attachment.kind == "fexit"
        try:
            return syscalls.load_program(code, syscalls.PROG_TRACING, attachment.program, btf_id, exits=exits)
        except OSError as error:
            log = ct.create_string_buffer(1 << 20)
            with contextlib.suppress(OSError):
                os.close(
                    syscalls.load_program(code, syscalls.PROG_TRACING, attachment.program, btf_id, exits=exits, log=log)
                )
            said = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
            reason = said[-2] if len(said) > 1 else os.strerror(error.errno or 0)
            raise HostUnsupported(f"the kernel refused the program {attachment.program}: {reason}") from None

    def attach(self, plan: Plan) -> None:
        """Attach all that the plan chose; all or nothing. Raises HostUnsupported."""
        try:
            for attachment in plan.attachments():
                self._attach(attachment, plan.features.btf_ids)
        except BaseException:
            self.close()
            raise

    def _attach(self, attachment: Attachment, btf_ids: dict[str, int]) -> None:
        try:
            if attachment.kind == "raw_tp":
                function = self._load(attachment.program, self._raw_tracepoint)
                self._programs.append(function.fd)
                self._links.append(syscalls.open_raw_tracepoint(function.fd, attachment.target))
            elif attachment.kind in ("fentry", "fexit"):
                program = self._load_trampoline(attachment, btf_ids[attachment.target])
                self._links.append(program)
                self._programs.append(program)
                self._links.append(syscalls.open_trampoline(program))
            else:
                self._attach_kprobe(attachment)
        except OSError as error:
            raise HostUnsupported(f"cannot attach to {attachment.label}: {os.strerror(error.errno or 0)}") from None

    def _attach_kprobe(self, attachment: Attachment) -> None:
        event, function = attachment.target.encode(), attachment.program.encode()
        with _quietly() as said:
            try:
                if attachment.kind == "kprobe":
                    self._bpf.attach_kprobe(event=event, fn_name=function)
                    return
                try:
                    self._bpf.attach_kretprobe(event=event, fn_name=function, maxactive=_MAXACTIVE)
                except Exception:  # a larger maxactive goes through tracefs, which may not be mounted
                    self._bpf.attach_kretprobe(event=event, fn_name=function)
            except Exception:  # bcc raises nothing more exact
                raise HostUnsupported(f"cannot attach to {attachment.label}: {_first_error(said())}") from None

    def load_runnable(self, name: str) -> int:
        """Load a program that is only run on request (BPF_PROG_TEST_RUN); its descriptor."""
        return int(self._load(name, self._raw_tracepoint).fd)

    def missed_runs(self) -> int:
        """How often the kernel skipped one of the programs because it was running on that CPU already.

        Counted by the kernel since 5.12 (9ed9e9ba2337); older ones do not say.
        """
        total = 0
        for descriptor in self._programs:
            with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("recursion_misses:"))
        return total

    def map(self, name: str, key_size: int, value_size: int) -> Map:
        """A map by its name in bpf/maps.h."""
        descriptor = int(self._lib.bpf_table_fd(self._bpf.module, name.encode()))
        if descriptor < 0:
            raise OSError(errno.ENOENT, f"no map {name}")
        return Map(descriptor, key_size, value_size)

    def close(self) -> None:
        """Detach and free everything; harmless when repeated."""
        while self._links:
            os.close(self._links.pop())
        self._bpf.cleanup()
