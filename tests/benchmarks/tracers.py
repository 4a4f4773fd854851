"""Starts the peers, waits until they are attached, and ends them as a user does."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Optional

from tests.benchmarks import measure

REPOSITORY = Path(__file__).resolve().parents[2]
# The kernel's classic tracepoints are in tracefs, which may not be mounted. It is mounted where only the peer sees it.
TRACEFS = "mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null"
# Hides what closetrace keeps between runs, for a run that finds no cache.
_NO_CACHE = "mkdir -p /var/cache/closetrace; mount -t tmpfs -o mode=0700 tmpfs /var/cache/closetrace"


@dataclass(frozen=True)
class Tracer:
    """One way to trace. ``ready`` is what it prints on stderr when it is attached.

    If ``ready`` is empty, it is attached when the process holds BPF programs. ``surroundings`` is a shell command that
    changes its own mount namespace.
    """

    name: str
    command: tuple[str, ...] = ()
    ready: str = "attached"
    surroundings: str = ""
    settle_s: float = 0.2
    start_limit_s: float = 120.0
    stop_limit_s: float = 10.0

    def words(self) -> list[str]:
        """The command as it is run."""
        if self.surroundings:
            return ["unshare", "-m", "sh", "-c", f'{self.surroundings}; exec "$@"', "peer", *self.command]
        return list(self.command)


@dataclass
class Ended:
    """How a tracer ended, and what it printed and used."""

    code: int
    out: bytes
    err: str
    stop_s: float
    cpu_s: float
    peak_rss: int


@dataclass
class Running:
    """An attached tracer. ``pid`` is None without a tracer. ``start_s``: seconds from exec to attached."""

    tracer: Tracer
    process: Optional[subprocess.Popen[bytes]] = None
    out: Optional[IO[bytes]] = None
    err: Optional[IO[bytes]] = None
    start_s: float = 0.0
    _ended: Optional[Ended] = None

    @property
    def pid(self) -> Optional[int]:
        return self.process.pid if self.process is not None else None

    def runs(self) -> measure.Runs:
        return measure.runs(self.pid) if self.pid is not None else measure.Runs(0, 0)

    def cpu_s(self) -> float:
        return measure.cpu_s(self.pid) if self.pid is not None else 0.0

    def stop(self) -> Ended:
        """End it with SIGINT and wait. A second call returns the same result."""
        if self.process is None:
            return Ended(0, b"", "", 0.0, 0.0, 0)
        if self._ended is None:
            self._ended = self._stop(self.process)
        return self._ended

    def _stop(self, process: subprocess.Popen[bytes]) -> Ended:
        pid = process.pid
        descriptor = os.pidfd_open(pid)
        poll, peak = select.poll(), 0
        poll.register(descriptor, select.POLLIN)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        while not poll.poll(20):  # it is readable when the process has ended
            with contextlib.suppress(OSError):
                peak = max(peak, measure.rss_bytes(pid))
            if time.monotonic() - begun > self.tracer.stop_limit_s:
                process.kill()
        took = time.monotonic() - begun
        os.close(descriptor)
        _, status, used = os.wait4(pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert self.out is not None
        assert self.err is not None
        said = _content(self.err).decode(errors="replace")
        return Ended(process.returncode, _content(self.out), said, took, used.ru_utime + used.ru_stime, peak)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start(tracer: Tracer) -> Running:
    """Start and wait until it is attached. Raises RuntimeError with its stderr if it ends before."""
    if not tracer.command:
        return Running(tracer)
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    begun = time.monotonic()
    process = subprocess.Popen(
        tracer.words(),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(REPOSITORY))},
    )
    while not _is_ready(tracer, process.pid, out, err):
        if process.poll() is not None or time.monotonic() - begun > tracer.start_limit_s:
            process.kill()
            raise RuntimeError(f"{tracer.name}: {_content(err).decode(errors='replace').strip()[-400:]}")
        time.sleep(0.002 if tracer.ready else 0.02)
    took = time.monotonic() - begun
    time.sleep(tracer.settle_s)
    return Running(tracer, process, out, err, took)


def _is_ready(tracer: Tracer, pid: int, out: IO[bytes], err: IO[bytes]) -> bool:
    if tracer.ready:
        return tracer.ready.encode() in _content(err)
    try:
        return measure.programs(pid) > 0
    except OSError:
        return False


def _content(file: IO[bytes]) -> bytes:
    """Read the file without moving the offset, which the child shares."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def python(module: str, *words: str) -> tuple[str, ...]:
    """The command of a module of the benchmark."""
    return (sys.executable, "-m", f"{__package__}.{module}", *words)


def closetrace(*options: str, name: str = "closetrace") -> Tracer:
    """closetrace as installed, or the command in CLOSETRACE_TEST_COMMAND."""
    command = shlex.split(os.environ.get("CLOSETRACE_TEST_COMMAND", str(REPOSITORY / ".venv/bin/closetrace")))
    return Tracer(name, (*command, *options), ready="tracing ", stop_limit_s=120.0)


def first_start() -> Tracer:
    """closetrace as on a host where it never ran."""
    return dataclasses.replace(closetrace(name="closetrace, its first start"), surroundings=_NO_CACHE)


NOTHING = Tracer("nothing")
AGAIN = Tracer("nothing, again")
EMPTY = Tracer("empty program", python("empty"))
NAIVE = Tracer("naive bcc", python("naive"))
NAIVE_TAIL = Tracer("naive bcc, transitions only", python("naive", "--transitions"))


def bpftrace(*probes: str, name: str = "bpftrace ustack") -> Tracer:
    """bpftrace that counts user stacks at these probes."""
    text = " ".join(f"{probe} {{ @[ustack] = count(); }}" for probe in probes)
    return Tracer(name, ("bpftrace", "-e", text), ready="", surroundings=TRACEFS, settle_s=1.0)


_SOCK = "tracepoint:sock"
BPFTRACE = bpftrace(f"{_SOCK}:sock_recv_length", f"{_SOCK}:sock_send_length", f"{_SOCK}:inet_sock_set_state")


def libbpf_tool(name: str, directory: Path) -> Tracer:
    """tcpstates or tcplife of libbpf-tools, run with the C library of the same Debian release."""
    libraries = directory.parents[1] / "usr/lib/x86_64-linux-gnu"
    loader = str(libraries / "ld-linux-x86-64.so.2")
    words = (loader, "--library-path", str(libraries), str(directory / f"{name}-libbpf"))
    return Tracer(f"libbpf {name}", words, ready="", surroundings=TRACEFS, settle_s=1.0)
