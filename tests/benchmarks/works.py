"""Builds the work programs once, and runs them for the rows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import measure

SOURCES = Path(__file__).resolve().parent / "programs"
# With frame pointers, because some peers walk stacks by them.
_CC = ("gcc", "-O2", "-fno-omit-frame-pointer", "-pthread")
_BUILT = Path(tempfile.gettempdir()) / "closetrace-bench"


def build(name: str) -> str:
    """Build a C program if needed and return its path."""
    parts = (SOURCES / f"{name}.c", *sorted(SOURCES.glob("*.h")))
    text = b"".join(part.read_bytes() for part in parts) + " ".join(_CC).encode()
    target = _BUILT / f"{name}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not target.exists():
        _BUILT.mkdir(parents=True, exist_ok=True)
        words = [*_CC, "-o", str(target), str(SOURCES / f"{name}.c")]
        subprocess.run(words, check=True)
    return str(target)


@contextlib.contextmanager
def ping_pong(sockets: int) -> Iterator[Conversation]:
    """Run programs/PingPong.java. Raises FileNotFoundError without a JDK."""
    _BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(["javac", "-d", str(_BUILT), str(SOURCES / "PingPong.java")], check=True)
    with conversation(
        "java", "-Xmx256m", "-XX:+PreserveFramePointer", "-cp", str(_BUILT), "PingPong", str(sockets)
    ) as talk:
        talk.hear()
        yield talk


def run(name: str, *arguments: object, within: Sequence[str] = ()) -> dict[str, Any]:
    """Run a program to its end and return the JSON that it prints. ``within`` is a command prefix."""
    words = [*within, build(name), *map(str, arguments)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    return dict(json.loads(done.stdout))


class Conversation:
    """A program that takes its next step at each line that it reads."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.pid = self._process.pid

    def hear(self) -> dict[str, Any]:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the work program ended ({self._process.wait()})")
        return dict(json.loads(line))

    def go(self, order: str = "") -> None:
        """Let it take its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def conversation(*words: str) -> Iterator[Conversation]:
    """Run a program until the end of the ``with`` block."""
    talk = Conversation(*words)
    try:
        yield talk
    finally:
        talk.close()


@dataclass(frozen=True)
class Fleet:
    """Clients that hold the sockets: several processes, if one may not have so many open files."""

    members: Sequence[Conversation]

    @property
    def pids(self) -> list[int]:
        """Pids of the clients. Their servers are other processes."""
        return [member.pid for member in self.members]

    def _step(self) -> list[dict[str, Any]]:
        for member in self.members:
            member.go()
        return [member.hear() for member in self.members]

    def make(self) -> None:
        """Connect, and use each connection once."""
        self._step()

    def hang_up(self) -> tuple[float, int]:
        """Let the peer close all. Return when the last FIN came (CLOCK_MONOTONIC, s), and how many came late."""
        said = self._step()
        return float(max(one["at"] for one in said)), sum(one["late"] for one in said)


@contextlib.contextmanager
def fleet(sockets: int, paths: int) -> Iterator[Fleet]:
    """Run programs/linger.c. Only with CAP_SYS_RESOURCE a process may raise its limit of open files."""
    limit = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100, 900)
    processes = -(-sockets // limit)
    with contextlib.ExitStack() as stack:
        shares = [sockets // processes + (number < sockets % processes) for number in range(processes)]
        words = [(build("linger"), str(share), str(paths)) for share in shares]
        yield Fleet([stack.enter_context(conversation(*one)) for one in words])


@dataclass(frozen=True)
class Server:
    """nginx on ``port`` in its own network namespace. Its only worker is the child of ``pid``."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds of the worker so far."""
        (worker,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return measure.exact_cpu_s(int(worker))

    def churn(self, seconds: float, rate: float = 0) -> dict[str, Any]:
        """Make short connections to it with programs/churn.c. Raises RuntimeError if one failed."""
        done = run("churn", self.port, seconds, rate, within=("nsenter", f"--net=/proc/{self.pid}/ns/net"))
        if done["failed"]:
            raise RuntimeError(f"{done['failed']} connections to nginx failed")
        return done


_CONFIGURATION = """
daemon off; worker_processes 1; user root; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 65536; }}
http {{
    access_log off; keepalive_requests 1000000;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
"""


@contextlib.contextmanager
def nginx(port: int = 8080) -> Iterator[Server]:
    """Run nginx with one worker and a small page, in a network namespace without other traffic."""
    with tempfile.TemporaryDirectory(prefix="closetrace-nginx-") as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "index.html").write_text("x" * 512)
        (root / "nginx.conf").write_text(_CONFIGURATION.format(root=root, port=port))
        inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        process = subprocess.Popen([*inside, "nginx", "-e", f"{root}/error.log", "-c", f"{root}/nginx.conf"])
        try:
            server = Server(port, process.pid)
            _await(root / "pid", server)
            yield server
        finally:
            process.terminate()
            process.wait()


def _await(pid_file: Path, server: Server) -> None:
    """Wait until it serves. nginx writes the pid file when it listens, then starts the worker."""
    for _ in range(400):
        time.sleep(0.05)
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if pid_file.stat().st_size and server.cpu_s() >= 0 and server.churn(0.01):
                return
    raise RuntimeError("nginx does not serve")
