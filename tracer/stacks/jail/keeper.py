"""Keeps the workers: one for each user id that targets have, few at a time, replaced when they die or take too long."""

from __future__ import annotations

import posixpath
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Callable, Optional, TypeVar

from tracer.errors import HostUnsupported
from tracer.host.processes import memory_of
from tracer.model.frame import BlackBox, Frame, Stack
from tracer.model.holder import Held, Limits, SocketAt
from tracer.stacks.jail import pace
from tracer.stacks.jail.child import Child, Lost, Unfit
from tracer.stacks.jail.door import Subject, Subjects, next_to_bar
from tracer.stacks.parsing import Part
from tracer.stacks.registry import heap_of, is_runtime
from tracer.stacks.target.process import Process
from tracer.stacks.walker import Common, Interpreter, Walked
from tracer.trail import Trail

_T = TypeVar("_T")
_log = Trail(__name__)

_MOST_WORKERS = 8
"""Of 30 MiB each. A user more than that, and one of them starts anew for each stack that is not known."""
_LARGE = 64 << 20
"""Bytes of a worker's own memory. One that has read much debug information is not far from that."""
_RESTING = 20 << 20
"""Bytes of one that has nothing to do: what it has read is of no use then. A new one has 12 MiB."""
_REST_CPU_S = 0.01
"""What one that has nothing to do takes of CPU between two calls."""
_MOST_TRIES = 16
"""How often one box is tried: each try bars another part of a file."""
_MOST_KILLED = 50
"""Workers for one user that others may kill, one after the other, before any has walked a box."""
_MOST_LOST = 12
"""Workers that one user's files may cost in a run. Then nothing of that user's processes is read any more."""
_PARDON_S = 3600.0
"""After so long one lost worker of each user is forgiven, in a run of months. Else a machine that is slow or short of
memory twelve times in a year would have no stacks any more."""
_MOST_HARMS = 1000
_HURRY_S = 0.6
"""How long requests may take, all that take long together, once the report was asked for. On a usual machine."""
_LONG_S = 0.02

NO_NUMPY = (
    "numpy is not installed, which looking at a heap needs: install python3-numpy, or closetrace[lineage] with pip"
)

_PARTS = {
    Part.OPENING: "all",
    Part.UNWIND: "the unwind data",
    Part.SYMBOLS: "the symbols",
    Part.SOURCE: "the debug information",
    Part.TABLE: "the function table",
    Part.DEBUG_FILE: "the debug file",
    Part.RUNTIME: "the runtime",
}


@dataclass(frozen=True)
class Harm:
    """What is not parsed any more: ``what`` (a file's path, or a process), which ``part`` of it, and why."""

    what: str
    part: str
    why: str


