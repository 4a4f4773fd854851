"""The whole command as root, before a program of another user that makes it dear, or hard, to look at its threads."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import SLOW, Trace
from tests.live.peers import serving
from tests.unit.present import present
from tests.unit.stacks.stackbox import compile_c

pytestmark = pytest.mark.live

NOBODY = 65534
SOCKETS = 3
MOST_CPU_S = 30.0
"""Of all processes of a trace. What the kernel takes for thousands of threads is most of it."""


@pytest.fixture
def port() -> Iterator[int]:
    """A peer that answers and hangs up, and keeps its end of the connection: it never reads what comes."""
    kept = []

    def answer(client: socket.socket) -> None:
        kept.append(client)
        client.send(b"x", socket.MSG_MORE)
        client.shutdown(socket.SHUT_WR)

    with serving(answer) as port:
        yield port
    for one in kept:
        one.close()


@contextlib.contextmanager
def crowd(program: Path, mode: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """The program, as another user."""
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    process = subprocess.Popen(
        [*words, program, mode, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert present(process.stdout).readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """In a folder that another user may enter."""
    folder = Path("/tmp") / f"closetrace-crowd-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    source = (Path(__file__).parent / "crowds.c").read_text()
    yield compile_c(folder, "crowd", source, "-pthread")
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


def traced(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The report on what the program does once it is told to."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Trace("--pid", str(process.pid), "--linger", "0.1", "--interval", "0.2", "--json") as trace:
        trace.attached()
        present(process.stdin).write("\n")
        present(process.stdin).flush()
        assert present(process.stdout).readline() == "done\n"
        time.sleep(0.5)  # then all are older than the threshold
        ran = trace.stop()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.code == 0, ran.err
    assert used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime < MOST_CPU_S * SLOW
    report = ran.report()
    assert report["lingering"] == SOCKETS
    return report


@pytest.mark.timeout(200 * SLOW)
def test_thousands_of_threads_in_a_call(program: Path, port: int) -> None:
    """Each of them has a stack to be read."""
    with crowd(program, "senders", port) as process:
        report = traced(process)
    (site,) = report["sites"]
    assert site["verdict"] == "blocked-in-call"
    inside = {thread["tid"] for one in site["sockets"] for thread in one["blocked"]}
    assert len(inside) > 100


@pytest.mark.timeout(200 * SLOW)
def test_thousands_of_threads_that_poll_thousands(program: Path, port: int) -> None:
    """What they poll is not read: nobody asks for it."""
    with crowd(program, "pollers", port) as process:
        report = traced(process)
    assert not any(one["blocked"] for site in report["sites"] for one in site["sockets"])
    assert report["losses"]["threads"] == 0


@pytest.mark.parametrize("mode", ["headless", "headless-before"])
def test_the_first_thread_has_ended(program: Path, port: int, mode: str) -> None:
    """The process goes on, and so does the trace: the others have its descriptors and its network namespace."""
    with crowd(program, mode, port) as process:
        report = traced(process)
    assert report["reconciliation"]["told"] == SOCKETS
