"""Turns black boxes into stacks, for any number of processes. The session uses only this class."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from typing import Optional

from tracer.machine import registers as arch
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.chain import Unwinder
from tracer.stacks.elf import libdw
from tracer.stacks.elf.facts import read_facts
from tracer.stacks.language import Runtime, Target
from tracer.stacks.links.native import NativeUnwinder
from tracer.stacks.links.nocfi import NoCfiUnwinder
from tracer.stacks.memo import Memo, ReadLog, Witness
from tracer.stacks.naming import Naming
from tracer.stacks.registry import all_languages
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.target.modules import ImageCache, Modules
from tracer.stacks.target.process import Process, ProcessGone
from tracer.stacks.walk import walk
from tracer.trail import Took

_log = logging.getLogger(__name__)

_MAX_PROCESSES = 128
_GONE = "process exited before its stack could be read"


class StackService:
    """Unwinds and names stacks. Keeps a limited number of processes and files.

    If ``debuginfod`` is true, libdw may download debug information from the servers in DEBUGINFOD_URLS.
    Raises HostUnsupported if libdw is not installed.
    """

    def __init__(self, debuginfod: bool = False) -> None:
        libdw.load()
        self.unwound = 0
        """Number of boxes given to unwind()."""
        self._naming = Naming(all_languages())
        self._images = ImageCache(debuginfod, self._naming.additions)
        self._targets: OrderedDict[int, _Target] = OrderedDict()

    def unwind(self, box: BlackBox) -> Stack:
        """Unwind ``box``. Never raises, even if the target is gone, hostile or damaged: the stack's note says why."""
        self.unwound += 1
        target = self._target(box)
        if target is None:
            return Stack((), False, _GONE)
        return target.unwind(box)

    def forget(self, pid: int) -> None:
        """Release everything about the process ``pid``, which has exited and has no black boxes left."""
        target = self._targets.pop(pid, None)
        if target is not None:
            target.process.close()

    def close(self) -> None:
        """Release all processes and files."""
        for pid in list(self._targets):
            self.forget(pid)

    def _target(self, box: BlackBox) -> Optional[_Target]:
        known = self._targets.get(box.pid)
        if known is not None and known.process.same_program():
            self._targets.move_to_end(box.pid)
            return known
        took = Took()
        try:
            process = Process.open(box.pid)
        except ProcessGone:
            return known
        if known is not None and not _could_be_of(box, process):
            process.close()  # the box is from before exec: it needs the old program's maps
            return known
        self.forget(box.pid)
        target = self._targets[box.pid] = _Target(process, self._images, self._naming)
        _log.debug("process %d opened: %d mappings in %s", box.pid, len(process.mappings), took)
        if len(self._targets) > _MAX_PROCESSES:
            self.forget(next(iter(self._targets)))
        return target


class _Target:
    """One process with its chain of unwinders: those of its languages, then CFI, then the one that needs no CFI."""

    def __init__(self, process: Process, images: ImageCache, naming: Naming) -> None:
        self.process = process
        self._modules = Modules(process, images)
        self._native = NativeUnwinder(self._modules, naming)
        self._runtimes: list[Runtime] = []
        self._last = NoCfiUnwinder(process, self._modules, naming, self._runtimes)
        self._chain: list[Unwinder] = []
        self._unsupported = _unsupported(process)
        self._memo = Memo()
        self._as_target = Target(process, self._native, naming.read_symbol)
        self._attached: dict[str, Runtime] = {}
        self._attach()

    def unwind(self, box: BlackBox) -> Stack:
        if self._unsupported:
            return Stack((), False, self._unsupported)
        if self._modules.begin():
            self._native.forget()
            self._last.forget()
            self._memo.forget()
            self._attach()
        known = self._memo.find(box)
        if known is not None:
            return known
        self._last.begin()
        for runtime in self._runtimes:
            if runtime.begin is not None:
                runtime.begin(box)
        recorder = ReadLog(BoxMemory(box, self.process), box)
        witness = Witness(self._chain, self._native, recorder, box)
        stack = walk(box, recorder, [witness])
        self._memo.keep(box, witness, stack)
        return stack

    def _attach(self) -> None:
        """Ask each language that is not attached yet whether it is in the process now."""
        for language in all_languages():
            runtime = language.attach(self._as_target) if language.name not in self._attached else None
            if runtime is not None:
                self._attached[language.name] = runtime
        in_order = (self._attached.get(language.name) for language in all_languages())
        self._runtimes[:] = [runtime for runtime in in_order if runtime is not None]
        own = [runtime.unwinder for runtime in self._runtimes if runtime.unwinder is not None]
        self._chain = [*own, self._native, self._last]


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


def _could_be_of(box: BlackBox, process: Process) -> bool:
    code = process.mapping(box.pc)
    return code is not None and code.executable and process.mapping(box.sp) is not None