class Keeper:
    """Walks boxes in workers. Implements :class:`tracer.stacks.walker.Walker`.

    ``hurried`` says whether the report was asked for by a signal: then no worker is waited for.
    """

    def __init__(self, debuginfod: bool = False, hurried: Callable[[], bool] = lambda: False) -> None:
        """Start the first worker: it prepares itself while this process goes on."""
        self.unserved = 0
        """Boxes whose stack is a single frame because no worker could walk them."""
        self.harms: list[Harm] = []
        self.missing: dict[str, str] = {}
        """What could not be taken from the workers, by part, with the reason."""
        self._debuginfod, self._hurried = debuginfod, hurried
        self._subjects = Subjects()
        self._workers: OrderedDict[int, Child] = OrderedDict()
        self._spare: Optional[Child] = None
        self.refused = ""
        """Why nothing of any target is read (any more); empty if it is."""
        self._no_start = False
        """Whether that is for want of memory or processes, which may be there in a minute."""
        self._next_pardon = time.monotonic() + _PARDON_S
        self._lost: Counter[int] = Counter()
        self._killed: Counter[int] = Counter()
        self._past_cpu_s = 0.0
        self._cpu_before: dict[int, float] = {}
        self._slowness: Optional[float] = None
        self._hurried_s = 0.0
        try:
            self._spare = self._start()
        except Unfit as unfit:
            self.refused = str(unfit)
        self._filled: set[tuple[int, int]] = set()
        self._blameless: Counter[int] = Counter()

    def use_hurry(self, hurried: Callable[[], bool]) -> None:
        """``hurried`` says from now on whether the report was asked for."""
        self._hurried = hurried

    @property
    def hurried(self) -> bool:
        """Whether the report was asked for by a signal."""
        return self._hurried()

    def walk(self, process: Process, box: BlackBox, known: int = 0) -> Walked:
        """Walk ``box`` in the worker for the owner of ``process``."""
        walked = self._served(
            process, lambda child, number, barred: child.walk(process, number, barred, box, known, self._deadline)
        )
        if walked is not None:
            return walked
        self.unserved += 1
        return Walked(_single_frame(process, box, self.refused))

    def read(self, process: Process, address: int, size: int) -> bytes:
        """Read memory in the worker for the owner of ``process``."""
        place = (address, size)
        read = self._served(
            process, lambda child, number, barred: child.read(process, number, barred, place, self._deadline)
        )
        return read or b""

    def interpreter(self, process: Process) -> Optional[Interpreter]:
        """Find the interpreter in ``process``, in the worker for its owner."""
        return self._served(
            process, lambda child, number, barred: child.interpreter(process, number, barred, self._deadline)
        )

    def gather(self, process: Process) -> Optional[Common]:
        """Gather in the worker for the owner of ``process``."""
        return self._served(
            process, lambda child, number, barred: child.gather(process, number, barred, self._deadline)
        )

    def holders(
        self, process: Process, wanted: Sequence[SocketAt], limits: Limits, meanwhile: Callable[[], object]
    ) -> Held:
        """Who holds these sockets of ``process``, by a worker of its own that ends with the answer. Never raises.

        ``meanwhile`` is called again and again while that goes on, which may be for seconds.
        """
        if heap_of(process) is None:
            return Held()
        if self.refused:
            return Held(note=self.refused)
        if find_spec("numpy") is None:
            return Held(note=NO_NUMPY)
        number = self._subjects.number(process.identity, f"process {process.pid}")
        child: Optional[Child] = None

        def left_s() -> float:
            meanwhile()
            return self._deadline()

        try:
            child = self._start(heaps=True)
            child.ready(left_s)
            return child.holders(process, number, wanted, limits, left_s)
        except (Unfit, Lost) as error:
            return Held(note=str(error))
        finally:
            if child is not None:
                self._end(child)

    def _served(self, process: Process, request: Callable[[Child, int, list[int]], _T]) -> Optional[_T]:
        """What ``request`` gets from a worker that is not lost over it; None if there is none."""
        number = self._subjects.number(process.identity, f"process {process.pid}")
        subject = self._subjects.get(number)
        tries = 0
        while subject is not None and tries < _MOST_TRIES and self._may_read(process, subject):
            begun = time.monotonic()
            try:
                answer = request(self._worker_for(process), number, sorted(subject.barred))
                self._killed.pop(process.owner, None)
                return answer
            except Unfit as unfit:
                self.refused = str(unfit)
            except Lost as lost:
                tries += not lost.outside
                self._blame(process, number, lost)
            finally:
                took = time.monotonic() - begun
                if self._hurried() and took > _LONG_S:
                    self._hurried_s += took
        return None

    def _may_read(self, process: Process, subject: Subject) -> bool:
        if self.refused or Part.OPENING in subject.barred or self._deadline() <= 0:
            return False
        return self._has_credit(process.owner)

    def _has_credit(self, owner: int) -> bool:
        """Whether workers may still be started for this user's processes."""
        return self._lost[owner] < _MOST_LOST and self._killed[owner] < _MOST_KILLED

    def _deadline(self) -> float:
        """Seconds that a request may take as things are."""
        if not self._hurried():
            return float("inf")
        if self._slowness is None:  # no worker has told it yet
            self._slowness = pace.slowness()
        return _HURRY_S * self._slowness - self._hurried_s

    def _worker_for(self, process: Process) -> Child:
        owner = process.owner
        child = self._workers.get(owner)
        if child is None:
            child, self._spare = self._spare or self._start(), None
            self._workers[owner] = child
            self.missing.update(child.ready(self._deadline))
            self._slowness = child.slowness
            if len(self._workers) > _MOST_WORKERS:
                self._end(self._workers.popitem(last=False)[1])
        self._workers.move_to_end(owner)
        return child

    def _start(self, heaps: bool = False) -> Child:
        """Raises Unfit."""
        try:
            return Child(self._subjects, self._debuginfod, heaps)
        except OSError as error:
            self._no_start = True
            raise Unfit(f"no process can be started for it ({error.strerror})") from None

    def _blame(self, process: Process, number: int, lost: Lost) -> None:
        """Replace the worker, and never again parse what it was at."""
        self._end(self._workers.pop(process.owner))
        if lost.hurried:
            return
        if lost.outside:
            self._killed[process.owner] += 1
            if self._killed[process.owner] == _MOST_KILLED:
                self._give_up(process, f"{_MOST_KILLED} workers were killed one after the other")
            return
        if lost.full and (lost.number, lost.part) not in self._filled:
            self._filled.add((lost.number, lost.part))  # other files may have taken the memory: once more, alone
            return
        self._lost[process.owner] += 1
        if self._lost[process.owner] == _MOST_LOST:
            self._give_up(process, f"{_MOST_LOST} workers were lost")
        at = self._subjects.get(lost.number)
        part = lost.part
        if at is None or not part:
            # It was at nothing that has a name: not this process's fault at once.
            self._blameless[number] += 1
            if self._blameless[number] < 3:
                return
            at, part = self._subjects.get(number), Part.OPENING
        if at is None:
            return
        bar = next_to_bar(part, at.barred)
        if lost.waited and part == Part.RUNTIME:
            process.leave_alone()
            bar = Part.OPENING
        if bar in at.barred:
            bar = Part.OPENING
        at.barred.add(bar)
        self._harmed(Harm(at.name, _PARTS[Part(bar)], lost.why))
        _log.debug("worker replaced: %s of %s: %s", _PARTS[Part(bar)], at.name, lost.why)

    def _give_up(self, process: Process, why: str) -> None:
        self._harmed(Harm(_all_of(process.owner), "all", why))

    def _harmed(self, harm: Harm) -> None:
        self.harms.append(harm)
        del self.harms[:-_MOST_HARMS]

    def forget(self, process: Process) -> None:
        """Have the worker release what it holds of ``process``, at its next request."""
        child = self._workers.get(process.owner)
        if child is not None:
            child.forget(self._subjects.number(process.identity, ""))

    def close(self) -> None:
        """End all workers."""
        for child in self._all():
            self._end(child)
        self._workers.clear()
        self._spare = None

    def replace_large(self) -> None:
        """End the workers that hold much memory by now. For runs of months, to be called now and then.

        One that has done nothing since the last call may hold less. The next stack of their users has a new worker,
        which starts empty.
        """
        before, self._cpu_before = self._cpu_before, {}
        for owner, child in list(self._workers.items()):
            cpu_s = self._cpu_before[child.pid] = child.cpu_s()
            rests = cpu_s - before.get(child.pid, 0.0) <= _REST_CPU_S
            if memory_of(child.pid) > (_RESTING if rests else _LARGE):
                _log.debug("worker %d for uid %d replaced: it holds much memory", child.pid, owner)
                self._end(self._workers.pop(owner))

    def forgive(self) -> None:
        """Try again what was given up. For runs of months, to be called once a minute.

        Files that did harm stay barred: what is forgiven is that there were many.
        """
        now = time.monotonic()
        pardons = now >= self._next_pardon
        if pardons:
            self._next_pardon = now + _PARDON_S
            owners = {*self._lost, *self._killed}
            self._lost -= Counter(self._lost.keys())  # one each; those with none left go
            self._killed -= Counter(self._killed.keys())
            read = {_all_of(owner) for owner in owners if self._has_credit(owner)}
            self.harms = [harm for harm in self.harms if harm.what not in read]
        if pardons or self._no_start:
            self.refused, self._no_start = "", False

    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [child.pid for child in self._all()]

    def cpu_s(self) -> float:
        """CPU time that all workers used so far, in seconds."""
        return self._past_cpu_s + sum(child.cpu_s() for child in self._all())

    def _all(self) -> list[Child]:
        return [*self._workers.values(), *([self._spare] if self._spare is not None else [])]

    def _end(self, child: Child) -> None:
        self._past_cpu_s += child.cpu_s()
        child.close()

    def check(self) -> dict[str, str]:
        """What a worker cannot be kept from here, part by part, empty where all is well. Raises HostUnsupported."""
        child, self._spare = self._spare, None
        if child is None:
            raise HostUnsupported(self.refused)
        try:
            return child.ready(lambda: float("inf"))
        except Unfit as unfit:
            raise HostUnsupported(str(unfit)) from None
        except Lost as lost:
            raise HostUnsupported(f"no process to read stacks in: {lost.why}") from None
        finally:
            child.close()


def _all_of(owner: int) -> str:
    return f"all processes of uid {owner}"


def _single_frame(process: Process, box: BlackBox, refused: str) -> Stack:
    """The place of the call, as module and offset: maps tell it, and nothing of the file is read."""
    mapping = process.mapping(box.pc)
    note = f"nothing of it is read: {refused}" if refused else "it could not be read within the limits"
    if mapping is None:
        return Stack((), False, note)
    module = posixpath.basename(mapping.path) or "[anon]"
    offset = box.pc - mapping.start + mapping.offset
    return Stack((Frame(None, module, offset, internal=is_runtime(module), pc=box.pc),), False, note)
