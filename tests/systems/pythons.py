"""Finds and starts the Pythons under test, and reads what they say about their own frames."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.live.peers import answer_and_hang_up
from tests.systems.rooted import start_below

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs" / "python"
Frames = list[tuple[str, str, int]]
"""Function, file and line of each frame, innermost first."""


@dataclass(frozen=True)
class Python:
    """A CPython 3.``minor``: the command to run below the directory ``root``."""

    minor: int
    root: Path
    command: str

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of the programs in ``programs/python``."""
        return start_below(self.root, self.command, PROGRAMS / program, *arguments)


def find_python(minor: int) -> Optional[Python]:
    """Debian's 3.``minor`` in a root directory of its own (downloaded once), or pyenv's; None if there is none."""
    if minor == 11 and os.access("/usr/bin/python3.11", os.X_OK):
        return Python(minor, Path("/"), "/usr/bin/python3.11")
    done = subprocess.run(["sh", str(HERE / "pythons.sh"), str(minor)], check=True, stdout=subprocess.PIPE, text=True)
    root, _, command = done.stdout.strip().partition(" ")
    return Python(minor, Path(root), command) if command else None


@dataclass(frozen=True)
class Told:
    """What a program said before one call: the shape of its stack, the connection's local port, its own frames."""

    shape: str
    port: int
    frames: Frames


def told(process: subprocess.Popen[str]) -> Iterator[Told]:
    """What ``process`` says, up to its END."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("END"):
            return
        shape, port, frames = json.loads(line)
        yield Told(shape, port, list(map(tuple, frames)))
    raise AssertionError(f"the program ended early: {process.wait()}")


@contextmanager
def answering() -> Iterator[int]:
    """A server on 127.0.0.1 that sends each connection a byte and closes it. Yields its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        answer_and_hang_up(connection, b"x")
