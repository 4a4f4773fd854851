"""One worker as the root process holds it: started, asked, watched, ended."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import tracer
from tracer.host.processes import is_exiting
from tracer.model.frame import BlackBox, Stack
from tracer.model.holder import Held, Limits, SocketAt
from tracer.stacks.jail import forms, holders, pace
from tracer.stacks.jail.door import Door, Subjects
from tracer.stacks.jail.wire import Broken, Line, Message
from tracer.stacks.parsing import look
from tracer.stacks.target.process import Process
from tracer.stacks.walker import Common, Interpreter, Walked

_BUDGET_CPU_S = 2.0
"""CPU time of one request on a usual machine; see tracer/stacks/jail/pace.py for slower ones."""
_START_CPU_S = 60.0
"""CPU time of starting, which reads nothing of a target."""
_PATIENCE_S = 10.0
"""For a worker that waits: memory that another program provides may never come."""
_LONGEST_S = 60.0
"""For all of a request, whatever the worker does and asks for meanwhile. Downloads do not count."""
_MEMORY_PATIENCE_S = 2.0
"""For a read of memory alone."""
_FIRST_UID, _UIDS = 2_147_000_000, 10_000
_OUT_OF_MEMORY = 3
_DYING_S, _LONGEST_DYING_S = 0.05, 5.0
"""From the end of the connection to that of the process: where the kernel ends it already, it is only waited for."""
_KILLED_S = 0.5
"""From SIGKILL to the end of the process."""
# One thread: what numpy starts for linear algebra would take memory for nothing.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import tracer; del sys.path[0]; "
    "from tracer.stacks.jail.worker import main; main()"
)


class Unfit(Exception):
    """Workers cannot be had here, or are not confined enough; the text says why."""


class Lost(Exception):
    """The worker is of no use any more: ``why``, and what it was at.

    ``hurried``: it only took too long for now. ``outside``: somebody else killed it. ``full``: it met its memory limit,
    perhaps because of what it had read before. ``waited``: it did nothing, as what it reads does not come.
    """

    def __init__(
        self,
        why: str,
        number: int,
        part: int,
        *,
        hurried: bool = False,
        waited: bool = False,
        outside: bool = False,
        full: bool = False,
    ) -> None:
        super().__init__(why)
        self.why, self.number, self.part = why, number, part
        self.hurried, self.waited, self.outside, self.full = hurried, waited, outside, full


class Child:
    """A worker process. It starts at once and is used when it is :meth:`ready`."""

    _count = 0

    def __init__(self, subjects: Subjects, debuginfod: bool, heaps: bool = False) -> None:
        """``heaps``: it looks at heaps, which needs numpy, and not at stacks."""
        Child._count += 1
        self._uid = _FIRST_UID + (os.getpid() * 7 + Child._count) % _UIDS
        ours, theirs = socket.socketpair()
        page = os.memfd_create("closetrace-parsing", os.MFD_CLOEXEC)
        os.truncate(page, mmap.PAGESIZE)
        self._page = mmap.mmap(page, mmap.PAGESIZE)
        self._line = Line(ours)
        self._door = Door(self._line, subjects, debuginfod)
        self._stacks: dict[int, Stack] = {}
        self._frames: forms.Frames = {}
        """Those of ``_stacks``."""
        self._told = 0
        self._opened: set[int] = set()
        self._forgotten: list[int] = []
        self._ready = False
        self.slowness = 1.0
        """How many times slower than usual this machine is."""
        self._cpu_s = 0.0
        place = str(Path(tracer.__file__).resolve().parent.parent)
        words = [str(number) for number in (theirs.fileno(), page, self._uid, int(debuginfod), int(heaps))]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-IBc", _START, place, *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), page), env=_ENVIRONMENT, start_new_session=True, cwd="/",
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(page)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ready(self, left_s: Callable[[], float]) -> dict[str, str]:
        """Wait until it is confined; what could not be taken from it, with the reasons. Raises Lost, Unfit."""
        if self._ready:
            return {}
        watch = _Watch(self, left_s, _START_CPU_S)
        with self._believed():
            said = self._line.receive(watch.check).head
        if "unfit" in said:
            raise Unfit(str(said["unfit"]))
        confined = said.get("confined")
        slowness = said.get("slowness")
        if not isinstance(confined, dict) or not isinstance(slowness, (int, float)):
            raise self.lost("it said nonsense")
        self.slowness = pace.within(slowness)
        missing = {str(part): str(why) for part, why in confined.items() if why}
        if "capabilities" in missing or ("uid" in missing and "seccomp" in missing):
            parts = ", ".join(f"{part} ({why})" for part, why in missing.items())
            raise Unfit(f"what reads it cannot be confined here: it keeps {parts}")
        self._ready = True
        return missing

    def walk(
        self, process: Process, number: int, barred: list[int], box: BlackBox, known: int, left_s: Callable[[], float]
    ) -> Walked:
        """Have ``box`` walked, which is of ``process``, whose number is ``number``. Raises Lost.

        The rows of its first ``known`` steps are not told.
        """
        with self._believed():
            copied = box.stack + box.far if box.far else box.stack
            self._ask(process, number, barred, copied, box=forms.box_to_json(box), known=known)
            return self._walked(self._answer(process, left_s).head, box)

    def read(
        self, process: Process, number: int, barred: list[int], place: tuple[int, int], left_s: Callable[[], float]
    ) -> bytes:
        """Have memory of ``process`` read: at ``place`` (address, size), as much as can be. Raises Lost."""
        with self._believed():
            self._ask(process, number, barred, read=place)
            return self._answer(process, left_s, most=place[1], patience_s=_MEMORY_PATIENCE_S).data

    def interpreter(
        self, process: Process, number: int, barred: list[int], left_s: Callable[[], float]
    ) -> Optional[Interpreter]:
        """Have the interpreter in ``process`` found, whose number is ``number``. Raises Lost."""
        with self._believed():
            self._ask(process, number, barred, find=True)
            return forms.interpreter_from_json(self._answer(process, left_s).head)

    def gather(self, process: Process, number: int, barred: list[int], left_s: Callable[[], float]) -> Optional[Common]:
        """Have the languages look at ``process``, whose number is ``number``. Raises Lost."""
        with self._believed():
            self._ask(process, number, barred, find=False)
            return forms.common_from_json(self._answer(process, left_s).head)

    def holders(
        self, process: Process, number: int, wanted: Sequence[SocketAt], limits: Limits, left_s: Callable[[], float]
    ) -> Held:
        """Have it looked up in the heap of ``process`` who holds the ``wanted`` sockets. Raises Lost."""
        with self._believed():
            self._ask(process, number, [], **holders.asked(wanted, limits))
            said = self._answer(process, left_s, more_cpu_s=limits.seconds).head
            return holders.held_from_json(said.get("held"), wanted)

    @contextlib.contextmanager
    def _believed(self) -> Iterator[None]:
        """Raises Lost in place of Broken and Implausible."""
        try:
            yield
        except Broken as broken:
            raise self.lost(str(broken)) from None
        except forms.Implausible:
            raise self.lost("it said nonsense") from None

    def _answer(
        self,
        process: Process,
        left_s: Callable[[], float],
        *,
        most: int = 0,
        patience_s: float = _PATIENCE_S,
        more_cpu_s: float = 0.0,
    ) -> Message:
        """What it says in the end, with ``most`` bytes; what it asks for before that is given."""
        watch = _Watch(self, left_s, _BUDGET_CPU_S * self.slowness + more_cpu_s, patience_s)
        while True:
            message = self._line.receive(watch.check, most)
            if "ask" not in message.head:
                return message
            with watch.resting():
                self._door.serve(message.head, process, watch.hurry)

    def _ask(self, process: Process, number: int, barred: list[int], data: bytes = b"", **more: object) -> None:
        head: dict[str, Any] = {
            "process": number,
            "generation": process.maps_generation,
            "barred": barred,
            "forget": self._forgotten,
            **more,
        }
        descriptors: tuple[int, ...] = ()
        if number not in self._opened:
            head.update(pid=process.pid, start=process.identity.start)
            descriptors = (process.memory,) if process.memory is not None else ()
        self._line.send(head, data, descriptors)
        self._opened.add(number)
        self._forgotten = []

    def _walked(self, said: dict[str, Any], box: BlackBox) -> Walked:
        number = said.get("number")
        if not isinstance(number, int):
            raise forms.Implausible
        if "stack" in said:
            if number == 1:
                self._stacks.clear()
                self._frames.clear()
                self._told = 0
            told = self._stacks[number] = forms.stack_from_json(said["stack"], self._frames)
            self._told += forms.weight(told)
            if self._told > 2 * forms.MOST_TOLD:
                raise forms.Implausible
        stack = self._stacks.get(number)
        if stack is None:
            raise forms.Implausible
        rests = forms.rests_from_json(said["rests"], box) if "rests" in said else None
        return Walked(stack, rests, forms.rows_from_json(said["rows"], stack) if "rows" in said else ())

    def forget(self, number: int) -> None:
        """Have it release what it holds of a process, at the next request."""
        if number in self._opened:
            self._opened.discard(number)
            self._forgotten.append(number)

    def lost(self, why: str, *, hurried: bool = False, waited: bool = False) -> Lost:
        """Why it is given up, with what it was at. It ends by this."""
        number, part = look(self._page)
        code = self._code()
        if code == _OUT_OF_MEMORY:
            why = "it took more memory than it may"
        elif code is not None and code not in (0, -signal.SIGKILL):
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            why = f"reading it failed ({name})"
        outside, full = code == -signal.SIGKILL, code == _OUT_OF_MEMORY
        return Lost(why, number, part, hurried=hurried, waited=waited, outside=outside, full=full)

    def _code(self) -> Optional[int]:
        """How it ended by itself or by others' doing; None if it did not: then it is ended here."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_DYING_S)
        if is_exiting(self.pid):  # a busy machine: whoever killed it must not be taken for what it read
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_LONGEST_DYING_S)
        self._end()
        return None

    def _end(self) -> None:
        """Kill it. It is not waited for long: in a read of memory that never comes not even SIGKILL ends it."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(_KILLED_S)

    def close(self) -> None:
        """End it."""
        self._end()
        self._line.close()
        self._page.close()

    def cpu_s(self) -> float:
        """CPU time that it used, in seconds (the clock of another process: clock_getcpuclockid(3))."""
        with contextlib.suppress(OSError):
            self._cpu_s = time.clock_gettime(~self._process.pid << 3 | 2)
        return self._cpu_s


class _Watch:
    """The limits of one request."""

    def __init__(
        self, child: Child, left_s: Callable[[], float], budget_cpu_s: float, patience_s: float = _PATIENCE_S
    ) -> None:
        self._child, self._left_s = child, left_s
        self._budget_cpu_s, self._patience_s = budget_cpu_s, patience_s
        self._cpu_s = self._seen_cpu_s = child.cpu_s()
        self._begun = self._waits_since = time.monotonic()
        self._until = self._begun + _LONGEST_S * child.slowness

    def hurry(self) -> None:
        """Raises Lost if the report is asked for."""
        if time.monotonic() - self._begun > self._left_s():
            raise self._child.lost("the report was asked for", hurried=True)

    def check(self) -> None:
        """Raises Lost if it takes too long."""
        self.hurry()
        now, cpu_s = time.monotonic(), self._child.cpu_s()
        if cpu_s > self._seen_cpu_s:  # it works, however slowly: the machine may be busy
            self._seen_cpu_s, self._waits_since = cpu_s, now
        if cpu_s - self._cpu_s > self._budget_cpu_s:
            raise self._child.lost(f"it took more than {self._budget_cpu_s:.0f} s of CPU")
        if now > self._until:
            raise self._child.lost(f"it took more than {_LONGEST_S * self._child.slowness:.0f} s")
        if now - self._waits_since > self._patience_s:
            raise self._child.lost(f"it did not come within {self._patience_s:.0f} s", waited=True)

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """What is waited for is this process's own doing; if that is long, it is a download."""
        self.check()
        begun = time.monotonic()
        yield
        self._waits_since = now = time.monotonic()
        if now - begun > 1.0:
            self._until += now - begun
