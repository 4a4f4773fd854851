"""Tells what threads do now, without stopping them: whether they run, or which system call they wait in.

A waiting thread comes with a copy of its stack. Its registers come from a source of task samples
(tracer/kernel/tasks.py). Without a sample, ``/proc/PID/task/TID/syscall`` (proc(5)) gives the call, the stack pointer
and the program counter; the other registers are not known then.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Optional, Protocol

from tracer.host import syscalls
from tracer.host.opening import open_linked
from tracer.machine import calls
from tracer.machine.registers import (
    PT_REGS_ARGUMENTS,
    PT_REGS_OF_DWARF,
    PT_REGS_SYSCALL,
    REGISTER_COUNT,
    RETURN_ADDRESS,
    RSP,
)
from tracer.model.connection import Actor
from tracer.model.frame import BlackBox
from tracer.model.thread import TaskSample, ThreadNow, ThreadState

_STACK_BYTES, _DEEP_STACK_BYTES = 1 << 16, 1 << 18
"""How many bytes of a stack are copied. The second limit applies only if the end of the stack is known."""
_ATTEMPTS = 3
_TEXT_CHARACTERS = 4096
_AT_WORK_CPU_NS, _AT_WORK_NS = 1_500_000_000, 5_000_000_000
"""So long the threads of one process are looked through, for those that are inside a call on a socket.

CPU time here is enough for some 20,000 that wait for something else, or 5,000 with their stacks. The other one is for
workers that read slowly.
"""

_RUNNING = "it runs"
_WENT_ON = "it ran while its stack was copied"
_UNREADABLE = "its memory may not be read"
_OF_KERNEL = "it is a kernel worker"
_OTHER_BITS = "it runs 32-bit code"


class TaskSource(Protocol):
    """Gives samples of threads."""

    def read(self, directory: int) -> Optional[TaskSample]:
        """Sample the thread whose ``/proc/PID/task/TID`` is open as ``directory``; None if that is not possible."""


class _Glance(NamedTuple):
    """A thread at one moment. If two glances have the same ``mark`` (not None), it did not run in between."""

    comm: str
    state: ThreadState
    mark: object = None
    number: int = -1
    arguments: tuple[int, ...] = (0,) * len(PT_REGS_ARGUMENTS)
    registers: tuple[int, ...] = ()
    unknown: frozenset[int] = frozenset()
    ends: tuple[int, ...] = ()
    since_ns: Optional[int] = None
    note: Optional[str] = None


ReadMemory = Callable[[int, int, int], bytes]
"""Reads the memory of a process (pid, address, size): as many bytes as can be read, at most that many."""


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Read memory of another process here, where this may wait for a program that provides that memory."""
    with _opened(f"/proc/{pid}/mem", os.O_RDONLY) as memory:
        try:
            return os.pread(memory, size, address) if memory >= 0 else b""
        except (OSError, OverflowError):
            return b""


