"""Turns black boxes into stacks, for any number of processes. The session uses only this class."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Callable, Optional, Union

from tracer.model.frame import BlackBox, LastExec, Stack
from tracer.model.program import ProgramFile
from tracer.stacks.language import Language
from tracer.stacks.memo import Memo
from tracer.stacks.registry import may_interpret
from tracer.stacks.rows import Rows
from tracer.stacks.target.process import Process, ProcessGone
from tracer.stacks.walker import Interpreter, LocalWalker, Walked, Walker
from tracer.trail import Took, Trail

_log = Trail(__name__)

_MAX_PROCESSES = 128
_GONE = "process exited before its stack could be read"
_REPLACED = "the program was replaced (exec) before this stack could be read"
_PERHAPS_REPLACED = "the program was replaced (exec) about when this call was made: the stack may be either program's"
_ATTEMPTS = 3
"""How often a process is opened again that takes another program at that moment."""


class StackService:
    """Unwinds and names stacks. Keeps a limited number of processes, and the stacks that were met before.

    Without a ``walker`` boxes are walked in this process; if ``debuginfod`` is true, debug information may then be
    downloaded from the servers in DEBUGINFOD_URLS. ``last_exec`` gives the newest exec of a process, None if this host
    does not show execs. ``most_known`` limits what is kept to recognise stacks, in points of known walks of all
    processes together (about 1 KB each). Raises HostUnsupported if libdw is not installed.
    """

    def __init__(
        self,
        debuginfod: bool = False,
        last_exec: Callable[[int], Optional[LastExec]] = lambda _pid: None,
        walker: Optional[Walker] = None,
        most_known: Optional[int] = None,
    ) -> None:
        self._last_exec, self._most_known = last_exec, most_known
        self._watched: list[int] = []
        self.unwound = 0
        """Number of boxes given to unwind()."""
        self._walker = walker or LocalWalker(debuginfod)
        self._targets: OrderedDict[int, _Target] = OrderedDict()
        self._ended: set[_Target] = set()

    def unwind(self, box: BlackBox) -> Stack:
        """Unwind ``box``. Never raises, even if the target is gone, hostile or damaged: the stack's note says why."""
        self.unwound += 1
        target = self._target(box)
        if isinstance(target, str):
            return Stack((), False, target)
        before = target.known
        stack = target.unwind(box)
        if self._most_known is not None and target.known > before:
            self._forget_stacks(self._most_known)
        return stack

    def _forget_stacks(self, most: int) -> None:
        """Keep at most so much, by forgetting the stacks of processes that had none to read for the longest time."""
        known = sum(target.known for target in self._targets.values())
        for target in self._targets.values():
            if known <= most:
                return
            known -= target.known
            target.forget_stacks()

    def watch(self, process: Process) -> None:
        """Take over ``process``, opened before any of its execs was seen, and have :meth:`look` read its maps.

        So it is noticed if other code takes the place of its code.
        """
        self._watched.append(process.pid)
        _log.debug("process %d opened before attaching: %d mappings", process.pid, len(process.mappings))
        target = _Target(process, self._walker, LastExec())
        if process.known_since_ns:
            last = self._last_exec(process.pid)  # the hook of execs may have been there before all others
            target.begun_at_latest(process.known_since_ns, last.seen if last and process.same_program() else 0)
        self._keep(target)

    def interpreter(self, pid: int) -> Optional[Interpreter]:
        """The interpreter in the process ``pid`` whose frames the kernel side can tell; None if there is none (yet)."""
        target = self._targets.get(pid)
        if target is None or not target.process.same_program():
            try:
                target = self._open(pid)
            except ProcessGone:
                return None
            self._keep(target)
        if not may_interpret(target.process):
            return None
        target.rows.forget()  # a runtime may be there by now
        return self._walker.interpreter(target.process)

    def has_loop(self, pid: int, language: Language) -> bool:
        """Whether the process ``pid`` receives in an event loop of this language. After :meth:`interpreter`."""
        target = self._targets.get(pid)
        if language.receives_in_loop or target is None:
            return language.receives_in_loop
        target.process.refresh_if_old()  # it may have loaded that since
        return language.has_loop(target.process)

    def gather(self, pid: int) -> Optional[tuple[ProgramFile, Interpreter]]:
        """Gather what tells later whose the names are that are read after a touch. After :meth:`interpreter`.

        Gives what holds for all processes of the same program, if that is known.
        """
        target = self._targets.get(pid)
        if target is None or not target.process.same_program():
            return None
        common = self._walker.gather(target.process)
        program = target.process.program_at(common.address) if common is not None else None
        return (program, common.interpreter) if program is not None and common is not None else None

    def look(self) -> None:
        """Read the maps of the processes that are watched, unless that was just done. To be called once a second."""
        for pid in self._watched:
            target = self._targets.get(pid)
            if target is not None:
                target.process.refresh_if_old()

    def read(self, pid: int, address: int, size: int) -> bytes:
        """Read memory of the process ``pid`` as it is now: at most ``size`` bytes, as many as can be read."""
        target = self._targets.get(pid)
        if target is None or not target.process.same_program():
            try:
                target = self._open(pid)
            except ProcessGone:
                return b""
            if pid in self._targets:  # boxes of the program before need that
                return self._read_once(target.process, address, size)
            self._keep(target)
        return self._walker.read(target.process, address, size)

    def _read_once(self, process: Process, address: int, size: int) -> bytes:
        try:
            return self._walker.read(process, address, size)
        finally:
            self._walker.forget(process)
            process.close()

    def forget(self, pid: int) -> None:
        """Release everything about the process ``pid``, which has exited and has no black boxes left."""
        target = self._targets.pop(pid, None)
        if target is not None:
            self._walker.forget(target.process)
            target.process.close()

    def forget_ended(self) -> None:
        """Release the processes that had ended, or taken another program, at the last call already.

        For runs of months, to be called once a minute: by then what they left is read.
        """
        ended = {target for target in self._targets.values() if not target.process.same_program()}
        for target in ended & self._ended:
            self.forget(target.process.pid)
        self._ended = ended - self._ended

    def close(self) -> None:
        """Release all processes and files."""
        for pid in list(self._targets):
            self.forget(pid)
        self._walker.close()

    def _target(self, box: BlackBox) -> Union[_Target, str]:
        """The process as it was at the touch, or why that cannot be had any more."""
        known = self._targets.get(box.pid)
        if known is not None and (known.process.ran_at(box.ns) or known.process.same_program()):
            self._targets.move_to_end(box.pid)
            return known if known.is_since(box) else known.before
        last = self._last_exec(box.pid)
        if known is not None and last is not None and known.ended_after(box, last):
            return known
        try:
            target = self._open(box.pid)
        except ProcessGone:
            return known if known is not None and known.is_since(box) and known.is_newest(last) else _GONE
        if target.process.began_after(box.ns):
            target.process.close()
            return _GONE
        if last is None and known is not None and not target.could_be_of(box):
            target.process.close()  # the box is from before exec: it needs the old program's maps
            return known
        if known is not None and last is not None and known.is_newest(last):
            # An exec that has not been seen: it goes on at this moment, or the kernel side has forgotten it.
            target.begun_at_latest(time.monotonic_ns(), last.seen)
        self._keep(target)
        return target if target.is_since(box) else target.before

    def _open(self, pid: int) -> _Target:
        """Raises ProcessGone."""
        for _ in range(_ATTEMPTS):
            took, last = Took(), self._last_exec(pid)
            process = Process.open(pid)
            target = _Target(process, self._walker, last or LastExec())
            if self._last_exec(pid) == last:
                _log.debug("process %d opened: %d mappings in %s", pid, len(process.mappings), took)
                return target
            process.close()
        raise ProcessGone(f"process {pid} takes one program after another")

    def _keep(self, target: _Target) -> None:
        self.forget(target.process.pid)
        self._targets[target.process.pid] = target
        if len(self._targets) > _MAX_PROCESSES:
            self.forget(next(iter(self._targets)))


