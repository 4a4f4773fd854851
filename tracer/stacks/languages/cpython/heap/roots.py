"""Where chains of holders end: modules, functions at work, asyncio's tasks, greenlets, and what threads have."""

from __future__ import annotations

import contextlib
import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import OfProgram
from tracer.stacks.languages.cpython import is_own_file
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.live import LOWEST, Fact, Live, is_more, is_word
from tracer.stacks.languages.cpython.heap.steps import Steps, alive
from tracer.stacks.languages.cpython.heap.types import Kind, Types
from tracer.stacks.languages.cpython.layouts import Layout
from tracer.stacks.languages.cpython.process import CPython, interpreters, threads
from tracer.stacks.target.reader import Nonsense

_TAGS = 3
_MOST_FRAMES, _MOST_VARIABLES, _ROUNDS, _MOST_TASKS = 1000, 2000, 12, 100_000
_TASK_SETS = ("_all_tasks", "_scheduled_tasks")
_GREENLET_PART = 32


class Origin(enum.Enum):
    """What a root is."""

    MODULE = "module"
    VARIABLE = "variable"
    SLOT = "slot"
    TASK = "task"
    THREAD = "thread"


@dataclass(frozen=True)
class Anchor:
    """``word`` refers to an object, as ``facts`` say. ``own``: of the program's own code.

    ``of_program``: of the installed package that is the program (:attr:`tracer.model.frame.Frame.of_program`).
    ``thread`` has to be there still, and ``frame`` to be of a function that it runs, unless they are 0. ``of`` is the
    module's name or the function's, ``name`` the address of the variable's name, a str; 0 if it has none.
    """

    origin: Origin
    word: int
    facts: tuple[Fact, ...]
    own: bool = False
    of: str = ""
    name: int = 0
    thread: int = 0
    frame: int = 0
    of_program: bool = False


@dataclass(frozen=True)
class Module:
    """A module of the program: where its globals are, and what leads there. ``of_program`` as in :class:`Anchor`."""

    name: str
    globals: int
    own: bool
    facts: tuple[Fact, ...]
    of_program: bool = False


