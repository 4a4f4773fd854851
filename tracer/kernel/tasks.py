"""Reads the registers of other threads without stopping them, with a BPF program that is run on request."""

from __future__ import annotations

import os
import shutil
import struct
import threading
import time
from pathlib import Path
from typing import Optional

from tracer.errors import HostUnsupported
from tracer.kernel import bpf
from tracer.kernel.compiler import compile_text
from tracer.kernel.features import BTF_PATH
from tracer.kernel.headers import header_tree, kept_hooks
from tracer.kernel.maps import Map
from tracer.kernel.objectcache import compiled
from tracer.kernel.objectcode import ObjectCode
from tracer.kernel.program import create, load
from tracer.kernel.source import standalone_text
from tracer.machine import calls
from tracer.machine.registers import PT_REGS_COUNT, PT_REGS_SYSCALL
from tracer.model.thread import TaskSample

_THREAD = struct.Struct(f"<{PT_REGS_COUNT}Q9Q6I16s")  # struct ct_thread (bpf/threads.bpf.c)
_ZERO = struct.pack("<I", 0)
_STOPPED = 0x4 | 0x8  # __TASK_STOPPED, __TASK_TRACED (linux/sched.h)
_PAUSE_S = 50e-6
_CLOCK_HOLDS_NS = 60_000_000_000
"""NTP may change the speed of CLOCK_MONOTONIC by 500 ppm: that is 30 ms in this time."""


class TaskReader:
    """Loads its program at the first read(). The first compilation takes some tenths of a second, then it is cached.

    Only one thread may use it at a time, because the answer has only one place.
    """

    def __init__(self) -> None:
        self.reason: Optional[str] = None
        """Why threads cannot be read on this host. None if they can, or if that was not tried yet."""
        self._descriptors: list[int] = []
        self._program = -1
        self._answer: Optional[Map] = None
        self._offset_ns: Optional[int] = None
        self._clock_set_ns = 0

    def read(self, directory: int) -> Optional[TaskSample]:
        """Read the thread whose ``/proc/PID/task/TID`` is open as descriptor ``directory``.

        None if the thread has ended, or if threads cannot be read here (then ``reason`` is set).
        """
        if not self._ready():
            return None
        if time.monotonic_ns() - self._clock_set_ns > _CLOCK_HOLDS_NS:
            self._set_clock()
        return self._sample(directory)

    def close(self) -> None:
        """Free the program and its map. It may be called again."""
        self._answer = None
        while self._descriptors:
            os.close(self._descriptors.pop())
        self.reason = self.reason or "closed"

    def _ready(self) -> bool:
        if self._answer is None and self.reason is None:
            try:
                self._open()
            except (HostUnsupported, OSError) as error:
                self.close()
                self.reason = str(error)
        return self._answer is not None

    def _open(self) -> None:
        code = _code()
        (spec,) = code.maps
        if spec.value_size != _THREAD.size:
            raise HostUnsupported("bpf/threads.bpf.c and tracer/kernel/tasks.py are of different versions")
        self._descriptors.append(create(spec, spec.entries))
        linked = code.linked("run_thread", self._descriptors, ())
        self._program = load(
            "run_thread",
            lambda log, level: bpf.load_program(
                linked, bpf.PROG_RAW_TRACEPOINT, "run_thread", exits=False, log=log, log_level=level
            ),
        )
        self._descriptors.append(self._program)
        self._answer = Map(self._descriptors[0], spec.key_size, spec.value_size)
        self._check()
        self._set_clock()

    def _check(self) -> None:
        """Check where registers are: read this thread, which is in bpf(2) at that moment."""
        with bpf.closing(_own_directory()) as directory:
            sample = self._sample(directory)
        if sample is None or sample.words[PT_REGS_SYSCALL] != calls.number("bpf"):
            raise HostUnsupported("this kernel keeps the registers of its threads in another place")

    def _set_clock(self) -> None:
        """Compare the scheduler's clock with CLOCK_MONOTONIC. A sleep makes the scheduler update its clock."""
        found = []
        self._clock_set_ns = time.monotonic_ns()
        with bpf.closing(_own_directory()) as directory:
            for _ in range(3):
                time.sleep(_PAUSE_S)
                words = self._run(directory)
                if words is not None and words[PT_REGS_COUNT + 5]:
                    found.append(words[PT_REGS_COUNT + 4] - words[PT_REGS_COUNT + 5])
        self._offset_ns = min(found, default=None)

    def _run(self, directory: int) -> Optional[tuple[int, ...]]:
        if self._answer is None or bpf.run_raw_tracepoint(self._program, (directory,)) != 1:
            return None
        value = self._answer.lookup(_ZERO)
        return None if value is None else _THREAD.unpack(value)

    def _sample(self, directory: int) -> Optional[TaskSample]:
        words = self._run(directory)
        if words is None:
            return None
        registers, rest = words[:PT_REGS_COUNT], words[PT_REGS_COUNT:]
        thread_pointer, stack_start, switches, switches_after, _, _, ran_ns, clock_ns, clock_task_ns = rest[:9]
        on_cpu, state, kernel, is_64_bit = rest[11:15]
        comm: bytes = rest[15]  # type: ignore[assignment]
        return TaskSample(
            comm=comm.split(b"\0", 1)[0].decode(errors="replace"),
            words=registers,
            switches=switches,
            steady=not on_cpu and switches == switches_after,
            runnable=bool(on_cpu) or state == 0,
            stopped=bool(state & _STOPPED),
            kernel=bool(kernel),
            is_64_bit=bool(is_64_bit),
            thread_pointer=thread_pointer,
            stack_start=stack_start,
            not_run_since_ns=self._monotonic_ns(ran_ns, clock_ns - clock_task_ns),
        )

    def _monotonic_ns(self, ran_ns: int, left_out_ns: int) -> Optional[int]:
        """When the thread last ran (CLOCK_MONOTONIC, ns), never too early.

        ``ran_ns`` is from the scheduler's clock that leaves out interrupts and stolen time. ``left_out_ns`` is all that
        it left out until now, which is at least what it had left out when the thread ran.
        """
        if not ran_ns or self._offset_ns is None:
            return None
        return min(ran_ns + left_out_ns + self._offset_ns, time.monotonic_ns())


def _own_directory() -> int:
    return os.open(f"/proc/self/task/{threading.get_native_id()}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _code() -> ObjectCode:
    if not os.path.exists(BTF_PATH):
        raise HostUnsupported(f"this kernel has no {BTF_PATH}, which tells where a thread's registers are")
    tree, remove = header_tree()
    try:
        return compiled(standalone_text("threads.bpf.c", _macros(tree)), tree, compile_text)
    finally:
        if remove is not None:
            shutil.rmtree(remove, ignore_errors=True)


def _macros(tree: Path) -> dict[str, str]:
    whole = {"task_pt_regs", "get_current_task_btf"} <= set(kept_hooks(tree).helpers)
    return {"CT_HAVE_TASK_PT_REGS": "1"} if whole else {}
