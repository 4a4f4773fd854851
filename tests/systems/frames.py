"""What the tests of Python's, Ruby's and JavaScript's stacks share: a trace of a program that tells its own frames."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.live.closetrace_command import Trace
from tests.systems.pythons import Told, told

Row = Counter[str]


def table_of(
    request: pytest.FixtureRequest, title: str, columns: Sequence[str], *, names: int = 22, numbers: int = 11
) -> Iterator[dict[str, Row]]:
    """A fixture's body: rows of numbers by name, printed at the end; ``names`` and ``numbers`` are columns' widths."""
    rows: dict[str, Row] = {}
    yield rows
    lines = [f"{title:<{names}}" + "".join(f"{column:>{numbers}}" for column in columns)]
    lines += [
        f"{name:<{names}}" + "".join(f"{row[column]:>{numbers}}" for column in columns) for name, row in rows.items()
    ]
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *lines, sep="\n")


def traced_calls(process: subprocess.Popen[str]) -> Iterator[tuple[Told, dict[str, Any]]]:
    """Trace ``process``, which waits for a line: what it said of a site's first socket, with that site. Ends it."""
    options = ("--pid", str(process.pid), "--linger", "0.2", "--json", "--verbose")
    try:
        with Trace(*options) as trace:
            trace.until(lambda: "has an interpreter" in trace.err(), "the interpreter is known")
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            said = {one.port: one for one in told(process)}
            trace.until(lambda: all_read(len(said)) in trace.err(), "all sockets linger, and all their stacks are read")
            report = trace.stop().report()
    finally:
        process.kill()
    for site in report["sites"]:
        port = int(site["sockets"][0]["local"].rpartition(":")[2])
        yield said[port], site


def all_read(count: int) -> str:
    """What the trace says once it has nothing left to do for so many sockets."""
    return f"look: {count} suspects, {count} of them over the threshold, 0 records read, 0 boxes unwound"


def place(frame: dict[str, Any]) -> tuple[str, str, int]:
    """Function, file and line of a frame."""
    return frame["function"], frame["file"], frame["line"]


def is_cut(site: dict[str, Any]) -> bool:
    """Whether the stack says that not all frames were copied."""
    return any("copied" in (frame["note"] or "") for frame in site["stack"])


def site_of_the_half_closed(process: subprocess.Popen[str], answer: bytes, count: int) -> dict[str, Any]:
    """The site of ``count`` connections to a server that prints its port first: each had its answer and hung up.

    The server is killed at the end.
    """
    assert process.stdout is not None
    port = int(process.stdout.readline())
    options = ("--pid", str(process.pid), "--linger", "0.2", "--json", "--verbose")
    try:
        with ExitStack() as clients, Trace(*options) as trace:
            trace.until(lambda: "has an interpreter" in trace.err(), "the interpreter is known")
            for _ in range(count):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.sendall(b"ping\n")
                assert client.recv(16) == answer
                client.shutdown(socket.SHUT_WR)
            trace.until(lambda: f"{count} of them over the threshold" in trace.err(), "all sockets lingered")
            (site,) = trace.stop().report()["sites"]
            return dict(site)
    finally:
        process.kill()
