"""When processes are looked at, and what the kernel side is told of them."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from tracer.errors import HostUnsupported
from tracer.model.connection import Probe
from tracer.model.frame import LastExec
from tracer.model.program import ProgramFile
from tracer.session import interpreters as module
from tracer.session.interpreters import Interpreters
from tracer.stacks.walker import Interpreter

PYTHON = Interpreter(1, bytes(120))


class Recorder:
    """Keeps what it is told. ``execs`` are the numbers of execs, each taken once if there is more than one."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.told: dict[int, int] = {}
        self.loops: set[int] = set()
        self.sure: dict[int, bool] = {}
        self.execs: list[int] = [0]
        self.asking = 99
        self.only_began: set[int] = set()
        self.programs: dict[ProgramFile, int] = {}

    def asked_for(self) -> list[int]:
        asked, self.asked = self.asked, []
        return asked

    def last_exec(self, _pid: int) -> LastExec:
        return LastExec(1, self.execs.pop(0) if len(self.execs) > 1 else self.execs[0])

    def tell_interpreter(
        self, pid: int, language: int = 0, _values: bytes = b"", *, sure: bool = True, loops: bool = False
    ) -> None:
        self.told[pid] = language
        self.loops.update({pid} if loops else ())
        self.sure[pid] = sure

    def waits_for_answer(self, pid: int) -> bool:
        return pid not in self.only_began

    def tell_program(self, program: ProgramFile, language: int, _values: bytes, *, loops: bool) -> None:
        assert not loops
        self.programs[program] = language

    def forget_interpreter(self, pid: int) -> None:
        del self.told[pid]

    def forget_interpreters(self, _alive: object) -> None:
        self.told.clear()


class Run:
    """A run whose clock is set by hand; ``found`` are the interpreters by process, ``loads`` counts loadings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, wanted: bool = True) -> None:
        self.recorder, self.now, self.loads = Recorder(), 100.0, 0
        self.found: dict[int, Interpreter] = {}
        self.with_loop: set[int] = set()
        self.looked: list[int] = []
        self.programs: dict[int, str] = {}
        self.gathered: list[int] = []
        self.common: dict[int, tuple[ProgramFile, Interpreter]] = {}
        self.refused: Optional[str] = None
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "_alive", lambda _pid: True)
        monkeypatch.setattr(module, "load_language", self._load)
        monkeypatch.setattr(module, "executable_of", lambda pid: self.programs.get(pid, "python3"))
        members = SimpleNamespace(now=lambda: frozenset({3, 1, 2}))
        request = SimpleNamespace(sizes=None, compiles_with=None)
        self.run: Any = SimpleNamespace(
            recorder=self.recorder,
            members=members,
            request=request,
            plan=None,
            processes=(),
            wanted=SimpleNamespace(interpreters=wanted),
        )
        has_loop = lambda pid, _language: pid in self.with_loop  # noqa: E731
        service: Any = SimpleNamespace(interpreter=self._interpreter, gather=self._gather, has_loop=has_loop)
        self.interpreters = Interpreters(self.run, service)

    def _interpreter(self, pid: int) -> Optional[Interpreter]:
        self.looked.append(pid)
        return self.found.get(pid)

    def _gather(self, pid: int) -> Optional[tuple[ProgramFile, Interpreter]]:
        self.gathered.append(pid)
        return self.common.get(pid)

    def _load(self, *_what: object) -> None:
        self.loads += 1
        if self.refused is not None:
            raise HostUnsupported(self.refused)

    def look(self, after_s: float = 0.0) -> None:
        self.now += after_s
        self.interpreters.look()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


def test_who_asks_is_looked_at_once(run: Run) -> None:
    """The language is loaded with the first process that needs it."""
    run.found = {7: PYTHON, 8: PYTHON}
    run.recorder.asked = [7, 8]
    run.look()
    run.look(1.0)
    assert (run.recorder.told, run.loads, run.looked) == ({7: 1, 8: 1}, 1, [7, 8])


def test_one_without_an_interpreter_is_looked_at_again(run: Run) -> None:
    """Less and less often, then no more; what comes in the meantime is told."""
    run.recorder.asked = [7, 8]
    run.look()
    assert run.recorder.told == {7: 0, 8: 0}
    run.found = {8: PYTHON}
    run.look(0.11)
    assert run.recorder.told == {7: 0, 8: 1}
    assert run.recorder.sure == {7: False, 8: True}
    run.looked.clear()
    for _ in range(400):
        run.look(0.1)
    assert run.looked == [7] * 4
    assert run.recorder.sure[7]


def test_who_asks_is_answered_in_between(run: Run) -> None:
    """Not each time that there is an opportunity: a box may take microseconds."""
    run.recorder.asked = [7]
    run.interpreters.answer()
    assert run.looked == [7]
    run.recorder.asked = [8]
    run.interpreters.answer()
    assert run.looked == [7]
    run.now += 0.01
    run.interpreters.answer()
    assert run.looked == [7, 8]


def test_who_is_hardly_an_interpreter_waits(run: Run) -> None:
    """Until a program of that name had one in it."""
    run.programs, run.found = {7: "uwsgi", 8: "uwsgi"}, {7: PYTHON, 8: PYTHON}
    run.recorder.asked = [7]
    run.look()
    assert run.looked == []
    run.look(0.11)
    assert run.looked == [7]
    run.recorder.asked = [8]
    run.look()
    assert run.looked == [7, 8]


def test_one_that_ended_in_its_look_says_nothing_of_others(run: Run) -> None:
    """Its program has no name any more, nor has that of any other that ended: these are not looked at at once."""
    run.programs, run.found = {7: "", 8: ""}, {7: PYTHON}
    run.recorder.asked = [7]
    run.look()
    run.look(0.11)
    run.recorder.asked = [8]
    run.look()
    assert run.looked == [7]


def test_names_of_programs_are_not_kept_without_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts programs chooses their names. Those beyond the limit wait, as unknown ones do."""
    monkeypatch.setattr(module, "_MOST_HOSTS", 1)
    run.programs = {7: "one", 8: "two", 9: "one", 10: "two"}
    run.found = dict.fromkeys(run.programs, PYTHON)
    for pid in (7, 8):
        run.recorder.asked = [pid]
        run.look()
        run.look(0.11)
    run.recorder.asked, run.looked = [9, 10], []
    run.look()
    assert run.looked == [9]


