"""The recorder as Python sees it: records, suspects, black boxes, endings, counters."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Optional, cast

from tracer.flight import layout, transitions
from tracer.flight.boxes import Box, Boxes, BoxHeader
from tracer.flight.consistent import Flight, consistent, ended
from tracer.flight.records import SuspectEntry, mapped
from tracer.kernel import bpf
from tracer.kernel.maps import Map, possible_cpus
from tracer.kernel.objectcode import ObjectCode
from tracer.kernel.plan import Plan
from tracer.kernel.program import Program
from tracer.kernel.ring import Ring
from tracer.kernel.source import ASKED_PAGES, PAGE, RING_PAGES, Sizes, Wanted
from tracer.model.connection import Losses
from tracer.model.frame import LastExec
from tracer.model.program import ProgramFile
from tracer.model.scope import Scope

_BIRTH = layout.Record.birth_ns.offset
_OWNED = {which: getattr(layout.Record, name).offset + layout.Touch.box.offset for name, which in layout.WHICH.items()}
_OWNER = struct.Struct("<III")  # struct ct_touch from box on
_U64, _U32 = struct.Struct("<Q"), struct.Struct("<I")
_EXEC = struct.Struct("<QQ")  # struct ct_exec
_MADE = struct.Struct("<QI4x")  # struct ct_made
_PROGRAM = struct.Struct("<QQII")  # struct ct_program
_INTERPRETER = struct.Struct("<BBHI120s")  # struct ct_interpreter


def _keys(numbers: Map) -> set[int]:
    return {_U32.unpack(key)[0] for key, _ in numbers.items()}


class Recorder:
    """Reads and maintains the maps of an attached program. All times are CLOCK_MONOTONIC ns."""

    def __init__(self, program: Program, sizes: Sizes, wanted: Wanted, scope: Scope, *, execs: bool) -> None:
        self._program = program
        self._records = mapped(program, sizes)
        self._cpus = possible_cpus()
        self._counters = program.map("counters", 4, 8 * self._cpus)
        self._boxes = Boxes(program, sizes)
        self._listeners = program.map("listeners", 8, 4) if scope.by_task else None
        self._seeds = program.map("seeds", 8, 4) if scope.by_task else None
        self._hints = program.map("hints", 4, 4) if scope.by_task else None
        self._pids = program.map("scope_pids", 4, 4) if scope.follows_pids else None
        self._programs = program.map("scope_programs", 4, 4) if scope.comm else None
        self._parents = program.map("parents", 4, _MADE.size)
        self._control = program.map("control", 4, 4) if wanted.guarded else None
        interpreters = wanted.interpreters
        self._interpreters = program.map("interpreters", 4, _INTERPRETER.size) if interpreters else None
        self._languages = program.map("languages", 4, 8) if interpreters else None
        self._known_programs = program.map("known_programs", _PROGRAM.size, _INTERPRETER.size) if interpreters else None
        self._asked = Ring(program.map("asked", 0, 4).descriptor, PAGE * ASKED_PAGES) if interpreters else None
        self._execs = program.map("execs", 4, _EXEC.size) if execs else None
        self._drain = bpf.Runnable(program.load_runnable("run_drain"), 6)
        self._unseeded = self._version = 0
        self._given_back = self._deep_given_back = 0
        self._endings = Ring(program.map("endings", 0, 1).descriptor, PAGE * RING_PAGES)
        self._events = Ring(program.map("events", 0, 1).descriptor, PAGE * RING_PAGES) if wanted.events else None

    def start(self, plan: Plan) -> None:
        """Attach. From here on sockets are recorded."""
        self._program.attach(plan)

    def add_pid(self, pid: int) -> None:
        """Bring a thread group into scope (only where forks are followed)."""
        if self._pids is not None:
            self._pids.update(_U32.pack(pid), _U32.pack(1))

    def add_program(self, pid: int) -> None:
        """Tell that the program of a thread group has the name that is in scope (only with one)."""
        if self._programs is not None:
            self._programs.update(_U32.pack(pid), _U32.pack(1))

    def followed(self) -> Optional[set[int]]:
        """The thread groups in scope now, as the kernel side has followed them; None where it follows none."""
        return None if self._pids is None else _keys(self._pids)

    def programs(self) -> Optional[set[int]]:
        """The thread groups whose program has the name that is in scope; None without one."""
        return None if self._programs is None else _keys(self._programs)

    def parent_of(self, pid: int) -> Optional[int]:
        """Who forked this process, alive or not; None if that was before the trace, or long ago."""
        value = self._parents.lookup(_U32.pack(pid))
        return None if value is None else int(_MADE.unpack(value)[1])

    def asked_for(self) -> list[int]:
        """The processes that took a program or touched a socket since the last call, and that nobody has looked at."""
        return [_U32.unpack(pid)[0] for pid in self._asked.read()] if self._asked is not None else []

    @property
    def asking(self) -> Optional[int]:
        """A descriptor that can be read (poll(2)) when there are such processes; None where nobody asks."""
        return self._asked.descriptor if self._asked is not None else None

    def tell_interpreter(
        self, pid: int, language: int = 0, values: bytes = b"", *, sure: bool = True, loops: bool = False
    ) -> None:
        """Have the frames of the interpreter in this process told at each touch, by the program of ``language``.

        ``values`` are the 120 bytes that it needs to know of the process. 0: it has no interpreter; if that is not
        ``sure``, its children will ask for themselves. ``loops``: it receives in an event loop, so the last send on
        each of its sockets is kept apart.
        """
        if self._interpreters is not None and self._languages is not None:
            known = self._entry(language, values, sure=sure, loops=loops)
            self._interpreters.update(_U32.pack(pid), known)
            self._languages.update(_U32.pack(pid % layout.LANGUAGES_KNOWN), _U32.pack(pid) + known[: _U32.size])

    def tell_program(self, program: ProgramFile, language: int, values: bytes, *, loops: bool = False) -> None:
        """Have the same told for each process of ``program`` from its first touch on, until it is looked at."""
        if self._known_programs is not None:
            device = os.major(program.device) << 20 | os.minor(program.device)  # MKDEV in include/linux/kdev_t.h
            key = _PROGRAM.pack(program.inode, program.size, device, program.uid)
            self._known_programs.update(key, self._entry(language, values, sure=False, loops=loops))

    def _entry(self, language: int, values: bytes, *, sure: bool, loops: bool) -> bytes:
        self._version = self._version % 0xFFFF + 1
        marks = layout.R_LOOPS if loops else 0
        return _INTERPRETER.pack(language, marks, self._version if language else 0, sure, values)

    def waits_for_answer(self, pid: int) -> bool:
        """Whether this process has touched a socket, and asks no more until something is told of it."""
        return self._interpreters is not None and self._interpreters.lookup(_U32.pack(pid)) is not None

    def forget_interpreter(self, pid: int) -> None:
        """Take back what was told of this process. At its next touch it is asked for again."""
        if self._interpreters is not None and self._languages is not None:
            self._languages.update(_U32.pack(pid % layout.LANGUAGES_KNOWN), _U64.pack(0))
            self._interpreters.delete(_U32.pack(pid))

    def forget_interpreters(self, alive: Callable[[int], bool]) -> None:
        """Free the entries of processes that have ended."""
        for pid in _keys(self._interpreters) if self._interpreters is not None else set():
            if not alive(pid):
                self.forget_interpreter(pid)

    def load_language(self, number: int, code: ObjectCode) -> None:
        """Load the program of a language, which tells the frames of its interpreters. Raises HostUnsupported."""
        self._program.load_language(number, code)

    def add_listener(self, netns: int, port: int) -> None:
        """Children of this listening port are in scope."""
        if self._listeners is not None:
            self._hint(port % layout.HINTS)
            key = struct.pack("<II", netns, port)
            known = self._listeners.lookup(key)
            self._listeners.update(key, _U32.pack(1 + (_U32.unpack(known)[0] if known else 0)))

    def add_seed(self, cookie: int) -> None:
        """The socket with this cookie, older than the trace, is in scope."""
        if self._seeds is not None:
            self._hint(layout.HINTS + cookie % layout.HINTS)
            self._unseeded += not self._seeds.update(_U64.pack(cookie), _U32.pack(1))

    def _hint(self, index: int) -> None:
        """Have the kernel side look for a listener or a seed: in the map ``hints``, and before the entry itself."""
        if self._hints is not None:
            self._hints.update(_U32.pack(index), _U32.pack(1))

    def suspects(self) -> list[SuspectEntry]:
        """All sockets that the program has not let go of: in CLOSE_WAIT, or dead with a descriptor still open."""
        return self._records.suspects()

    def flight(self, sk: int, place: Optional[int] = None) -> Optional[Flight]:
        """The flight record of a socket with its boxes, as of one moment; None if the socket is gone.

        ``place`` is where the record lies, if that is known.
        """
        if place is not None:
            return consistent(lambda: self._records.at(place, sk), self._boxes.read)
        return consistent(lambda: self._records.lookup(sk), self._boxes.read)

    def last_exec(self, pid: int) -> Optional[LastExec]:
        """The newest exec of the process ``pid`` since the start; None if this kernel does not show them."""
        if self._execs is None:
            return None
        found = self._execs.lookup(_U32.pack(pid))
        return LastExec(*_EXEC.unpack(found)) if found else LastExec()

    def owns(self, box: BoxHeader) -> bool:
        """Whether the touch that filled this box is still its socket's newest of that kind, and has not left it."""
        data = self._records.lookup(box.sk)
        place = _OWNED.get(box.which)
        if data is None or place is None or _U64.unpack_from(data, _BIRTH)[0] != box.birth_ns:
            return False
        handle, _, touch_seq = _OWNER.unpack_from(data, place)
        return bool(handle == box.handle and touch_seq == box.touch_seq)

    def stacks_in_use(self) -> set[int]:
        """The stack numbers in the records of all living sockets."""
        places = list(_OWNED.values())
        found = {_OWNER.unpack_from(data, place)[1] for data in self._records for place in places}
        return found - {0}

    def box(self, handle: int) -> Optional[Box]:
        """What lies in a box, None if it could not be read whole."""
        return self._boxes.read(handle)

    def written(self) -> list[BoxHeader]:
        """The boxes that have been written since the last call, in pool order."""
        return self._boxes.written()

    def replace_box(self, box: BoxHeader, stack: int) -> bool:
        """Put an interned stack's number in place of a box; False if the touch has been overwritten since."""
        try:
            return self._drain.run(box.sk, box.which, box.touch_seq, box.handle, stack, box.birth_ns) == 1
        except OSError:
            return False

    def spare(self, mask: int) -> None:
        """Keep the stacks of fewer touches: those whose random number has no bit of ``mask`` (all ones: of none)."""
        if self._control is not None:
            self._control.update(_U32.pack(0), _U32.pack(mask))

    def give_back(self, handle: int) -> None:
        """Free a box that came with an ending or an event."""
        self._boxes.give_back(handle)
        self._given_back += 1
        self._deep_given_back += bool(handle & layout.DEEP_BOX) and not handle & layout.SMALL_BOX

    @property
    def boxes_used(self) -> float:
        """The part of the box pools that is in use, 0 to 1: of all, or of the deep ones alone if that is more."""
        used = self.boxes_out / self._boxes.count
        if not self._boxes.deep_count:
            return used
        return max(used, (self._out("deep") - self._deep_given_back) / self._boxes.deep_count)

    @property
    def boxes_out(self) -> int:
        """How many boxes touches own, or endings and events on their way here."""
        return self._out("boxes") - self._given_back

    def _out(self, kind: str) -> int:
        """How many the kernel side has taken and not freed itself."""
        taken, freed = (self._count(layout.COUNTERS.index(f"{kind}_{done}")) for done in ("taken", "freed"))
        return taken - freed

    def endings(self) -> Iterator[Flight]:
        """Sockets that ended since the last call, each with its boxes, which are the caller's to give back.

        One at a time, since the boxes of thousands would fill much memory. What is not taken is lost.
        """
        while batch := self._endings.read():
            for data in batch:
                yield ended(data, self._boxes.read)

    def wait_for_events(self, timeout_ms: int) -> None:
        """Until there are transitions (where they were asked for), up to ``timeout_ms``."""
        if self._events is not None:
            self._events.wait(timeout_ms)

    def events(self) -> list[transitions.Raw]:
        """Some thousands of transitions at most (where they were asked for), oldest first."""
        if self._events is None:
            return []
        return cast(list[transitions.Raw], self._events.unpack(transitions.RECORD))

    @property
    def lacked_records(self) -> bool:
        """Whether sockets found no free record. Such a one gets its record later, as one that is older does."""
        return self._count(layout.COUNTERS.index("lost_records")) > 0

    @property
    def events_lost(self) -> int:
        """Transitions and endings that found their buffer full."""
        return self._count(layout.COUNTERS.index("lost_events"))

    @property
    def events_produced(self) -> int:
        """Transitions that the kernel side made, with those that found the buffer full: its own count."""
        made = self._events.produced // transitions.RECORD.size if self._events is not None else 0
        return made + self.events_lost

    def stop(self) -> None:
        """Detach; what was recorded can still be read."""
        self._program.detach()

    def counters(self) -> dict[str, int]:
        """All counters of bpf/record.h, summed over the CPUs."""
        return {name: self._count(index) for index, name in enumerate(layout.COUNTERS)}

    def _count(self, index: int) -> int:
        value = self._counters.lookup(_U32.pack(index)) or b""
        return sum(struct.unpack(f"<{len(value) // 8}Q", value))

    def losses(self) -> Losses:
        """What the kernel side could not keep."""
        count = self.counters()
        return Losses(
            events=count["lost_events"],
            records=count["lost_records"] + self._unseeded,
            boxes=count["lost_boxes"],
            contended=count["lost_contended"],
            returns=count["lost_returns"],
            nested=self._program.missed_runs(),
        )

    @property
    def seen(self) -> int:
        """Sockets that have had a flight record, also if a filter by address or accept left them out soon after."""
        return self.counters()["created"]

    @property
    def watched(self) -> int:
        """Sockets with a flight record now."""
        count = self.counters()
        return max(0, count["created"] - count["destroyed"])

    def close(self) -> None:
        """Detach, free. Harmless when repeated."""
        self._program.close()
        self._boxes.close()
        self._records.close()
        for ring in (self._endings, self._events, self._asked):
            if ring is not None:
                ring.close()
