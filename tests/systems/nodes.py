"""Finds and starts the builds of Node.js under test, and reads what programs say about their own frames."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.systems.rooted import start_below

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs" / "node"


@dataclass(frozen=True)
class Said:
    """Function, file and line of a frame, as V8 tells them; None where it tells none."""

    function: Optional[str]
    file: Optional[str]
    line: Optional[int]


@dataclass(frozen=True)
class Told:
    """What a program said before one call: the shape of its stack, its own frames, innermost first."""

    shape: str
    frames: tuple[Said, ...]


@dataclass(frozen=True)
class Node:
    """A Node.js: the command to run below the directory ``root``."""

    root: Path
    command: str

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of the programs in ``programs/node``."""
        return start_below(self.root, self.command, PROGRAMS / program, *arguments)


def find_node(kind: str) -> Node:
    """The official build of a major version, or ``debian``'s in a root directory of its own (downloaded once)."""
    done = subprocess.run(["sh", str(HERE / "nodes.sh"), kind], check=True, stdout=subprocess.PIPE, text=True)
    root, _, command = done.stdout.strip().partition(" ")
    return Node(Path(root), command)


def told(process: subprocess.Popen[str]) -> Iterator[tuple[int, Told]]:
    """What ``process`` says, up to its END, each with the connection's local port."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("END"):
            return
        shape, port, frames = json.loads(line)
        yield port, Told(shape, tuple(Said(*frame) for frame in frames))
    raise AssertionError(f"the program ended early: {process.wait()}")


@contextlib.contextmanager
def hanging_up() -> Iterator[int]:
    """A server on 127.0.0.1 that reads a byte of each connection, then shuts it down for sending. Yields its port."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        threading.Thread(target=_serve, args=(listener, kept), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()


def _serve(listener: socket.socket, kept: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            kept.append(connection)
            threading.Thread(target=_hang_up, args=(connection,), daemon=True).start()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
