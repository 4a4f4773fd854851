"""Somebody kills the processes that read stacks, again and again, while a thousand of them are read."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import SLOW, Trace
from tests.live.peers import answer_and_hang_up, serving
from tests.unit.present import present

pytestmark = pytest.mark.live

SOCKETS, LEVELS, KILLS = 1000, 10, 200
A_TURN = SOCKETS // KILLS
SOURCE = """
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static struct sockaddr_in peer = {.sin_family = AF_INET};
__attribute__((noinline)) static int use(void) {
    char bytes[6];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (void *)&peer, sizeof peer)) _exit(1);
    if (recv(fd, bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes) _exit(2);
    return fd;
}
#define FUNCTION __attribute__((noipa)) static int
#define LEVEL(n, next) \\
    FUNCTION left##n(int path) { return (path & 1 << (n - 1) ? right##next(path) : left##next(path)) + 1; } \\
    FUNCTION right##n(int path) { return (path & 1 << (n - 1) ? right##next(path) : left##next(path)) + 2; }
FUNCTION left0(int path) { return use() + 1; }
FUNCTION right0(int path) { return use() + 2; }
LEVEL(1, 0) LEVEL(2, 1) LEVEL(3, 2) LEVEL(4, 3) LEVEL(5, 4) LEVEL(6, 5) LEVEL(7, 6) LEVEL(8, 7) LEVEL(9, 8)
#define BEGINNING(n) FUNCTION begin_##n##_(int path) { return (path & 1 << 9 ? right9(path) : left9(path)) + 1; }
BEGINNINGS(BEGINNING)
#define NAME(n) begin_##n##_,
static int (*beginnings[])(int) = {BEGINNINGS(NAME)};
int main(int argc, char **argv) {
    peer.sin_port = htons(atoi(argv[1]));
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    puts("up"); fflush(stdout);
    for (int path = 0; getchar() != EOF; puts("done"), fflush(stdout))
        for (int end = path + A_TURN; path < end; path++) beginnings[path](path);
    return argc;
}
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A peer that answers and hangs up."""
    with serving(answer_and_hang_up) as port:
        yield port


@pytest.fixture
def program(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Leaves five more sockets, each on a path of its own, whenever it is told to.

    Each path begins in a function of its own: so a worker is asked, whatever is known of the other functions.
    """
    beginnings = "#define BEGINNINGS(MAKE) " + " ".join(f"MAKE({number})" for number in range(SOCKETS)) + "\n"
    (tmp_path / "paths.c").write_text(beginnings + SOURCE)
    flags = ("-O1", "-fno-optimize-sibling-calls", f"-DA_TURN={A_TURN}")
    subprocess.run(["gcc", "-o", tmp_path / "paths", tmp_path / "paths.c", *flags], check=True)
    words = ["prlimit", "--nofile=4096", str(tmp_path / "paths"), str(port)]
    running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert present(running.stdout).readline() == "up\n"
    yield running
    running.kill()
    running.communicate()


def workers(pid: int) -> list[int]:
    """The processes that read stacks for ``pid``, without those that ended and were not waited for yet."""
    with contextlib.suppress(OSError):
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [child for child in children if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2][1] != "Z"]
    return []


def cpu_s(pid: int) -> float:
    """CPU time of a process so far (clock_getcpuclockid(3)); endless if it has ended."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return float("inf")


def kill_one(trace: Trace, chance: random.Random) -> None:
    """Kill a worker as it starts, as it reads, or when it has read all and waits: its CPU time tells, not the clock."""
    found: list[int] = []

    def seen() -> list[int]:
        found[:] = workers(trace.process.pid)
        return found

    trace.until(seen, "a worker is there")
    worker, most = found[0], chance.uniform(0, 0.3) * SLOW
    before = -1.0
    while before < (now := cpu_s(worker)) < most:
        before = now
        time.sleep(0.05 * SLOW)
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)


def path_of(site: dict[str, Any]) -> int:
    """The number that the functions of the stack spell."""
    turns = [frame["function"] for frame in site["stack"] if frame["function"][-1].isdigit()]
    assert [int(turn[-1]) for turn in turns] == list(range(LEVELS)), site["stack"]
    return sum(turn.startswith("right") << level for level, turn in enumerate(turns))


@pytest.mark.timeout(400 * SLOW)
def test_two_hundred_workers_are_killed(program: subprocess.Popen[str]) -> None:
    """All sockets are in the report, each with the functions of its own path, and none was given up."""
    chance = random.Random(11)
    with Trace("--pid", str(program.pid), "--linger", "0.1", "--interval", "0.1", "--json") as trace:
        trace.attached()
        for _ in range(KILLS):
            present(program.stdin).write("\n")
            present(program.stdin).flush()
            assert present(program.stdout).readline() == "done\n"
            kill_one(trace, chance)
        time.sleep(6 * SLOW)
        ran = trace.stop()
    assert ran.code == 0, ran.err
    report = ran.report()
    assert report["unread"] == []
    assert report["losses"]["stacks_unread"] == 0
    assert report["lingering"] == SOCKETS
    assert sorted(path_of(site) for site in report["sites"]) == list(range(SOCKETS))
    assert {site["count"] for site in report["sites"]} == {1}
