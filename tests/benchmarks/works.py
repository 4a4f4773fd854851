"""The work programs: built once, run as the rows ask."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure

SOURCES = Path(__file__).resolve().parent / "programs"
# With frame pointers, so that the peers that walk by them get as far as they can.
_CC = ("gcc", "-O2", "-fno-omit-frame-pointer", "-pthread")
_BUILT = Path(tempfile.gettempdir()) / "closetrace-bench"


def build(name: str) -> str:
    """The built C program."""
    text = b"".join((SOURCES / part).read_bytes() for part in (f"{name}.c", "bench.h")) + " ".join(_CC).encode()
    target = _BUILT / f"{name}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not target.exists():
        _BUILT.mkdir(parents=True, exist_ok=True)
        words = [*_CC, "-o", str(target), str(SOURCES / f"{name}.c")]
        subprocess.run(words, check=True)
    return str(target)


def build_java() -> Path:
    """The directory of the compiled class; FileNotFoundError without a JDK."""
    _BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(["javac", "-d", str(_BUILT), str(SOURCES / "PingPong.java")], check=True)
    return _BUILT


def run(name: str, *arguments: object) -> dict[str, Any]:
    """One run to its end; the JSON that it prints."""
    done = subprocess.run([build(name), *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=False)
    return dict(json.loads(done.stdout))


class Conversation:
    """A program that goes on at each line."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.pid = self._process.pid

    def hear(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the work program ended ({self._process.wait()})")
        return dict(json.loads(line))

    def go(self) -> None:
        """Let it take its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def conversation(*words: str) -> Iterator[Conversation]:
    """A program for as long as the block lasts."""
    talk = Conversation(*words)
    try:
        yield talk
    finally:
        talk.close()


def linger(sockets: int, paths: int) -> contextlib.AbstractContextManager[Conversation]:
    """See programs/linger.c."""
    return conversation(build("linger"), str(sockets), str(paths))


@dataclass(frozen=True)
class Server:
    """nginx on ``port``; its one worker is the child of ``pid``."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """CPU of the worker so far."""
        (worker,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return measure.cpu_s(int(worker))


@contextlib.contextmanager
def nginx() -> Iterator[Server]:
    """The real server with one worker and a small page, on a port of its own."""
    with tempfile.TemporaryDirectory(prefix="closetrace-nginx-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        root = Path(name)
        root.chmod(0o755)
        (root / "index.html").write_text("x" * 512)
        (root / "nginx.conf").write_text(
            "daemon off; worker_processes 1; user root;\n"
            f"pid {root}/pid; error_log {root}/error.log;\n"
            "events { worker_connections 65536; }\n"
            f"http {{ access_log off; keepalive_requests 1000000; server {{ listen 127.0.0.1:{port} backlog=4096; "
            f"root {root}; }} }}\n"
        )
        process = subprocess.Popen(["nginx", "-e", f"{root}/error.log", "-c", f"{root}/nginx.conf"])
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            process.wait()
