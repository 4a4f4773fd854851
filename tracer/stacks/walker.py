"""Walks black boxes that nobody recognised: all that parses a target's files and memory is below this module."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional, Protocol

from tracer.machine import registers as arch
from tracer.model.frame import BlackBox, Frame, Stack
from tracer.stacks.chain import Unwinder
from tracer.stacks.elf import libdw
from tracer.stacks.elf.facts import read_facts
from tracer.stacks.language import ENTRY_BYTES, Language, OfProgram, Runtime, Target
from tracer.stacks.links.native import NativeUnwinder
from tracer.stacks.links.nocfi import NoCfiUnwinder
from tracer.stacks.naming import Naming
from tracer.stacks.parsing import Part, parsing
from tracer.stacks.registry import all_languages
from tracer.stacks.registry import language as language_named
from tracer.stacks.rows import StepRow
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.target.modules import ImageCache, Modules
from tracer.stacks.target.process import Process
from tracer.stacks.walk import walk
from tracer.stacks.witness import ReadLog, Rests, Witness


@dataclass(frozen=True)
class Walked:
    """A stack, and what it rests on; None if another box like this one may have another stack.

    ``rows`` are those of its first steps, until one has none: but for the steps that were known before.
    """

    stack: Stack
    rests: Optional[Rests] = None
    rows: tuple[StepRow, ...] = ()


class Interpreter(NamedTuple):
    """What the kernel side is to know of a process: ``language`` by its number, and what its program needs."""

    language: int
    values: bytes


class Common(NamedTuple):
    """What holds for all processes of the program file in which ``address`` lies."""

    address: int
    interpreter: Interpreter


class Walker(Protocol):
    """Who walks: this process itself, or another one in its place."""

    def walk(self, process: Process, box: BlackBox, known: int = 0) -> Walked:
        """Walk ``box``, which is of ``process``. Never raises: the stack's note says what is missing.

        The rows of its first ``known`` steps need not be told.
        """

    def read(self, process: Process, address: int, size: int) -> bytes:
        """Read memory of ``process`` as it is now: at most ``size`` bytes, as many as can be read. Never raises."""

    def interpreter(self, process: Process) -> Optional[Interpreter]:
        """The interpreter in ``process`` whose frames are told by the kernel side; None if there is none (yet)."""

    def gather(self, process: Process) -> Optional[Common]:
        """Gather what tells later whose the names are that are read after a touch. It may take 100 ms.

        Gives what is known by now of other processes of the same program.
        """

    def forget(self, process: Process) -> None:
        """Release what is held of ``process``."""

    def close(self) -> None:
        """Release everything."""


class LocalWalker:
    """Walks in this process. Raises HostUnsupported if libdw is not installed."""

    def __init__(self, debuginfod: bool = False) -> None:
        libdw.load()
        self._naming = Naming(all_languages())
        self._images = ImageCache(debuginfod, self._naming.additions)
        self._chains: dict[Process, _Chain] = {}

    def walk(self, process: Process, box: BlackBox, known: int = 0) -> Walked:
        """Walk ``box``, which is of ``process``. Never raises for a target that is gone, hostile or damaged."""
        return self._chain(process).walk(box, known)

    def interpreter(self, process: Process) -> Optional[Interpreter]:
        """Ask the languages for the interpreter in ``process``."""
        return self._chain(process).interpreter()

    def gather(self, process: Process) -> Optional[Common]:
        """Have the languages look at ``process``."""
        return self._chain(process).gather()

    def _chain(self, process: Process) -> _Chain:
        chain = self._chains.get(process)
        if chain is None:
            chain = self._chains[process] = _Chain(process, self._images, self._naming)
        return chain

    def read(self, process: Process, address: int, size: int) -> bytes:
        """Read at most ``size`` bytes of memory. It may wait for a program that provides this memory."""
        with parsing(process.number, Part.RUNTIME):
            return process.read_up_to(address, size)

    def forget(self, process: Process) -> None:
        """Release what is held of ``process``."""
        self._chains.pop(process, None)

    def close(self) -> None:
        """Release everything."""
        self._chains.clear()


class _Chain:
    """One process with its chain of unwinders: those of its languages, then CFI, then what works without."""

    def __init__(self, process: Process, images: ImageCache, naming: Naming) -> None:
        self._process = process
        self._modules = Modules(process, images)
        self._native = NativeUnwinder(self._modules, naming)
        self._runtimes: list[Runtime] = []
        self._last = NoCfiUnwinder(process, self._modules, naming, self._runtimes)
        self._chain: list[Unwinder] = []
        self._unsupported = _unsupported(process)
        self._as_target = Target(process, self._native, self._last.names, naming.read_symbol)
        self._attached: dict[str, Runtime] = {}
        self._is_attached = False
        self._programs: dict[str, Optional[OfProgram]] = {}

    def walk(self, box: BlackBox, known: int) -> Walked:
        if self._unsupported:
            return Walked(Stack((), False, self._unsupported))
        with parsing(self._process.number, Part.RUNTIME):
            return self._walk(box, known)

    def interpreter(self) -> Optional[Interpreter]:
        if self._unsupported or Part.RUNTIME in self._process.barred:
            return None
        with parsing(self._process.number, Part.RUNTIME):
            self._process.refresh()
            found = self._find()
            return Interpreter(found[0].number, found[1]) if found is not None else None

    def _find(self) -> Optional[tuple[Language, bytes]]:
        for language in all_languages():
            values = language.kernel_entry(self._as_target) if language.number else None
            if values is not None and len(values) == ENTRY_BYTES:
                return language, values
        return None

    def gather(self) -> Optional[Common]:
        if self._unsupported or Part.RUNTIME in self._process.barred:
            return None
        with parsing(self._process.number, Part.RUNTIME):
            self._process.refresh()
            self._attach()
            for runtime in self._runtimes:
                if runtime.look is not None:
                    runtime.look()
            found = self._find()
            common = found[0].kernel_entry_of_all(self._as_target, found[1]) if found is not None else None
            return Common(common[0], Interpreter(found[0].number, common[1])) if found and common else None

    def _walk(self, box: BlackBox, known: int) -> Walked:
        if self._modules.begin(box.ns) or not self._is_attached:
            self._native.forget()
            self._last.forget()
            self._attach()
        if Part.RUNTIME in self._process.barred:
            self._runtimes.clear()
            self._chain = [self._native, self._last]
        self._last.begin()
        for runtime in self._runtimes:
            if runtime.begin is not None:
                runtime.begin(box)
        recorder = ReadLog(BoxMemory(box, self._process), box)
        witness = Witness(self._chain, self._native, recorder, box)
        stack = walk(box, recorder, [witness])
        rests = witness.rests() if stack.complete or witness.copy_ends else None
        for runtime in self._runtimes:
            if runtime.finish is not None:
                finished = runtime.finish(stack)
                stack = finished.stack
                if rests is not None and finished.until_ns is not None:
                    rests = rests.within(finished.since_ns, finished.until_ns)
        rows = _rows(witness, known) if self._is_plain() else ()
        return Walked(self._with_program(self._explained(stack)), rests, rows)

    def _is_plain(self) -> bool:
        """Whether what is compiled is all there is: no runtime has its say about the stacks of such code."""
        ways = ((r.unwinder, r.finish, r.interprets) for r in self._attached.values())
        return all(way is None for three in ways for way in three)

    def _explained(self, stack: Stack) -> Stack:
        """Add the line of each interpreter whose functions have no frames on ``stack``."""
        spoken = {frame.language for frame in stack.frames} | {frame.note for frame in stack.frames}
        frames = list(stack.frames)
        for name, runtime in self._attached.items():
            if runtime.interprets is None or spoken & {name, runtime.unnamed}:
                continue
            first = next((index for index, frame in enumerate(frames) if runtime.interprets(frame)), None)
            if first is not None:
                note = frames[first].note
                frames[first] = replace(frames[first], note=f"{runtime.unnamed}; {note}" if note else runtime.unnamed)
        return replace(stack, frames=tuple(frames))

    def _with_program(self, stack: Stack) -> Stack:
        """Mark the frames of the package that is the program of this process."""
        frames = tuple(replace(one, of_program=True) if self._is_of_program(one) else one for one in stack.frames)
        return replace(stack, frames=frames)

    def _is_of_program(self, frame: Frame) -> bool:
        if not frame.file or frame.language not in self._attached:
            return False
        if frame.language not in self._programs:
            self._programs[frame.language] = language_named(frame.language).program(self._process)
        is_of = self._programs[frame.language]
        return is_of is not None and is_of(frame.file)

    def _attach(self) -> None:
        """Ask the languages that are not attached yet whether they are in the process by now."""
        self._is_attached = True
        for language in all_languages() if Part.RUNTIME not in self._process.barred else ():
            runtime = language.attach(self._as_target) if language.name not in self._attached else None
            if runtime is not None:
                self._attached[language.name] = runtime
        in_order = (self._attached.get(language.name) for language in all_languages())
        self._runtimes[:] = [runtime for runtime in in_order if runtime is not None]
        own = [runtime.unwinder for runtime in self._runtimes if runtime.unwinder is not None]
        self._chain = [*own, self._native, self._last]


def _rows(witness: Witness, known: int) -> tuple[StepRow, ...]:
    """The rows of the first steps until one has none, but for the first ``known``."""
    rows, first = [], 0
    for pc, frames, row in witness.rows:
        if row is None:
            break
        rows.append(StepRow(pc, first, first + frames, row))
        first += frames
    return tuple(rows[known:])


def _unsupported(process: Process) -> Optional[str]:
    descriptor = process.open_executable()
    if descriptor is None:
        return None
    try:
        facts = read_facts(descriptor)
    finally:
        os.close(descriptor)
    if facts is None or (facts.bits == 64 and facts.machine == arch.EM_MACHINE):
        return None
    kind = f"{facts.bits}-bit programs for ELF machine {facts.machine}"
    return f"stacks of {kind} cannot be unwound, only of {arch.ELF_MACHINE_NAME} ones"
