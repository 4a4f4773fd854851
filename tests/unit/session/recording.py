"""A recorder of our own making: records, boxes and endings as the kernel side would leave them, and a clock."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

import pytest

from tracer.flight import layout
from tracer.flight.boxes import Box, BoxHeader
from tracer.flight.consistent import Flight, consistent, ended
from tracer.flight.records import SuspectEntry
from tracer.model.connection import Losses
from tracer.model.frame import BlackBox, Frame, LastExec, Stack
from tracer.model.states import Op, TcpState

S = 1_000_000_000


class Clock:
    """Stands in for the time module; ``now`` is CLOCK_MONOTONIC ns."""

    def __init__(self, now: int = 1_000 * S) -> None:
        self.now = now
        self.step = 0
        self.cpu_ns = self.cpu_step = 0

    def monotonic_ns(self) -> int:
        self.now += self.step
        return self.now

    def thread_time_ns(self) -> int:
        self.cpu_ns += self.cpu_step
        return self.cpu_ns

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * S)

    def time(self) -> float:
        return self.now / S + 1.7e9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the session's modules, to be moved by hand."""
    made = Clock()
    for module in ("watch", "draining", "reading", "lives", "pace", "preexisting"):
        monkeypatch.setattr(f"tracer.session.{module}.time", made)
    return made


@dataclass
class FakeRecorder:
    """What tracer.flight.recorder.Recorder offers to the session, held in plain dicts."""

    records: dict[int, layout.Record] = field(default_factory=dict)
    boxes: dict[int, tuple[layout.BoxHead, BlackBox]] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    known: dict[int, int] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)
    ended: list[layout.Record] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    listening: list[tuple[int, int]] = field(default_factory=list)
    lost: Losses = field(default_factory=Losses)
    pool: int = 1000
    pids: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)
    parents: dict[int, int] = field(default_factory=dict)

    @property
    def lacked_records(self) -> bool:
        return self.lost.records > 0

    def add(self, sk: int, birth_ns: int, state: TcpState = TcpState.CLOSE_WAIT, **fields: Any) -> layout.Record:
        made = layout.Record(sk=sk, birth_ns=birth_ns, state=state, family=2, rport=80, lport=sk % 60000 + 1, **fields)
        ct.memmove(made.laddr, b"\x7f\0\0\x01", 4)
        ct.memmove(made.raddr, b"\x0a\0\0\x09", 4)
        self.records[sk] = made
        return made

    def suspect(self, sk: int, birth_ns: int, fin_ns: int, **fields: Any) -> layout.Record:
        self.since[sk] = fin_ns
        return self.add(sk, birth_ns, fin_ns=fin_ns, flags=layout.R_ACTIVE, **fields)

    def touch(self, record: layout.Record, which: str, ns: int, box: int, path: str = "leaky", seq: int = 1) -> None:
        """A touch with the black box ``box``, whose stack the fake service unwinds to ``path``."""
        touch = getattr(record, which)
        touch.ns, touch.op, touch.pid, touch.tid, touch.comm = ns, Op.RECV, 7, 8, b"app"
        touch.box, touch.seq = box, seq
        header = layout.BoxHead(
            seq=2, sk=record.sk, birth_ns=record.birth_ns, ns=ns, touch_seq=seq, which=layout.WHICH[which]
        )
        self.boxes[box] = header, BlackBox(7, 8, (0,) * 17, path.encode(), False)
        self.versions[box] = self.versions.get(box, 0) + 2

    def look_up(self, sk: int) -> Optional[bytes]:
        """One copy of a record's bytes, as the map gives it."""
        found = self.records.get(sk)
        return bytes(found) if found is not None else None

    def flight(self, sk: int, place: Optional[int] = None) -> Optional[Flight]:  # noqa: ARG002
        return consistent(lambda: self.look_up(sk), self.box)

    def _header(self, box: int) -> BoxHeader:
        head = self.boxes[box][0]
        return BoxHeader(box, self.versions[box], head.sk, head.birth_ns, head.ns, head.touch_seq, head.which)

    def box(self, handle: int) -> Optional[Box]:
        return (self._header(handle), self.boxes[handle][1]) if handle in self.boxes else None

    def written(self) -> list[BoxHeader]:
        changed = [box for box in self.boxes if self.versions[box] != self.known.get(box)]
        self.known.update((box, self.versions[box]) for box in changed)
        return [self._header(box) for box in changed]

    def _owner(self, box: BoxHeader) -> Any:
        name = next(name for name, number in layout.WHICH.items() if number == box.which)
        live = self.records.get(box.sk)
        touch = getattr(live, name) if live is not None and live.birth_ns == box.birth_ns else None
        return touch if touch is not None and (touch.box, touch.seq) == (box.handle, box.touch_seq) else None

    def stacks_in_use(self) -> set[int]:
        touches = (getattr(record, name) for record in self.records.values() for name in layout.WHICH)
        return {touch.stack for touch in touches} - {0}

    def owns(self, box: BoxHeader) -> bool:
        return self._owner(box) is not None

    def last_exec(self, _pid: int) -> Optional[LastExec]:
        return None

    @property
    def boxes_out(self) -> int:
        return len(self.boxes)

    @property
    def boxes_used(self) -> float:
        return len(self.boxes) / self.pool

    def replace_box(self, box: BoxHeader, stack: int) -> bool:
        """As bpf/hooks/drain.h: only if the touch is still the one that was read."""
        touch = self._owner(box)
        if touch is None:
            return False
        touch.box, touch.stack = 0, stack
        self.freed.append(box.handle)
        return True

    def give_back(self, handle: int) -> None:
        self.freed.append(handle)

    def suspects(self) -> list[SuspectEntry]:
        return [
            SuspectEntry(sk, self.records[sk].birth_ns, since, self.records[sk].state)
            for sk, since in self.since.items()
        ]

    def end(self, sk: int) -> layout.Record:
        """The socket is destroyed; its record and boxes are handed over."""
        self.since.pop(sk, None)
        record = self.records.pop(sk)
        self.ended.append(record)
        return record

    def endings(self) -> Iterator[Flight]:
        taken, self.ended = self.ended, []
        return iter([ended(bytes(record), self.box) for record in taken])

    def add_seed(self, cookie: int) -> None:
        self.seeds.append(cookie)

    def add_pid(self, pid: int) -> None:
        self.pids.add(pid)

    def add_program(self, pid: int) -> None:
        self.named.add(pid)

    def followed(self) -> Optional[set[int]]:
        return set(self.pids)

    def programs(self) -> Optional[set[int]]:
        return set(self.named)

    def parent_of(self, pid: int) -> Optional[int]:
        return self.parents.get(pid)

    def add_listener(self, netns: int, port: int) -> None:
        self.listening.append((netns, port))

    def losses(self) -> Losses:
        return self.lost

    @property
    def watched(self) -> int:
        return len(self.records)


@dataclass
class FakeService:
    """Unwinds a box to the call path that its stack bytes spell."""

    asked: list[BlackBox] = field(default_factory=list)

    def unwind(self, box: BlackBox) -> Stack:
        self.asked.append(box)
        return Stack(tuple(Frame(name, "app") for name in box.stack.decode().split("<")), True)

    @property
    def unwound(self) -> int:
        return len(self.asked)


def path(stack: Optional[Stack]) -> str:
    """The call path of a stack, as it was given to :meth:`FakeRecorder.touch`."""
    return "" if stack is None else "<".join(frame.function or "?" for frame in stack.frames)
