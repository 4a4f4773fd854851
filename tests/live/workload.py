"""Builds and controls the programs of tests/workloads. workload.h describes the protocol."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.live.closetrace_command import SLOW

SOURCES = Path(__file__).resolve().parents[1] / "workloads"
CFLAGS = ("-O2", "-fomit-frame-pointer", "-Wall", "-Wextra", "-Werror", "-pthread")
ANSWER_LIMIT_S = 30 * SLOW


def _compiler(source: str) -> tuple[str, ...]:
    if source.endswith(".cpp"):
        return ("g++", "-Wno-missing-field-initializers")
    return ("gcc",)


def _source_of(name: str) -> Path:
    return next(path for path in (SOURCES / f"{name}.c", SOURCES / f"{name}.cpp") if path.exists())


def build(name: str, *flags: str, link: tuple[str, ...] = ("-rdynamic",), output: str | None = None) -> Path:
    """The built program (cached by sources and flags). ``-rdynamic`` gives backtrace(3) the program's own names."""
    source = _source_of(name)
    words = [*_compiler(source.name), *CFLAGS, *flags, *link]
    digest = hashlib.sha256(" ".join(words).encode())
    for path in (source, *sorted(SOURCES.glob("*.h"))):
        digest.update(path.read_bytes())
    directory = Path(tempfile.gettempdir()) / f"closetrace-workloads-{os.getuid()}" / digest.hexdigest()[:16]
    target = directory / (output or name)
    if not target.exists():
        directory.mkdir(parents=True, exist_ok=True)
        partial = directory / f".{target.name}.{os.getpid()}"
        # glibc before 2.34 has dladdr in a library of its own.
        subprocess.run([*words, "-o", str(partial), str(source), "-ldl"], check=True)
        partial.rename(target)
    return target


class Workload:
    """A running program and all that it has said."""

    def __init__(self, *words: str, env: dict[str, str] | None = None):
        self.words: list[dict[str, Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **(env or {})},
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._until_waiting()

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, *_: object) -> None:
        self.quit()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _until_waiting(self) -> None:
        while True:
            line = self._lines.get(timeout=ANSWER_LIMIT_S)
            assert line, f"the workload ended: {self._process.wait()}"
            word = json.loads(line)
            self.words.append(word)
            if word["event"] == "waiting":
                return

    @property
    def root(self) -> int:
        """The process that was started, which may be a wrapper around the program."""
        return self._process.pid

    @property
    def pending(self) -> str:
        """The step that the program waits to take; the last one is ``end``."""
        return str(self.words[-1]["next"])

    def step(self) -> Workload:
        """Lets the program take its next step and waits until it has."""
        assert self.pending != "end"
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._until_waiting()
        return self

    def all_steps(self) -> Workload:
        """Lets the program do all that it does, short of ending."""
        while self.pending != "end":
            self.step()
        return self

    def quit(self) -> int:
        """Ends the program, in its own way if it can."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write("quit\n")
                self._process.stdin.close()
                self._process.wait(10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
        return self._process.wait()

    def leave(self) -> int:
        """Lets a program take a step that ends it."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        return self._process.wait(ANSWER_LIMIT_S)

    def kill(self) -> None:
        """Ends the program with SIGKILL: it closes nothing itself."""
        self._process.kill()
        self._process.wait()

    def said(self, event: str, **match: Any) -> list[dict[str, Any]]:
        """The program's words of one kind, in order."""
        return [
            word
            for word in self.words
            if word["event"] == event and all(word.get(key) == value for key, value in match.items())
        ]

    def pid(self, role: str = "program") -> int:
        """The pid of the program, its peer or its child."""
        return int(self.said("process", role=role)[0]["pid"])

    def pids(self) -> set[int]:
        """The processes whose sockets the test looks at: all but the peer."""
        return {word["pid"] for word in self.said("process") if word["role"] != "peer"}

    def sockets(self, role: str = "program") -> list[dict[str, Any]]:
        """The sockets that the program (or its child) opened."""
        return self.said("socket", role=role)

    def touches(self, op: str) -> list[dict[str, Any]]:
        """The program's calls of one kind, each with its own backtrace."""
        return self.said("touch", op=op)

    def hung_up_between(self, local: str) -> tuple[float, float]:
        """When the peer said that it hangs up on that local address, and the program that it is done; epoch seconds."""
        words = iter(self.words)
        before = next(word["t"] for word in words if word["event"] in ENDS and word["remote"] == local)
        return before, next(word["t"] for word in words if word["event"] == "waiting")

    def connected_between(self, inode: int) -> tuple[float, float]:
        """When the program last spoke before it connected that socket, and next after it, seconds since the epoch."""
        timed = [word for word in self.words if "t" in word]
        at = next(i for i, word in enumerate(timed) if word.get("op") == "connect" and word["inode"] == inode)
        return timed[at - 1]["t"], timed[at]["t"]


ENDS = ("peer_close", "peer_reset")


def start(name: str, *arguments: str, **options: Any) -> Workload:
    """A workload written in C or C++, built if need be."""
    return Workload(str(build(name)), *arguments, **options)


def start_python(name: str, *arguments: str) -> Workload:
    """A workload written in Python, run by this interpreter without the tests' environment."""
    return Workload(sys.executable, "-I", str(SOURCES / f"{name}.py"), *arguments)
