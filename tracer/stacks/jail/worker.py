"""The worker: walks the boxes that it is given until the root process closes the connection."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
from dataclasses import replace
from typing import Any, Optional

from tracer.errors import ClosetraceError
from tracer.model.frame import Frame, Stack
from tracer.model.holder import Held
from tracer.stacks.elf.emptyfile import open_empty
from tracer.stacks.elf.itanium import demangle
from tracer.stacks.jail import forms, holders
from tracer.stacks.jail.confine import confine
from tracer.stacks.jail.pace import slowness
from tracer.stacks.jail.target import JailedProcess
from tracer.stacks.jail.wire import Broken, Line, Message
from tracer.stacks.parsing import share
from tracer.stacks.registry import heap_of, prepare, prepare_heaps
from tracer.stacks.target.process import Identity
from tracer.stacks.walker import LocalWalker, Walked

_MOST_STACKS = 20_000
_NICE = 10
"""A look at a heap takes seconds of CPU; nobody waits for it who has other work."""


class _Stacks:
    """The numbers by which stacks were told: each is told in full once."""

    def __init__(self) -> None:
        self._numbers: dict[Stack, int] = {}
        self._frames: dict[Frame, Frame] = {}
        """Those of all these stacks, each once."""
        self._told = 0

    def told(self, stack: Stack) -> dict[str, Any]:
        """The stack by its number, and in full if it is new. Number 1 means that all earlier ones are forgotten."""
        number = self._numbers.get(stack)
        if number is not None:
            return {"number": number}
        weight = forms.weight(stack)
        if len(self._numbers) >= _MOST_STACKS or self._told + weight > forms.MOST_TOLD:
            self._numbers.clear()
            self._frames.clear()
            self._told = 0
        self._told += weight
        kept = replace(stack, frames=tuple([self._frames.setdefault(frame, frame) for frame in stack.frames]))
        number = self._numbers[kept] = len(self._numbers) + 1
        return {"number": number, "stack": forms.stack_to_json(stack)}


class _Worker:
    def __init__(self, line: Line, walker: LocalWalker) -> None:
        self._line, self._walker = line, walker
        self._stacks = _Stacks()
        self._processes: dict[int, JailedProcess] = {}

    def serve(self) -> None:
        """Serve one request after another. Raises Broken at the end of the connection."""
        while True:
            message = self._line.receive_trusted()
            for number in message.head["forget"]:
                self._forget(number)
            process = self._process(message)
            process.begin(message.head["generation"], frozenset(message.head["barred"]))
            self._line.send(*self._answer(process, message))

    def _answer(self, process: JailedProcess, message: Message) -> tuple[dict[str, Any], bytes]:
        """Head and data of what is sent."""
        if "read" in message.head:
            return {}, self._walker.read(process, *message.head["read"])
        if "sockets" in message.head:
            return {"held": holders.held_to_json(self._holders(process, message.head))}, b""
        if message.head.get("find") is True:
            return forms.interpreter_to_json(self._walker.interpreter(process)), b""
        if "box" not in message.head:
            return forms.common_to_json(self._walker.gather(process)), b""
        box = forms.box_from_json(message.head["box"], message.data)
        return self._told(self._walker.walk(process, box, message.head["known"])), b""

    def _holders(self, process: JailedProcess, head: dict[str, Any]) -> Held:
        process.refresh_if_old()
        look = heap_of(process)
        return look(*holders.wanted_from_json(head)) if look is not None else Held()

    def _told(self, walked: Walked) -> dict[str, Any]:
        told = self._stacks.told(walked.stack)
        if walked.rests is not None:
            told["rests"] = forms.rests_to_json(walked.rests)
        if walked.rows:
            told["rows"] = forms.rows_to_json(walked.rows)
        return told

    def _process(self, message: Message) -> JailedProcess:
        number = message.head["process"]
        known = self._processes.get(number)
        if known is None:
            memory: Optional[int] = message.descriptors[0] if message.descriptors else None
            identity = Identity(message.head["pid"], message.head["start"])
            known = self._processes[number] = JailedProcess(self._line, number, identity, memory)
        return known

    def _forget(self, number: int) -> None:
        process = self._processes.pop(number, None)
        if process is not None:
            self._walker.forget(process)
            process.close()


_MEANT_FOR_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
"""Sent to all processes of a service. They ask the root process for a report, which still needs its workers."""


def main() -> None:
    """Run on the descriptors and for the user id that the command line names.

    Its words are connection, page, user id, whether to download debug files, whether to look at heaps.
    """
    connection, page, uid, debuginfod, heaps = (int(word) for word in sys.argv[2:7])
    for number in _MEANT_FOR_ALL:
        signal.signal(number, signal.SIG_IGN)
    line = Line(socket.socket(fileno=connection))
    share(mmap.mmap(page, mmap.PAGESIZE))
    os.close(page)
    try:
        walker = LocalWalker(bool(debuginfod))
    except ClosetraceError as error:
        line.send({"unfit": str(error)})
        return
    prepare()
    if heaps:
        os.nice(_NICE)
        try:
            prepare_heaps()
        except ImportError as error:
            line.send({"unfit": str(error)})
            return
    os.close(open_empty())
    demangle("_Z1fv")
    line.send({"confined": confine(uid), "slowness": slowness()})
    try:
        _Worker(line, walker).serve()
    except Broken:
        os._exit(0)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


OUT_OF_MEMORY = 3
"""The exit code of a worker that met its memory limit."""