class ThreadsNow:
    """Looks at threads. Not thread-safe."""

    def __init__(self, source: Optional[TaskSource] = None, read: ReadMemory = read_memory) -> None:
        """``read`` is who reads the threads' memory, which any user may have made to wait for ever."""
        self._source, self._read = source, read
        self.left_out = 0
        """Threads, or their stacks, that there was no time for. Who begins another pass over processes sets it to 0."""

    def look(self, pid: int, tid: int) -> Optional[ThreadNow]:
        """This thread now, with its stack if it waits; None if it has ended or may not be read."""
        return self._look(_Process(pid, self._read), tid, lambda _: True)

    def look_all(self, pid: int, tids: Optional[Iterable[int]] = None) -> tuple[ThreadNow, ...]:
        """The threads ``tids`` of ``pid`` (None: all), in that order. Threads that have ended are left out."""
        return self._select(pid, tids, lambda _: True)

    def at_work_on(self, pid: int, fds: Collection[int]) -> tuple[ThreadNow, ...]:
        """The threads of ``pid`` that are inside a call (read, send, accept, ...) on one of its descriptors ``fds``.

        Threads that wait for events (poll, epoll_wait) do not count; see ``waiting_on``. That takes seconds at
        most; threads that no time was left for are counted in ``left_out``.
        """
        wanted, found = frozenset(fds), []
        process, tids = _Process(pid, self._read), tids_of(pid) if fds else []
        until_ns, cpu_until_ns = time.monotonic_ns() + _AT_WORK_NS, time.thread_time_ns() + _AT_WORK_CPU_NS
        for index, tid in enumerate(tids):
            if time.thread_time_ns() > cpu_until_ns or time.monotonic_ns() > until_ns:
                self.left_out += len(tids) - index
                break
            thread = self._look(process, tid, lambda one: not wanted.isdisjoint(one.fds), _works_on_socket)
            if thread is not None:
                found.append(thread)
        return tuple(found)

    def waiting_on(self, pid: int, fds: Collection[int]) -> tuple[ThreadNow, ...]:
        """All threads of ``pid`` that wait for one of its descriptors ``fds``.

        They are in a call on it, in poll or select for it, or in epoll_wait or io_uring_enter on it.
        """
        wanted = frozenset(fds)
        return self._select(pid, None, lambda one: not wanted.isdisjoint(one.fds)) if fds else ()

    def in_poll(self, pid: int, tids: Iterable[int], fds: Collection[int]) -> Iterator[ThreadNow]:
        """Those of the threads ``tids`` of ``pid`` that are inside poll or select for one of the descriptors ``fds``.

        One at a time: each comes with a copy of its stack, and there may be thousands.
        """
        process, wanted = _Process(pid, self._read), frozenset(fds)
        looks = (self._look(process, tid, lambda one: not wanted.isdisjoint(one.fds), _polls) for tid in tids)
        return (look for look in looks if look is not None)

    def _select(
        self, pid: int, tids: Optional[Iterable[int]], chosen: Callable[[ThreadNow], bool]
    ) -> tuple[ThreadNow, ...]:
        process = _Process(pid, self._read)
        looks = (self._look(process, tid, chosen) for tid in (tids_of(pid) if tids is None else tids))
        return tuple(look for look in looks if look is not None)

    def _look(
        self,
        process: _Process,
        tid: int,
        chosen: Callable[[ThreadNow], bool],
        may_be: Callable[[_Glance], bool] = lambda _: True,
    ) -> Optional[ThreadNow]:
        """The thread with its stack; None if it has ended, or ``may_be`` or ``chosen`` refuses it.

        ``may_be`` is asked before memory is read for the thread's descriptors, which are many in a poll(2).
        """
        with _opened(f"/proc/{process.pid}/task/{tid}") as directory:
            before = self._glance(process, directory)
            for _ in range(_ATTEMPTS):
                if before is None or not may_be(before):
                    return None
                thread = _described(process, tid, before)
                if not chosen(thread):
                    return None
                if before.mark is None:
                    return thread
                box = _box(process, tid, before)
                after = self._glance(process, directory)
                if after is not None and after.mark == before.mark:
                    return _with_box(thread, box)
                before = after
            return None if before is None else _described(process, tid, before._replace(note=_WENT_ON))

    def _glance(self, process: _Process, directory: int) -> Optional[_Glance]:
        if directory < 0:
            return None
        sample = self._source.read(directory) if self._source is not None else None
        if sample is not None:
            return _of_sample(sample)
        return _of_proc(directory) if process.is_64_bit else None


@dataclass(frozen=True)
class _Process:
    """A process while we look at its threads, and who reads its memory."""

    pid: int
    memory: ReadMemory

    @cached_property
    def is_64_bit(self) -> bool:
        """Whether its program is ELFCLASS64. 32-bit programs have other system call numbers."""
        with _opened(f"/proc/{self.pid}") as directory:
            program = open_linked(directory, "exe") if directory >= 0 else None
        if program is None:
            return False
        try:
            return os.pread(program, 5, 0) == b"\x7fELF\x02"
        except OSError:
            return False
        finally:
            os.close(program)

    def read(self, address: int, size: int) -> Optional[bytes]:
        """Exactly ``size`` bytes, or None."""
        data = self.read_up_to(address, size)
        return data if len(data) == size else None

    def read_up_to(self, address: int, size: int) -> bytes:
        """At most ``size`` bytes: as many as can be read."""
        return self.memory(self.pid, address, size)


