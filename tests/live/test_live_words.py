"""The words of Python's frames, as the kernel side told them at the touch, against what the program says of itself."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar

import pytest

from tests.live.closetrace_command import SLOW
from tests.live.workload import build
from tracer.flight import layout
from tracer.kernel.source import Sizes, Wanted
from tracer.model.frame import BlackBox, WordsEnd
from tracer.model.scope import Scope
from tracer.session.interpreters import Interpreters
from tracer.session.request import Request
from tracer.session.session import Session
from tracer.stacks.service import StackService

PROGRAM = Path(__file__).resolve().parents[1] / "workloads" / "python_frames.py"
PYTHON = "/usr/bin/python3"
ENTRY = 0xFF
MINOR = int(subprocess.check_output([PYTHON, "-c", "import sys; print(sys.version_info[1])"]))
HAS_DATA_STACK = MINOR >= 11
"""Before, all frames are in the heap, and fewer are told. None tells an evaluation loop."""
MOST = 64 if HAS_DATA_STACK else 32
LIMIT_S = 20.0 * SLOW
PROBES = os.environ.get("CLOSETRACE_TEST_PROBES", "auto")
T = TypeVar("T")
P = TypeVar("P", bound="Program")


def awaited(ask: Callable[[], Optional[T]]) -> T:
    until = time.monotonic() + LIMIT_S
    while (found := ask()) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that reads one byte of each connection and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(1)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class Program:
    """A program that does as it is told."""

    def __init__(self, port: int, *command: str) -> None:
        words = command or (PYTHON, str(PROGRAM))
        self._program = subprocess.Popen(
            [*words, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self: P) -> P:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._program.kill()
        self._program.wait()

    def ask(self, place: str, number: int) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{place} {number}\n")

    def hear(self) -> dict[str, Any]:
        assert self._program.stdout is not None
        told: dict[str, Any] = json.loads(self._program.stdout.readline())
        return told


class Traced(Program):
    """A program whose touches are recorded, and those of its children; or whoever connects to the port."""

    def __init__(self, port: int, *command: str, whole_host: bool = False) -> None:
        super().__init__(port, *command)
        scope = Scope(remote_ports=(port,)) if whole_host else Scope(pids=(self._program.pid,), follow_forks=True)
        self.session = Session(Request(scope, "it", Sizes(32 << 20), Wanted(linger_ns=100_000_000), probes=PROBES))
        self.run = self.session._run
        self._service = StackService(last_exec=self.run.recorder.last_exec)
        self.interpreters = Interpreters(self.run, self._service)

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        super().__exit__(kind, error, trace)
        self.session.close()
        self._service.close()

    def begin(self) -> None:
        """Wait until the interpreter has begun, and tell the kernel side of it."""
        awaited(lambda: self._service.interpreter(self._program.pid))
        self.interpreters.seed()

    def box(self, port: int, which: str = "last") -> BlackBox:
        """What was recorded of the last call on the connection from this port, or of another touch of it."""
        return awaited(lambda: self._box(port, which))

    def _box(self, port: int, which: str) -> Optional[BlackBox]:
        for suspect in self.run.recorder.suspects():
            flight = self.run.recorder.flight(suspect.sk)
            touch = _touch(flight.record, which) if flight is not None and flight.record.lport == port else None
            if flight is not None and touch is not None and touch.box in flight.boxes:
                return flight.boxes[touch.box][1]
        return None


def _touch(record: layout.Record, which: str) -> layout.Touch:
    """The last call may be a send: in a process that has loaded asyncio these are kept apart."""
    names = ("last", "sent") if which == "last" else (which,)
    several: list[layout.Touch] = [getattr(record, name) for name in names]
    return max(several, key=lambda touch: touch.ns)


def codes(box: BlackBox) -> list[int]:
    return [code for code, second in box.words if second >> 56 != ENTRY]


def loops(box: BlackBox) -> list[int]:
    """The addresses that tell evaluation loops."""
    return [address for address, second in box.words if second >> 56 == ENTRY]


PLACES = [
    ("nested", 0),
    ("nested", 27),
    ("nested", MOST - 9),
    ("method", 5),
    ("generator", 8),
    ("coroutine", 5),
    ("callback", 3),
    ("thread", 6),
]


def test_the_frames_are_those_that_the_program_has(port: int) -> None:
    """All of them, in order; and where loops are told, they lie on the thread's stack, innermost lowest."""
    with Traced(port) as traced:
        traced.begin()
        for place, number in PLACES:
            traced.ask(place, number)
            told = traced.hear()
            box = traced.box(told["port"])
            assert (place, codes(box)) == (place, told["codes"])
            assert (box.words_end, box.language) == (WordsEnd.COMPLETE, 1)
            assert loops(box) == sorted(loops(box))
            assert bool(loops(box)) == HAS_DATA_STACK
            assert all(box.sp < address < box.sp + (1 << 23) for address in loops(box))


