"""Finds and starts the JVMs under test, and reads what they say about their own stacks."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.systems.silent import bytes_then_silence, replies_then_silence, self_signed, serving

HERE = Path(__file__).parent
SOURCES = HERE.parent / "workloads" / "java"
WARM_BYTES, WARM_TLS_BYTES, WARM_REQUESTS = 60_000, 6_000, 400


@dataclass(frozen=True)
class Jdk:
    """A JDK: its major version, the ``java`` to run, and its root directory (None: that of the host)."""

    major: int
    java: str
    root: Optional[Path]


def find_jdk(major: int) -> Jdk:
    """The host's JDK 17, or Debian's JRE of another version in its own root directory (downloaded once)."""
    if major == 17:
        for name in ("java-17-openjdk-amd64", "temurin-17-jdk-amd64"):
            java = Path("/usr/lib/jvm") / name / "bin" / "java"
            if java.exists():
                return Jdk(major, str(java), None)
        return Jdk(major, os.path.join(os.environ["JAVA_HOME_17_X64"], "bin", "java"), None)
    done = subprocess.run(["sh", str(HERE / "jdks.sh"), str(major)], check=True, stdout=subprocess.PIPE, text=True)
    return Jdk(major, "/test-java", Path(done.stdout.strip()))


@dataclass(frozen=True)
class JavaFrame:
    """``Class.method``, source file and line, as Java prints them. None if Java prints nothing."""

    function: str
    file: Optional[str]
    line: Optional[int]


def compile_workload(target: Path) -> None:
    """Compile the workload into ``target``, for Java 8 (its newer parts for Java 11)."""
    javac = os.environ.get("JAVAC", "javac")
    oldest = [str(SOURCES / "witness" / "Oracle.java"), str(SOURCES / "Blocked.java"), str(SOURCES / "Waits.java")]
    modern = sorted(str(path) for path in (SOURCES / "modern").glob("*.java"))
    for release, sources in (("8", oldest), ("11", modern)):
        command = [javac, "-nowarn", "-Xlint:-options", "--release", release, "-d", str(target), "-cp", str(target)]
        subprocess.run([*command, *sources], check=True)


class Jvm:
    """One running workload."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def until(self, mark: str, seconds: float = 60) -> list[str]:
        """The lines printed before the first one that starts with ``mark``."""
        lines: list[str] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if line.startswith(mark):
                return lines
            lines.append(line)
        raise AssertionError(f"no {mark!r} within {seconds} s; last lines: {lines[-20:]}")

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def say(self, command: str) -> None:
        """Write one line to the workload's standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def settle(self, seconds: float = 90) -> None:
        """Wait until the process has used no CPU time for half a second: then all its threads are blocked."""
        end = time.monotonic() + seconds
        before = -1
        while time.monotonic() < end:
            used = self._cpu_ticks()
            if used == before:
                return
            before = used
            time.sleep(0.5)
        raise AssertionError(f"still busy after {seconds} s")

    def _cpu_ticks(self) -> int:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def traces(self) -> dict[str, list[JavaFrame]]:
        """By thread name: the stack trace that each thread recorded at its last read."""
        self.say("report")
        found: dict[str, list[JavaFrame]] = {}
        current: list[JavaFrame] = []
        for line in self.until("REPORTED"):
            if line.startswith("TRACE "):
                current = found.setdefault(line[6:], [])
            elif line.startswith("FRAME "):
                _, function, file, number = line.split()
                current.append(JavaFrame(function, None if file == "null" else file, _line(int(number))))
        return found

    def thread_dump(self) -> dict[str, tuple[int, list[JavaFrame]]]:
        """By thread name: kernel thread id and stack, from the thread dump on SIGQUIT (the same as jstack prints)."""
        os.kill(self.pid, signal.SIGQUIT)
        return parse_dump(self.until("JNI global ref"))


_THREAD = re.compile(r'^"(?P<name>.*?)".*?(?:nid=(?P<nid>0x[0-9a-f]+|\d+)|\[(?P<tid>\d+)\])')
_FRAME = re.compile(r"^\s+at (?P<function>[^(]+)\((?:[^/()]*/)?(?P<source>[^/()]*)\)")
_HIDDEN_NUMBER = re.compile(r"(?:\$\d+)?(?:/(?:0x)?[0-9a-f]+)(?=\.[^.]+$)|(?<=\$\$Lambda)\$\d+")


def parse_dump(lines: list[str]) -> dict[str, tuple[int, list[JavaFrame]]]:
    """Parse the Java threads of a thread dump."""
    threads: dict[str, tuple[int, list[JavaFrame]]] = {}
    current: list[JavaFrame] = []
    for line in lines:
        thread = _THREAD.match(line)
        if thread:
            current = []
            tid = int(thread["tid"]) if thread["tid"] else int(thread["nid"], 0)
            threads[thread["name"]] = (tid, current)
        frame = _FRAME.match(line)
        if frame:
            file, _, number = frame["source"].rpartition(":")
            # "(Blocked.java)" if the line is not known; "(Native Method)", "(Unknown Source)"
            known = file or (frame["source"] if frame["source"].endswith(".java") else None)
            function = _HIDDEN_NUMBER.sub("", frame["function"])
            current.append(JavaFrame(function, known, int(number) if file else None))
    return threads


@contextlib.contextmanager
def running(
    jdk: Jdk, classes: Path, options: Sequence[str], arguments: Sequence[str], main: str = "Blocked"
) -> Iterator[Jvm]:
    """Run the workload in ``classes`` with ``jdk``. It is killed at the end."""
    command = [jdk.java, *options, "-cp", "/test" if jdk.root else str(classes), main, *arguments]
    if jdk.root is not None:
        script = (
            'mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" && mount --bind "$2" "$1/test" '
            '&& root=$1 && shift 2 && exec chroot "$root" "$@"'
        )
        command = ["unshare", "--mount", "sh", "-c", script, "sh", str(jdk.root), str(classes), *command]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        yield Jvm(process)
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def blocked(jdk: Jdk, options: Sequence[str], classes: Path, scratch: Path, scenarios: Sequence[str]) -> Iterator[Jvm]:
    """Run the workload until all scenarios are warm and blocked. Then load a class that deoptimises some of them."""
    with ExitStack() as stack:
        plain = stack.enter_context(serving(bytes_then_silence(WARM_BYTES)))
        tls = stack.enter_context(serving(bytes_then_silence(WARM_TLS_BYTES), self_signed(scratch)))
        http = stack.enter_context(serving(replies_then_silence(WARM_REQUESTS)))
        arguments = [str(plain), str(tls), str(http), *scenarios]
        jvm = stack.enter_context(running(jdk, classes, [*options, f"-Dhttp.port={http}"], arguments))
        jvm.until("STARTED")
        jvm.settle()
        jvm.say("deopt")
        jvm.until("LOADED")
        jvm.settle()
        yield jvm


def _line(number: int) -> Optional[int]:
    return number if number > 0 else None
