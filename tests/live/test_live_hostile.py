"""The whole command as root, before a target of another user whose files do harm to whoever reads them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hostile.builders import BUILDS, NAMELESS, make
from tests.live.closetrace_command import SLOW, Trace
from tests.live.peers import answer_and_hang_up, serving
from tests.unit.present import present

pytestmark = pytest.mark.live

NOBODY = 65534
MOST_MEMORY = 700 << 20
SOURCE = """
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static int last(int fd) { char bytes[16]; return recv(fd, bytes, sizeof bytes, 0) + fd; }
int main(int argc, char **argv) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int (*leak[64])(int (*)(int), int), sum = 0;
    for (int i = 2; i < argc; i++) leak[i] = dlsym(dlopen(argv[i], RTLD_NOW), "leak");
    puts("up"); fflush(stdout);
    getchar();
    for (int i = 2; i < argc; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (void *)&peer, sizeof peer)) return 1;
        sum += leak[i](last, fd);
    }
    puts("done"); fflush(stdout);
    pause();
    return sum;
}
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A peer that answers and hangs up."""
    with serving(answer_and_hang_up) as port:
        yield port


@dataclass
class Target:
    """A program of another user that touches a socket through each library, once it is told to."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def go(self) -> None:
        present(self.process.stdin).write("\n")
        present(self.process.stdin).flush()
        assert present(self.process.stdout).readline() == "done\n"


@contextlib.contextmanager
def target(directory: Path, port: int, *libraries: Path) -> Iterator[Target]:
    program = directory / "target"
    (directory / "target.c").write_text(SOURCE)
    flags = ("-O1", "-fno-optimize-sibling-calls", "-ldl")
    subprocess.run(["gcc", "-o", program, directory / "target.c", *flags], check=True)
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    process = subprocess.Popen(
        [*words, program, str(port), *libraries], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert present(process.stdout).readline() == "up\n"
        yield Target(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that another user may enter."""
    directory = Path("/tmp") / f"closetrace-hostile-{os.getpid()}-{time.monotonic_ns()}"
    directory.mkdir(mode=0o755)
    yield directory
    subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True)


def resident(pid: int) -> int:
    """The memory of a process and its children in bytes."""
    total = 0
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError, ValueError):
            pids += [int(word) for word in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
    return total


def worked(pid: int) -> dict[int, float]:
    """The workers of a trace, and the CPU time that each has used."""
    found = {}
    with contextlib.suppress(OSError):
        for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found[int(word)] = time.clock_gettime(~int(word) << 3 | 2)
    return found


def all_read(trace: Trace) -> None:
    """Wait until no worker does anything for two seconds."""
    before: dict[int, float] = {}
    since = time.monotonic()

    def rests() -> bool:
        nonlocal before, since
        now = worked(trace.process.pid)
        if now != before or not now:
            before, since = now, time.monotonic()
        return time.monotonic() - since > 2 * SLOW

    trace.until(rests, "all is read", 240 * SLOW)


@pytest.mark.timeout(400 * SLOW)
def test_all_kinds_at_once(place: Path, port: int) -> None:
    """Every socket is told, with its function where the file does not hide it; what was not read any more is named."""
    libraries = [make(name, place) for name in BUILDS]
    with target(place, port, *libraries) as leaking:
        trace = Trace("--pid", str(leaking.pid), "--linger", "0.5", "--json")
        most, over = 0, threading.Event()

        def look() -> None:
            nonlocal most
            while not over.wait(0.05):
                most = max(most, resident(trace.process.pid))

        watcher = threading.Thread(target=look)
        watcher.start()
        with trace.attached():
            leaking.go()
            all_read(trace)  # a signal would cut it short
            ran = trace.stop()
        over.set()
        watcher.join()
    assert ran.code == 0, ran.err
    report = ran.report()
    assert report["lingering"] == len(BUILDS)
    told = {frame["module"] for frame in frames(report) if frame["function"] == "leak"}
    assert {f"{name}.so" for name in BUILDS if name not in NAMELESS} <= told
    assert most < MOST_MEMORY
    assert {Path(one["what"]).name for one in report["unread"]} >= {"nested-subprograms.so", "deep-expressions.so"}


def frames(value: object) -> list[dict[str, object]]:
    """All frames in a report."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    own = [value] if isinstance(value, dict) and {"function", "module"} <= value.keys() else []
    return own + [frame for one in inner for frame in frames(one)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.3, 0.8])
def test_a_signal_brings_the_report(place: Path, port: int, after_s: float, number: int) -> None:
    """While a worker is busy for as long as it may, a signal is answered within a second."""
    libraries = [make("deep-expressions", place)] * 12
    with target(place, port, *libraries) as leaking:
        trace = Trace("--pid", str(leaking.pid), "--linger", "0.1", "--json")
        with trace.attached():
            leaking.go()
            time.sleep(after_s)
            begun = time.monotonic()
            ran = trace.stop(number)
            took = time.monotonic() - begun
    assert ran.code == 0, ran.err
    assert ran.report()["lingering"] == 12
    assert took < 1.0 * SLOW + 0.5  # detaching and the end of the process are not the report's


def test_the_worker_as_the_kernel_sees_it(place: Path, port: int) -> None:
    """No capability, no new privileges, a seccomp filter, a user of its own, another network, an empty root."""
    with target(place, port, make("honest", place)) as leaking:
        trace = Trace("--pid", str(leaking.pid), "--linger", "0.1")
        with trace.attached():
            leaking.go()
            trace.until(lambda: "leak" in trace.out(), "the stack is told")
            pid = trace.process.pid
            (worker,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            lines = Path(f"/proc/{worker}/status").read_text().splitlines()
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [0, 0, 0]
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            assert 0 not in map(int, status["Uid"].split())
            assert NOBODY not in map(int, status["Uid"].split())
            assert os.listdir(f"/proc/{worker}/root/") == []
            assert os.readlink(f"/proc/{worker}/ns/net") != os.readlink("/proc/self/ns/net")
            assert trace.stop().code == 0
