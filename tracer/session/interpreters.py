"""Tells the kernel side of the interpreters in the processes that it sees, and loads their languages' programs."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Optional

from tracer.errors import HostUnsupported
from tracer.host.processes import pids, process_info
from tracer.host.programs import executable_of
from tracer.model.connection import Probe
from tracer.session.attached import Attached
from tracer.session.opening import load_language
from tracer.session.stopping import Stop
from tracer.stacks.registry import all_languages, interprets, language, may_interpret
from tracer.stacks.service import StackService
from tracer.trail import Took, Trail

if TYPE_CHECKING:
    from tracer.stacks.language import Language

_log = Trail(__name__)

_AGAIN_S = (0.1, 0.3, 1.0, 4.0, 16.0)
"""How long after one look a process is looked at again that had no interpreter: it may come later.

One that began a short time ago is looked at again in any case: it still loads its code, and what is known of code
before a call tells whose the names are that are read after it.
"""
_YOUNG_S = 30.0
_ANSWER_S = 0.002
"""How often it is looked for who asks while other things go on."""
_UNLIKELY_S = 0.1
"""How long a process waits for its first look whose program is not known to be an interpreter or to have one in it."""
_SWEEP_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MOST_SEEDS = 256
_MOST_HOSTS = 256
"""Names of programs that had an interpreter in them. Whoever starts programs chooses them."""


class Interpreters:
    """Looks at each process in scope once: at its exec or first touch. :meth:`wait` is to be called again and again.

    A look has two parts. What the kernel side needs is found in milliseconds and told first. What names will need takes
    longer, and is gathered when nobody waits for the first part.
    """

    def __init__(self, run: Attached, service: StackService) -> None:
        self._run, self._service = run, service
        self._later: dict[int, tuple[float, int]] = {}
        self._hosts: set[str] = set()
        self._told: deque[tuple[int, int, Took]] = deque()
        self._loaded: dict[int, bool] = {}
        self._refused: list[Probe] = []
        self._next_answer = 0.0 if run.wanted.interpreters else float("inf")
        self._next_sweep = time.monotonic() + _SWEEP_S

    def seed(self) -> None:
        """Look at the members of a scope by task, whether they have touched a socket or not."""
        if not self._run.wanted.interpreters:
            return
        for process in self._run.processes:  # meanwhile the worker starts that looks at them
            for name in may_interpret(process):
                self._loads(language(name).number)
        members = self._run.members.now()
        if members is None:
            self._load_what_runs()
        for pid in sorted(members or ())[:_MOST_SEEDS]:
            self._look_at(pid, 0)
        self._gather()

    def _load_what_runs(self) -> None:
        """Of the whole host: who asks can be answered at once then."""
        programs = {executable_of(pid) for pid in pids() if pid != os.getpid()}
        for name in sorted(set().union(*map(interprets, programs))):
            self._loads(language(name).number)

    def wait(self, stop: Stop, seconds: float) -> None:
        """Wait for so long, or until a process asks, then :meth:`look`."""
        stop.wait(seconds, self._run.recorder.asking if self._run.wanted.interpreters else None)
        self.look()

    def look(self) -> None:
        """Look at those that are new, and again at some others."""
        if not self._run.wanted.interpreters:
            return
        now = time.monotonic()
        self._answer_all()
        for pid, (due, times) in list(self._later.items()):
            if due <= now:
                del self._later[pid]
                self._look_at(pid, times)
        self._gather()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_S
            self._run.recorder.forget_interpreters(_alive)

    def answer(self) -> None:
        """Look at those that are new, unless that was just done. To be called in whatever takes long."""
        now = time.monotonic()
        if now >= self._next_answer:
            self._next_answer = now + _ANSWER_S
            self._answer_all()

    def _answer_all(self) -> None:
        """Look at who asks: until then its functions are not told, so all else can wait."""
        for pid in self._run.recorder.asked_for():
            name = executable_of(pid)
            if name in self._hosts or interprets(name):
                self._look_at(pid, 0)
            else:  # it is hardly one, and may have ended by then: to read its maps costs more than all else here
                self._later[pid] = time.monotonic() + _UNLIKELY_S, 0

    def _gather(self) -> None:
        """Gather what the names will need, of those that were told. That takes 100 ms where memory is searched."""
        while self._told:
            pid, number, took = self._told.popleft()
            common = self._service.gather(pid)
            _log.debug("process %d has an interpreter of language %d: found and looked at in %s", pid, number, took)
            if common is not None:
                program, told = common
                self._run.recorder.tell_program(program, told.language, told.values, loops=_loops(told.language))
            self._answer_all()

    def refused(self) -> tuple[Probe, ...]:
        """The languages whose program the kernel did not take, for the report."""
        return tuple(self._refused)

    def _look_at(self, pid: int, times: int) -> None:
        """Look at a process that was looked at before so many ``times``."""
        recorder, took = self._run.recorder, Took()
        program = recorder.last_exec(pid)
        found = self._service.interpreter(pid)
        if found is None or not self._loads(found.language):
            again = times < len(_AGAIN_S)
            if recorder.waits_for_answer(pid):
                recorder.tell_interpreter(pid, sure=not again)
            if again and _alive(pid):
                self._later[pid] = time.monotonic() + _AGAIN_S[times], times + 1
        else:
            known = _language(found.language)
            loops = known is not None and self._service.has_loop(pid, known)
            recorder.tell_interpreter(pid, found.language, found.values, loops=loops)
            _log.debug("process %d: its frames of language %d are told after %s", pid, found.language, took)
            self._told.append((pid, found.language, took))
            self._remember(executable_of(pid))
            if times < len(_AGAIN_S) and _age_s(pid) < _YOUNG_S:
                self._later[pid] = time.monotonic() + _AGAIN_S[times], times + 1
        if recorder.last_exec(pid) != program:  # what was told may be of the program before
            recorder.forget_interpreter(pid)

    def _remember(self, name: str) -> None:
        """A program that had an interpreter in it; no name: it has ended meanwhile."""
        if name and len(self._hosts) < _MOST_HOSTS:
            self._hosts.add(name)

    def _loads(self, number: int) -> bool:
        """Whether the language has a program in the kernel, which is loaded when it is first needed."""
        if number not in self._loaded:
            known = _language(number)
            self._loaded[number] = known is not None and self._load(known)
        return self._loaded[number]

    def _load(self, known: Language) -> bool:
        run, took = self._run, Took()
        try:
            sizes, compiles = run.request.sizes, run.request.compiles_with
            load_language(run.recorder, run.plan, sizes, known.number, known.kernel_program, compiles)
        except HostUnsupported as reason:
            self._refused.append(Probe(f"frames of {known.name}", None, str(reason), "its functions have no names"))
            return False
        _log.debug("frames of %s are told from now on: loaded in %s", known.name, took)
        return True


def _language(number: int) -> Optional[Language]:
    return next((known for known in all_languages() if known.number == number != 0), None)


def _loops(number: int) -> bool:
    known = _language(number)
    return known is not None and known.receives_in_loop


def _age_s(pid: int) -> float:
    """Seconds since a process began; endless if it has ended."""
    info = process_info(pid)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - info.start_ticks / _TICKS if info is not None else float("inf")


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
