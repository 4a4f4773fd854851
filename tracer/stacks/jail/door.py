"""What a worker may ask the root process for: files of its targets, by the rules of tracer/host/opening.py."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from tracer.stacks.jail.wire import Broken, Line
from tracer.stacks.parsing import Part
from tracer.stacks.target.process import LONGEST_PATH, Process
from tracer.trail import Trail

_log = Trail(__name__)

_TEXTS = re.compile(r"stat|(?:task/[0-9]{1,10}/)?status")
"""Texts in ``/proc/PID``: of the process, and of its threads. None of them is read from the memory of the process."""
_OF_HOST = "/usr/lib/debug/"
_MOST_SUBJECTS = 65_536


@dataclass
class Subject:
    """A file or a process that is parsed: ``name`` for people, and the parts that did harm."""

    name: str
    barred: set[int] = field(default_factory=set)


class Subjects:
    """Those of a run, by the numbers that workers know them by. They outlive workers.

    If there are too many, those that were not met for the longest time are forgotten, but none that did harm.
    """

    def __init__(self, most: int = _MOST_SUBJECTS) -> None:
        self._most = most
        self._numbers: OrderedDict[Hashable, int] = OrderedDict()
        self._subjects: dict[int, Subject] = {}
        self._last = 0

    def number(self, key: Hashable, name: str) -> int:
        """The number of what ``key`` tells, never 0."""
        number = self._numbers.get(key)
        if number is None:
            self._last += 1
            number = self._numbers[key] = self._last
            self._subjects[number] = Subject(name)
            if len(self._numbers) > self._most:
                self._forget_oldest()
        else:
            self._numbers.move_to_end(key)
        return number

    def _forget_oldest(self) -> None:
        harmless = (key for key, number in self._numbers.items() if not self._subjects[number].barred)
        oldest = next(harmless, None)
        if oldest is not None:
            del self._subjects[self._numbers.pop(oldest)]

    def get(self, number: int) -> Optional[Subject]:
        """What has this number."""
        return self._subjects.get(number)

    def of_file(self, descriptor: int, name: str) -> int:
        """The number of an open file."""
        found = os.fstat(descriptor)
        return self.number((found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size), name)


class Door:
    """Serves one worker. ``debuginfod``: downloads were asked for."""

    def __init__(self, line: Line, subjects: Subjects, debuginfod: bool) -> None:
        self._line, self._subjects, self._debuginfod = line, subjects, debuginfod

    def serve(self, asked: dict[str, Any], process: Process, waits: Callable[[], None] = lambda: None) -> None:
        """Answer one request, which concerns ``process``. Raises Broken for one that no worker sends.

        ``waits`` is called again and again during a download, and may raise.
        """
        what = asked["ask"]
        if what == "maps":
            if asked.get("again") is True:
                process.refresh()
            since = list(process.there_since.items())
            self._line.send({"generation": process.maps_generation, "since": since}, process.maps_text)
        elif what == "text":
            name = asked.get("name")
            may = isinstance(name, str) and _TEXTS.fullmatch(name)
            self._line.send({}, process.read_proc(str(name)) if may else b"")
        elif what == "real":
            self._line.send({"path": process.real_path(_path(asked))})
        else:
            descriptor, name = self._opened(what, asked, process, waits)
            if descriptor is None:
                self._line.send({})
                return
            _log.debug("file %s opened for a worker", name)
            try:
                number = self._subjects.of_file(descriptor, name)
                subject = self._subjects.get(number)
                barred = sorted(subject.barred) if subject is not None else []
                self._line.send({"number": number, "barred": barred}, b"", (descriptor,))
            finally:
                os.close(descriptor)

    def _opened(
        self, what: object, asked: dict[str, Any], process: Process, waits: Callable[[], None]
    ) -> tuple[Optional[int], str]:
        if what == "root":
            path = _path(asked)
            return process.open_root(path, follow_links=asked.get("follow") is True), path
        if what in ("mapped", "vdso"):
            start = asked.get("start")
            mapping = process.mapping(start) if isinstance(start, int) else None
            if mapping is None or mapping.start != start:
                return None, ""
            if what == "vdso":
                return (process.open_vdso(mapping) if mapping.path == "[vdso]" else None), mapping.path
            same = (mapping.dev, mapping.inode) == (asked.get("dev"), asked.get("inode"))
            return (process.open_mapped(mapping) if same else None), mapping.path
        if what == "exe":
            return process.open_executable(), process.executable_path() or "its program"
        if what == "public":
            path = os.path.normpath(_path(asked))
            return (process.open_public(path) if path.startswith(_OF_HOST) else None), path
        if what == "download" and self._debuginfod:
            text = str(asked.get("build_id"))
            try:
                return process.download(bytes.fromhex(text[:256]), waits), f"the download {text[:64]}"
            except ValueError:
                return None, ""
        raise Broken("a request that is none")


def _path(asked: dict[str, Any]) -> str:
    path = asked.get("path")
    if not isinstance(path, str) or len(path) > LONGEST_PATH:
        raise Broken("a request that is none")
    return path


def next_to_bar(part: int, barred: set[int]) -> int:
    """What is not parsed any more after ``part`` did harm. Symbols may have been a debug file's: that goes first."""
    if part == Part.SYMBOLS and Part.DEBUG_FILE not in barred:
        return Part.DEBUG_FILE
    return part if part in Part.__members__.values() and part else Part.OPENING
