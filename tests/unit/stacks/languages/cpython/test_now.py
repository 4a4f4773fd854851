"""Threads that wait in a call from below many shapes of Python stacks; oracle: what they say of their own frames."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.stacks.stackbox import capture
from tracer.machine import calls
from tracer.model.frame import Stack
from tracer.stacks.service import StackService

SHAPES = Path(__file__).parents[4] / "systems" / "programs" / "python" / "shapes.py"

IN_A_SUB_INTERPRETER = """
import socket, sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
kept = interpreters.create()
interpreters.run_string(kept, "import sys")
def wait(port):
    socket.create_connection(("127.0.0.1", port)).recv(1)
wait(int(sys.argv[1]))
"""


@contextmanager
def program(listener: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """The program, told to begin. It has a connection to ``listener`` for each shape, and waits for a byte on it."""
    words = [sys.executable, str(SHAPES), str(listener.getsockname()[1])]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def receiving(pid: int) -> int:
    """The thread of ``pid`` that waits in recv(2), when one does."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for tid in os.listdir(f"/proc/{pid}/task"):
            number = Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()[0]
            if number.isdigit() and calls.name(int(number)) == "recvfrom":
                return int(tid)
        time.sleep(0.002)
    raise AssertionError("no thread waits in recv")


def python(stack: Stack) -> list[tuple[object, object, object]]:
    """Its Python frames."""
    return [(f.function, f.file, f.line) for f in stack.frames if f.language == "python"]


@pytest.mark.timeout(120)
def test_the_functions_of_a_waiting_thread_are_those_that_it_tells() -> None:
    """All of them, in order, with file and line. Those of C that they are called from are between them."""
    service, wrong, compared = StackService(), [], 0
    with socket.create_server(("127.0.0.1", 0)) as listener, program(listener) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("END"):
                break
            shape, _, frames = json.loads(line)
            connection, _ = listener.accept()
            stack = service.unwind(capture(process.pid, receiving(process.pid), 1 << 20))
            connection.sendall(b"x")
            connection.close()
            theirs = [tuple(frame) for frame in frames]
            ours = python(stack)
            if ours != theirs[:256] or any(frame.note for frame in stack.frames[:100] if len(theirs) < 100):
                wrong.append((shape, ours, theirs, [frame.note for frame in stack.frames if frame.note]))
            compared += 1
            if shape in ("sort", "ctypes"):
                c = [frame.module for frame in stack.frames if frame.language != "python"]
                assert shape == "sort" or any("_ctypes" in (module or "") for module in c)
    service.close()
    assert not wrong, wrong[:3]
    assert compared >= 40


@pytest.mark.skipif(sys.version_info < (3, 11), reason="its threads' states have no numbers")
def test_a_thread_that_has_run_in_a_sub_interpreter_is_told_where_it_runs() -> None:
    """It has a state in each of the two interpreters. The idle one is the newer."""
    service = StackService()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = [sys.executable, "-c", IN_A_SUB_INTERPRETER, str(listener.getsockname()[1])]
        with subprocess.Popen(words) as process:
            connection, _ = listener.accept()
            stack = service.unwind(capture(process.pid, receiving(process.pid), 1 << 20))
            connection.close()
    service.close()
    assert [function for function, _, _ in python(stack)] == ["wait", "<module>"]


FORKS = """
import ctypes, socket, sys
def wait(port):
    socket.create_connection(("127.0.0.1", port)).recv(1)
if not ctypes.PyDLL(None).fork():
    wait(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ([], FORKS),  # Python is not told of it, so it has the parent's number
        pytest.param(
            ["unshare", "--pid", "--fork"],
            FORKS.replace("not ctypes.PyDLL(None).fork()", "True"),
            marks=pytest.mark.root,
        ),
    ],
)
def test_the_number_that_python_has_for_a_thread_is_another(command: list[str], program: str) -> None:
    """Of a fork that Python is not told of, and in a PID namespace."""
    service = StackService()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = [*command, sys.executable, "-c", program, str(listener.getsockname()[1])]
        with subprocess.Popen(words) as process:
            connection, peer = listener.accept()
            (pid,) = holders(peer[1])
            stack = service.unwind(capture(pid, receiving(pid), 1 << 20))
            connection.close()
    service.close()
    assert process.returncode == 0
    assert [function for function, _, _ in python(stack)] == ["wait", "<module>"]


def holders(port: int) -> list[int]:
    """The processes that have the socket of this local port; from ss(8)."""
    told = subprocess.run(["ss", "-Htnp", f"sport = :{port}"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [int(pid) for pid in re.findall(r"pid=(\d+)", told)]