def _of_sample(sample: TaskSample) -> _Glance:
    if sample.kernel:
        return _Glance(sample.comm, _state(sample), note=_OF_KERNEL)
    if not sample.is_64_bit:
        return _Glance(sample.comm, _state(sample), note=_OTHER_BITS)
    if sample.runnable or not sample.steady:
        return _Glance(sample.comm, ThreadState.RUNS, note=_RUNNING)
    number = sample.words[PT_REGS_SYSCALL]
    return _Glance(
        sample.comm,
        _state(sample),
        mark=sample.switches,
        number=number if number < 1 << 31 else -1,
        arguments=tuple(sample.words[at] for at in PT_REGS_ARGUMENTS),
        registers=tuple(sample.words[at] for at in PT_REGS_OF_DWARF),
        ends=(sample.thread_pointer, sample.stack_start),
        since_ns=sample.not_run_since_ns,
    )


def _state(sample: TaskSample) -> ThreadState:
    if sample.runnable:
        return ThreadState.RUNS
    return ThreadState.STOPPED if sample.stopped else ThreadState.WAITS


def _of_proc(directory: int) -> Optional[_Glance]:
    line, comm = _text("syscall", directory), _text("comm", directory)
    if line is None or comm is None:
        return None
    return parse_syscall(line, comm.rstrip("\n"))


def parse_syscall(line: str, comm: str) -> Optional[_Glance]:
    """Parse the text of ``/proc/PID/task/TID/syscall``; None if it has another form.

    The forms are "running", "NUMBER ARG*6 SP PC", and "-1 SP PC" outside of a call.
    """
    words = line.split()
    if words == ["running"]:
        return _Glance(comm, ThreadState.RUNS, note=_RUNNING)
    try:
        number, *values = [int(words[0]), *(int(word, 16) for word in words[1:])]
    except (ValueError, IndexError):
        return None
    if len(values) not in (2, 8) or (number < 0) != (len(values) == 2):
        return None
    known = {RSP: values[-2], RETURN_ADDRESS: values[-1]}
    if not known[RSP]:  # a kernel worker
        return _Glance(comm, ThreadState.WAITS, note=_OF_KERNEL)
    return _Glance(
        comm,
        ThreadState.WAITS,
        mark=line,
        number=number,
        arguments=tuple(values[:-2]) or (0,) * len(PT_REGS_ARGUMENTS),
        registers=tuple(known.get(number, 0) for number in range(REGISTER_COUNT)),
        unknown=frozenset(range(REGISTER_COUNT)) - known.keys(),
    )


def _works_on_socket(glance: _Glance) -> bool:
    return syscalls.works_on_socket(calls.name(glance.number))


def _polls(glance: _Glance) -> bool:
    return calls.name(glance.number) in syscalls.POLLS


def _described(process: _Process, tid: int, glance: _Glance) -> ThreadNow:
    meant = syscalls.purpose(glance.number, glance.arguments, process.read)
    return ThreadNow(
        Actor(process.pid, tid, glance.comm),
        glance.state,
        glance.number,
        calls.name(glance.number),
        meant.fds,
        meant.to_read,
        meant.to_write,
        glance.since_ns,
        None,
        glance.note,
        meant.to_end,
    )


def _with_box(thread: ThreadNow, box: Optional[BlackBox]) -> ThreadNow:
    values = {**vars(thread), "box": box, "note": _UNREADABLE if box is None else thread.note}
    return ThreadNow(**values)


def _box(process: _Process, tid: int, glance: _Glance) -> Optional[BlackBox]:
    sp = glance.registers[RSP]
    end = next((end for end in glance.ends if sp < end <= sp + _DEEP_STACK_BYTES), None)
    limit = _STACK_BYTES if end is None else max(_STACK_BYTES, end - sp)
    stack = process.read_up_to(sp, limit)
    if not stack:
        return None
    cut = end is None and len(stack) == limit
    return BlackBox(process.pid, tid, glance.registers, stack, cut, glance.unknown)


@contextlib.contextmanager
def _opened(path: str, flags: int = os.O_RDONLY | os.O_DIRECTORY) -> Iterator[int]:
    """A descriptor, -1 if it cannot be opened."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        descriptor = -1
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _text(name: str, directory: int) -> Optional[str]:
    try:
        with open(name, opener=lambda path, flags: os.open(path, flags, dir_fd=directory), errors="replace") as file:
            return file.read(_TEXT_CHARACTERS)
    except OSError:
        return None


def tids_of(pid: int) -> list[int]:
    """All threads of a process, in order; none if it has ended."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []
