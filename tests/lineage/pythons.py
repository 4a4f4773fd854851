"""The Python programs that hold sockets, run by any CPython, and what they say of their own sockets."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lineage.programs import sockets_of
from tests.systems.pythons import Python, find_python
from tests.systems.rooted import start_below
from tracer.model.holder import Lineage, RootKind, SocketAt

PROGRAMS = Path(__file__).parent / "programs" / "python"
MINORS = tuple(map(int, os.environ.get("CLOSETRACE_PYTHONS", "11").split()))


def python(minor: int) -> Python:
    """CPython 3.``minor``."""
    found = find_python(minor)
    assert found is not None, f"there is no Python 3.{minor}"
    return found


def python_with_libraries(minor: int) -> Python:
    """The same with client libraries: the host's, or in a root directory of its own (downloaded once)."""
    if minor == 11:
        return python(minor)
    command = ["sh", str(Path(__file__).parent / "libraries.sh"), str(minor)]
    root = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return Python(minor, Path(root), f"/usr/bin/python3.{minor}")


@dataclass(frozen=True)
class Program:
    """A running program. ``kinds`` says for each local port in which way the program holds the socket."""

    process: subprocess.Popen[str]
    kinds: dict[int, str]
    peer: int

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def wanted(self) -> list[SocketAt]:
        """Its sockets, as ss lists them with their descriptors."""
        return sockets_of(self.pid, self.peer)

    def kind(self, wanted: list[SocketAt], lineage: Lineage) -> str:
        """In which way the program holds the socket that this is about."""
        (port,) = (one.local_port for one in wanted if one.fd == lineage.fd)
        return self.kinds[port]


@contextlib.contextmanager
def running(of: Python, program: str, peer: int, *words: str) -> Iterator[Program]:
    """Run one of the programs until all its sockets are there."""
    process = start_below(of.root, of.command, PROGRAMS / program, str(peer), *words)
    try:
        kinds = {}
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("READY"):
                break
            _, kind, port = line.split()
            kinds[int(port)] = kind
        else:
            raise AssertionError(f"the program ended early: {process.wait()}")
        yield Program(process, kinds, peer)
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def http() -> Iterator[int]:
    """A server on loopback that answers HTTP: ``/endless`` with less than it promises. Anything else it lets be."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=_answer, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(server.getsockname()[1])


@contextlib.contextmanager
def tls() -> Iterator[int]:
    """A server on loopback that shakes hands as TLS without a certificate, and then says nothing; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(context.wrap_socket(server.accept()[0], server_side=True))

        threading.Thread(target=accept, daemon=True).start()
        yield int(server.getsockname()[1])


def _answer(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            asked = connection.recv(65536)
            if not asked:
                return
            if b"endless" in asked:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
            elif asked.startswith(b"GET"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")


@dataclass(frozen=True)
class Truth:
    """How holders.py holds the sockets of a kind: the root, and the links that the chain has beside inner ones."""

    kind: RootKind
    root: str
    links: tuple[str, ...] = ()


_SESSION = "__main__.Session.sock"
_WRITER = ("asyncio.selector_events._SelectorSocketTransport._sock", "asyncio.streams.StreamWriter._transport")
MODULE = RootKind.MODULE
TRUTH = {
    "attribute": Truth(MODULE, "__main__: plain", (_SESSION,)),
    "dict": Truth(MODULE, "__main__: registry", (_SESSION, "__main__.Registry.sessions")),
    "queue": Truth(MODULE, "__main__: registry", (_SESSION, "queue.LifoQueue.queue", "__main__.Registry.pool")),
    "deque": Truth(MODULE, "__main__: waiting"),
    "list": Truth(MODULE, "__main__: many"),
    "tuple": Truth(MODULE, "__main__: pairs"),
    "set": Truth(MODULE, "__main__: chosen", (_SESSION,)),
    "slots": Truth(MODULE, "__main__: slotted", ("__main__.Slotted.conn",)),
    "class": Truth(MODULE, "__main__: Shared", ("__main__.Shared.conn",)),
    "dictionary": Truth(MODULE, "__main__: wide", ("__main__.Wide.sock",)),
    "method": Truth(MODULE, "__main__: callbacks"),
    "partial": Truth(MODULE, "__main__: partial"),
    "makefile": Truth(MODULE, "__main__: reader"),
    "thread-local": Truth(MODULE, "__main__: local"),
    "nested": Truth(MODULE, "__main__: nested"),
    "ssl": Truth(MODULE, "__main__: secured"),
    "closure": Truth(MODULE, "__main__: function", ("make.<locals>.send.__closure__",)),
    "generator": Truth(MODULE, "__main__: produced", ("produce.conn",)),
    "stream": Truth(MODULE, "__main__: registry", (*_WRITER, "__main__.Registry.stream")),
    "task": Truth(RootKind.TASK, "", (*_WRITER, "hold.writer")),
    "variable": Truth(RootKind.VARIABLE, "conn of work"),
    "moving": Truth(MODULE, "__main__: places", (_SESSION,)),
}
_PLACE = re.compile(r" \(holders\.py:\d+\)")


def is_true(kind: str, lineage: Lineage) -> bool:
    """Whether the chain is the one that the program says."""
    truth = TRUTH[kind]
    assert lineage.root is not None
    links = tuple(f"{_PLACE.sub('', link.holder)}.{link.field}" for link in lineage.links if not link.inner)
    root = _PLACE.sub("", lineage.root.name)
    return (lineage.root.kind, root, links) == (truth.kind, truth.root, truth.links)
