"""The words of Python's frames, as the kernel side told them at the touch, against what the program says of itself."""

from __future__ import annotations

import json
import os
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


class Traced:
    """A program whose touches are recorded, and those of its children."""

    def __init__(self, port: int, *command: str) -> None:
        words = command or (PYTHON, str(PROGRAM))
        self._program = subprocess.Popen(
            [*words, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        pid = self._program.pid
        scope = Scope(pids=(pid,), follow_forks=True)
        self.session = Session(Request(scope, "it", Sizes(32 << 20), Wanted(linger_ns=100_000_000), probes=PROBES))
        self.run = self.session._run
        self._service = StackService(last_exec=self.run.recorder.last_exec)
        self.interpreters = Interpreters(self.run, self._service)

    def __enter__(self) -> Traced:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._program.kill()
        self._program.wait()
        self.session.close()
        self._service.close()

    def begin(self) -> None:
        """Wait until the interpreter has begun, and tell the kernel side of it."""
        awaited(lambda: self._service.interpreter(self._program.pid))
        self.interpreters.seed()

    def ask(self, place: str, number: int) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{place} {number}\n")

    def hear(self) -> dict[str, Any]:
        assert self._program.stdout is not None
        told: dict[str, Any] = json.loads(self._program.stdout.readline())
        return told

    def box(self, port: int) -> BlackBox:
        """What was recorded of the last call on the connection from this port."""
        return awaited(lambda: self._box(port))

    def _box(self, port: int) -> Optional[BlackBox]:
        for suspect in self.run.recorder.suspects():
            flight = self.run.recorder.flight(suspect.sk)
            if flight is not None and flight.record.lport == port and flight.record.last.box in flight.boxes:
                return flight.boxes[flight.record.last.box][1]
        return None


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