class _Target:
    """One process, with the stacks of it that are known."""

    def __init__(self, process: Process, walker: Walker, program: LastExec) -> None:
        """``program`` is the exec that began what the process runs; zeros if it was before all that are known."""
        self.process = process
        self.program = program
        self.before = _REPLACED
        self._walker = walker
        self._memo = Memo()
        self.rows = Rows()
        self._generation = process.maps_generation

    @property
    def known(self) -> int:
        """Points of the known walks."""
        return self._memo.count

    def forget_stacks(self) -> None:
        """Walk each stack again when it comes next."""
        self._memo.forget()

    def begun_at_latest(self, ns: int, seen: int) -> None:
        """The program began by an exec that was not seen, at ``ns`` or before: earlier boxes may be another's."""
        self.program, self.before = LastExec(ns, seen), _PERHAPS_REPLACED

    def is_since(self, box: BlackBox) -> bool:
        """Whether this program ran already when the box was filled."""
        return box.ns is None or box.ns >= self.program.ns

    def is_newest(self, last: Optional[LastExec]) -> bool:
        """Whether no exec was seen since, where ``last`` is the newest."""
        return last is None or last.seen == self.program.seen

    def ended_after(self, box: BlackBox, last: LastExec) -> bool:
        """Whether the exec ``last`` ended this program, and the box was filled while it ran."""
        follows = last.seen == self.program.seen + 1
        return follows and box.ns is not None and self.program.ns <= box.ns < last.ns

    def could_be_of(self, box: BlackBox) -> bool:
        """Whether there is code where the box was filled, and memory for its stack."""
        code = self.process.mapping(box.pc)
        return code is not None and code.executable and self.process.mapping(box.sp) is not None

    def unwind(self, box: BlackBox) -> Stack:
        self.process.refresh_if_old()
        if self._generation != self.process.maps_generation:
            self._generation = self.process.maps_generation
            self._memo.forget()
            self.rows.forget()
        known = self._memo.find(box)
        if known is not None:
            return known
        attempt = self.rows.walk(box)
        if attempt.stack is not None:
            walked = Walked(attempt.stack, attempt.rests)
        else:
            walked = self._walker.walk(self.process, box, attempt.steps)
        window = self.process.same_files(box.ns)
        if walked.rests is not None:
            self._memo.keep(box, walked.rests.within(*window), walked.stack)
        if walked.rows:
            self.rows.learn(walked.rows, walked.stack, *window)
        return walked.stack