class Roots:
    """Raises MemoryUnreadable and Nonsense."""

    def __init__(self, found: CPython, layout: Layout, live: Live, types: Types, of_program: OfProgram) -> None:
        self.of_program = of_program
        self._found, self._layout, self._live, self._types = found, layout, live, types
        self._reader = live.reader
        self._file_key = 0
        self.interpreters = tuple(interpreters(self._reader, found.runtime, layout))
        self.module_tables = [self._reader.pointer(one + live.layout.modules) for one in self.interpreters]
        none = found.symbol("_Py_NoneStruct")
        self._none = none or 0

    def modules(self) -> list[Module]:
        """All of sys.modules of each interpreter, the main one's first."""
        tables = [pair for pair in zip(self.interpreters, self.module_tables) if pair[1] > LOWEST]
        return [module for interpreter, table in reversed(tables) for module in self._modules_of(interpreter, table)]

    def _modules_of(self, interpreter: int, table: int) -> list[Module]:
        place = interpreter + self._live.layout.modules
        modules: list[Module] = []
        self._file_key = 0
        for entry in self._live.entries(table):
            try:
                info = self._types.of(entry.value)
                if info is None or "module" not in info.base_names:
                    continue
                dictionary = self._reader.pointer(entry.value + at.MODULE_DICT)
                name = self._live.text(entry.key)
                facts = (is_word(place, table), *entry.facts)
                facts = (*facts, is_word(entry.value + at.MODULE_DICT, dictionary))
                file = self._file_of(dictionary)
                own = name == "__main__" or is_own_file(file)
                modules.append(Module(name, dictionary, own, facts, self.of_program(file)))
            except (MemoryUnreadable, Nonsense):
                continue
        return modules

    def _file_of(self, dictionary: int) -> str:
        """``__file__``. The key is one str for all modules of an interpreter."""
        for entry in self._live.entries(dictionary):
            if not self._file_key and self._live.text(entry.key) == "__file__":
                self._file_key = entry.key
            if entry.key == self._file_key:
                return self._live.text(entry.value)
        return ""

    def of_module(self, module: Module) -> Iterator[Anchor]:
        """Its globals."""
        for entry in self._live.entries(module.globals):
            facts = (*module.facts, *entry.facts)
            of_program = module.of_program
            yield Anchor(Origin.MODULE, entry.value, facts, module.own, module.name, entry.key, of_program=of_program)

    def frames(self) -> list[tuple[int, int]]:
        """Thread and frame of the functions at work: all that several walks saw, as frames are popped meanwhile."""
        seen: dict[tuple[int, int], None] = {}
        for _ in range(_ROUNDS):
            for thread in self.threads():
                seen.update(dict.fromkeys((thread, frame) for frame in self.frames_of(thread)))
        return list(seen)

    def threads(self) -> list[int]:
        """The addresses of thread states."""
        return list(threads(self._reader, self._found.runtime, self._layout))

    def frames_of(self, thread: int) -> list[int]:
        """The frames of one thread, newest first."""
        runtime, frame = self._layout.runtime, self._layout.frame
        frames: list[int] = []
        try:
            place = self._reader.pointer(thread + runtime.frame)
            if runtime.cframe is not None and place:
                place = self._reader.pointer(place + runtime.cframe)
            while place and len(frames) < _MOST_FRAMES:
                head = self._reader.read(place, frame.size)
                if frame.owner is None or head[frame.owner] < frame.entry_owner:
                    frames.append(place)
                place = struct.unpack_from("<Q", head, frame.previous)[0]
        except MemoryUnreadable:
            pass
        return frames

    def of_frame(self, thread: int, frame: int) -> Iterator[Anchor]:
        """Variables of a function at work, then slots of its evaluation stack. Nothing if it is not to be read."""
        live, layout = self._live, self._live.layout
        try:
            word = self._reader.pointer(frame + self._layout.frame.code)
            code = word & ~_TAGS
            count = self._reader.unsigned(code + layout.variable_count, 4)
            size = self._reader.unsigned(code + layout.stack_size, 4)
            if not count + size <= _MOST_VARIABLES:
                return
            of, file = live.where(code)
            names = self._reader.pointer(code + layout.variable_names) + layout.tuple_items
            keys = live.words(names, count)
            values = live.words(frame + layout.variables, count + size)
        except (MemoryUnreadable, Nonsense):
            return
        own, of_program, first = (
            is_own_file(file),
            self.of_program(file),
            (is_word(frame + self._layout.frame.code, word),),
        )
        for index, value in enumerate(values):
            if value > LOWEST:
                origin, name = (Origin.VARIABLE, keys[index]) if index < count else (Origin.SLOT, 0)
                facts = (*first, is_word(frame + layout.variables + 8 * index, value))
                yield Anchor(origin, layout.untagged(value), facts, own, of, name, thread, frame, of_program)

    def of_threads(self) -> Iterator[Anchor]:
        """What threads have: local data, contexts, the exception that is being handled."""
        layout = self._live.layout
        for thread in self.threads():
            for offset, name in ((layout.thread_dict, "thread-local data"), (layout.context, "context")):
                word = self._reader.pointer(thread + offset)
                if word > LOWEST:
                    yield Anchor(Origin.THREAD, word, (is_word(thread + offset, word),), of=name, thread=thread)
            try:
                place = self._reader.pointer(thread + layout.exception)
                word = self._reader.pointer(place)
            except MemoryUnreadable:
                continue
            if word > LOWEST:
                facts = (is_word(thread + layout.exception, place), is_word(place, word))
                yield Anchor(Origin.THREAD, word, facts, of="the exception being handled", thread=thread)

    def tasks(self, asyncio: Module) -> Iterator[Anchor]:
        """asyncio's tasks, by its own lists and sets of weak references: what a task waits for refers to the task."""
        yield from self._linked_tasks()
        for entry in self._live.entries(asyncio.globals):
            if self._text(entry.key) in _TASK_SETS:
                yield from self._weakly(entry.value)

    def _linked_tasks(self) -> Iterator[Anchor]:
        """Those of the lists that interpreters and threads have since 3.14: a task is in one until it is done."""
        layout = self._live.layout
        if layout.tasks is None:
            return
        of_interpreter, of_thread = layout.tasks
        heads = [one + of_interpreter for one in self.interpreters] + [one + of_thread for one in self.threads()]
        for head in heads:
            with contextlib.suppress(MemoryUnreadable):
                yield from self._linked(head)

    def _linked(self, head: int) -> Iterator[Anchor]:
        place = self._live.layout.task
        node = self._reader.pointer(head)
        for _ in range(_MOST_TASKS):
            if node in (head, 0):
                return
            task = node - place
            info = self._types.of(task)
            if info is None or "_asyncio.Task" not in info.base_names:  # the list has changed meanwhile
                return
            yield Anchor(Origin.TASK, task, (*alive(task, info), is_more(node, LOWEST)))
            node = self._reader.pointer(node)

    def _weakly(self, weak_set: int) -> Iterator[Anchor]:
        steps = Steps(self._live, self._types)
        data = steps.attribute(weak_set, "data")
        for step in steps.elements(data.held, _MOST_TASKS) if data is not None else ():
            task = self._reader.pointer(step.held + at.REFERENT)
            if task > LOWEST and task != self._none:
                yield Anchor(Origin.TASK, task, (is_word(step.held + at.REFERENT, task),))

    def _text(self, key: int) -> str:
        try:
            return self._live.text(key)
        except (MemoryUnreadable, Nonsense):
            return ""

    def of_greenlet(self, greenlet: int) -> Iterator[Anchor]:
        """Variables of a greenlet's functions. Its C++ part has its newest frame as an object, wherever that is."""
        try:
            of_greenlet = self._types.of(greenlet)
            part = self._reader.pointer(greenlet + _GREENLET_PART)
            words = self._live.words(part, 24) if part > LOWEST and not part & 7 else ()
        except MemoryUnreadable:
            return
        if of_greenlet is None or not of_greenlet.is_greenlet:
            return
        for index, word in enumerate(words):
            try:
                if word <= LOWEST or word & 7:
                    continue
                info = self._types.of(word)
                if info is None or info.kind is not Kind.FRAME:
                    continue
                frame = self._reader.pointer(word + at.FRAME_OF_OBJECT)
                facts = (
                    *alive(greenlet, of_greenlet),
                    *alive(word, info),
                    is_word(greenlet + _GREENLET_PART, part),
                    is_word(part + 8 * index, word),
                    is_word(word + at.FRAME_OF_OBJECT, frame),
                )
                yield from self._suspended(frame, facts)
            except MemoryUnreadable:
                continue

    def _suspended(self, frame: int, facts: tuple[Fact, ...]) -> Iterator[Anchor]:
        for _ in range(_MOST_FRAMES):
            if frame <= LOWEST:
                return
            for anchor in self.of_frame(0, frame):
                if anchor.origin is Origin.VARIABLE:
                    yield replace(anchor, facts=(*facts, *anchor.facts), frame=0)
            previous = self._reader.pointer(frame + self._layout.frame.previous)
            facts = (*facts, is_word(frame + self._layout.frame.previous, previous))
            frame = previous

    def collecting(self) -> bool:
        """Whether an interpreter's collector is at work."""
        collecting = self._live.layout.collecting
        return any(self._reader.unsigned(one + collecting, 4) for one in self.interpreters)