def test_deep_stacks_are_told_as_far_as_there_is_room(port: int) -> None:
    """The innermost ones, wherever the chunks of the data stack begin; and that this is not all of them."""
    with Traced(port) as traced:
        traced.begin()
        for depth in (*range(112, 132, 3), 500):
            traced.ask("nested", depth)
            told = traced.hear()
            box = traced.box(told["port"])
            assert codes(box) == told["codes"][:MOST]
            assert box.words_end is WordsEnd.LIMIT


def test_a_python_that_came_late_to_its_key(port: int) -> None:
    """Others have taken many keys for values of threads before: the state lies in a further block."""
    library = build("many_keys", "-shared", "-fPIC", "-pthread", link=(), output="many_keys.so")
    with Traced(port, "/usr/bin/env", f"LD_PRELOAD={library}", PYTHON, str(PROGRAM)) as traced:
        traced.begin()
        for place in ("nested", "thread"):
            traced.ask(place, 5)
            told = traced.hear()
            box = traced.box(told["port"])
            assert (codes(box), box.words_end) == (told["codes"], WordsEnd.COMPLETE)


def test_frames_come_with_a_stack_that_has_a_gap(port: int) -> None:
    """Both parts of the C stack and the frames have their places in one box: loops lie in the part that is in it."""
    with Traced(port) as traced:
        traced.begin()
        traced.ask("callback", 40)
        told = traced.hear()
        box = traced.box(told["port"])
        assert box.far_offset > len(box.stack)
        assert len(box.far) == 16384
        assert len(box.stack) == 65536 - 16384 - 1024
        assert len(box.words) == MOST
        assert codes(box) == told["codes"][: len(codes(box))]
        assert all(address < box.sp + len(box.stack) for address in loops(box)[:1])


def test_a_forked_child_is_known_at_its_first_touch(port: int) -> None:
    """Nobody looks at it in between."""
    with Traced(port) as traced:
        traced.begin()
        traced.ask("fork", 0)
        told = traced.hear()
        assert told["pid"] != traced._program.pid
        assert codes(traced.box(told["port"])) == told["codes"]


def test_a_program_that_begins_during_the_trace_is_known(port: int) -> None:
    """A Python that another one starts: at its exec it has no interpreter yet, some moments later it has."""
    with Traced(port) as traced:
        traced.begin()
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.1):
                traced.interpreters.look()

        looks = threading.Thread(target=look)
        looks.start()
        traced.ask("exec", int(1500 * SLOW))
        told = traced.hear()
        assert codes(traced.box(told["port"])) == told["codes"]
        over.set()
        looks.join()


def test_nothing_is_told_before_anybody_has_looked(port: int) -> None:
    """The first touch asks; a touch after the answer has its frames. The stack is there in both cases."""
    with Traced(port) as traced:
        traced.ask("nested", 3)
        first = traced.box(traced.hear()["port"])
        assert (first.words, first.words_end, first.language) == ((), WordsEnd.NONE, 0)
        assert first.stack
        traced.interpreters.look()
        traced.ask("nested", 3)
        told = traced.hear()
        assert codes(traced.box(told["port"])) == told["codes"]


def is_asked(traced: Traced, seconds: float) -> bool:
    """Whether a process asks within so long."""
    asking = traced.run.recorder.asking
    assert asking is not None
    return bool(select.select([asking], [], [], seconds)[0])


def test_who_touches_first_is_answered_at_once(port: int) -> None:
    """Of the whole host: its first touch ends the rest that closetrace takes."""
    with Traced(port, whole_host=True) as traced:
        assert not is_asked(traced, 0.0)
        traced.ask("nested", 3)
        traced.hear()
        assert is_asked(traced, LIMIT_S)
        traced.interpreters.look()
        assert not is_asked(traced, 0.0)
        traced.ask("nested", 3)
        told = traced.hear()
        assert codes(traced.box(told["port"])) == told["codes"]


@pytest.mark.parametrize("place", ["exec", "fork"])
def test_what_runs_a_known_program_is_known_at_its_first_touch(port: int, place: str) -> None:
    """Nobody looks at it in between: neither at a Python that is started, nor at the child of one that never touched.

    That one only waits, as a server's master does that forks its workers.
    """
    with Traced(port, whole_host=True) as traced, Program(port) as master:
        traced.ask("nested", 0)
        traced.hear()
        traced.interpreters.look()
        master.ask(place, 0)
        told = master.hear()
        opened, last = (traced.box(told["port"], which) for which in ("opened", "last"))
        assert (codes(opened), codes(last)) == (told["codes"], told["codes"])
        assert opened.words_end is WordsEnd.COMPLETE