def test_who_only_began_a_program_will_ask(run: Run) -> None:
    """It touched no socket yet: nothing is told, so that its first touch asks. What comes before that is told."""
    run.recorder.asked, run.recorder.only_began = [7, 8], {7, 8}
    run.look()
    assert run.recorder.told == {}
    run.found = {8: PYTHON}
    run.look(0.11)
    assert run.recorder.told == {8: 1}


def test_what_holds_for_the_program_is_told(run: Run) -> None:
    """After all that was asked is answered, for it takes a while."""
    program = ProgramFile(1, 2, 3, 4)
    run.found, run.common = {7: PYTHON, 8: PYTHON}, {8: (program, PYTHON)}
    run.recorder.asked = [7, 8, 9]
    run.look()
    assert (run.looked, run.gathered, run.recorder.programs) == ([7, 8, 9], [7, 8], {program: 1})


def test_who_asks_ends_the_wait(run: Run) -> None:
    """And is looked at then."""
    waited: list[tuple[float, Optional[int]]] = []
    stop: Any = SimpleNamespace(wait=lambda *given: waited.append(given))
    run.recorder.asked = [7]
    run.interpreters.wait(stop, 3.0)
    assert (waited, run.looked) == ([(3.0, 99)], [7])


def test_what_runs_on_the_host_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everybody is in scope: a process that asks need not wait for it. None is looked at before."""
    run.run.members = SimpleNamespace(now=lambda: None)
    run.programs = {1: "systemd", 2: "python3.11", 3: "python3", 4: "node"}
    monkeypatch.setattr(module, "pids", lambda: [*run.programs, os.getpid()])
    run.interpreters.seed()
    assert (run.loads, run.looked) == (2, [])


def test_an_exec_in_between_takes_back_what_was_told(run: Run) -> None:
    """It may be of the program before. The new one asks for itself."""
    run.found, run.recorder.execs = {7: PYTHON}, [1, 2]
    run.recorder.asked = [7]
    run.look()
    assert run.recorder.told == {}


def test_a_program_that_is_refused_is_not_tried_again(run: Run) -> None:
    """Its processes count as ones without an interpreter, and the report says why."""
    run.found, run.refused = {7: PYTHON, 8: PYTHON}, "no"
    run.recorder.asked = [7, 8]
    run.look()
    assert (run.recorder.told, run.loads) == ({7: 0, 8: 0}, 1)
    assert run.interpreters.refused() == (Probe("frames of python", None, "no", "its functions have no names"),)


def test_a_language_that_has_no_program(run: Run) -> None:
    """Its number is a worker's word."""
    run.found = {7: Interpreter(200, bytes(120))}
    run.recorder.asked = [7]
    run.look()
    assert (run.recorder.told, run.loads) == ({7: 0}, 0)


def test_members_are_looked_at_before_they_ask(run: Run) -> None:
    """In their order."""
    run.interpreters.seed()
    assert run.looked == [1, 2, 3]


def test_the_likely_program_is_loaded_while_the_worker_starts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the processes have mapped; a language without a program in the kernel is none."""
    run.run.processes = ("any",)
    monkeypatch.setattr(module, "may_interpret", lambda _process: frozenset({"python", "go"}))
    run.interpreters.seed()
    assert run.loads == 1


def test_nobody_is_looked_at_where_no_frames_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel side has not even the maps for it."""
    run = Run(monkeypatch, wanted=False)
    run.recorder.asked = [7]
    run.interpreters.seed()
    run.look(100.0)
    assert run.looked == []


def test_entries_of_the_dead_are_freed(run: Run) -> None:
    """Some seconds apart."""
    run.found = {7: PYTHON}
    run.recorder.asked = [7]
    run.look(9.0)
    assert run.recorder.told == {7: 1}
    run.look(2.0)
    assert run.recorder.told == {}


def test_an_event_loop_is_told_of_the_process_that_has_it(run: Run) -> None:
    """Not of all that run the same program: most Python programs have none."""
    run.found |= {7: PYTHON, 8: PYTHON}
    run.with_loop.add(8)
    run.recorder.asked += [7, 8]
    run.look()
    assert (sorted(run.recorder.told), run.recorder.loops) == ([7, 8], {8})
