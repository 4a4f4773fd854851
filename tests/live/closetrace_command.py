"""Runs closetrace as a user does: a command, its output, its exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = REPOSITORY / "docs" / "report.schema.json"
SUBCOMMANDS_THAT_TRACE = ("agent", "tail", "timeline", "top", "run")
SUBCOMMANDS = (*SUBCOMMANDS_THAT_TRACE, "doctor", "demo", "census")
LINGER_S = 1.0
# Under emulation everything takes longer; the guests say how much.
SLOW = float(os.environ.get("CLOSETRACE_TEST_SLOW", "1"))
START_LIMIT_S = 60 * SLOW
# A test asks the agent that it started itself, not one that happens to run on this machine.
os.environ.setdefault("CLOSETRACE_AGENT_SOCKET", "/nonexistent/agent.sock")
END_LIMIT_S = 60 * SLOW


def command() -> tuple[list[str], dict[str, str]]:
    """The command under test and what must be added to its environment."""
    given = os.environ.get("CLOSETRACE_TEST_COMMAND")
    if given:
        return shlex.split(given), {}
    installed = REPOSITORY / ".venv" / "bin" / "closetrace"
    if installed.exists():
        return [str(installed)], {}
    return [sys.executable, "-m", "tracer"], {"PYTHONPATH": str(REPOSITORY)}


def with_probes(arguments: tuple[str, ...]) -> list[str]:
    """The arguments with ``--probes`` as CLOSETRACE_TEST_PROBES wants it, where the subcommand takes it."""
    probes = os.environ.get("CLOSETRACE_TEST_PROBES")
    first = arguments[0] if arguments else ""
    if not probes or (first in SUBCOMMANDS and first not in SUBCOMMANDS_THAT_TRACE):
        return list(arguments)
    if first in SUBCOMMANDS_THAT_TRACE:
        return [first, "--probes", probes, *arguments[1:]]
    return ["--probes", probes, *arguments]


@dataclass(frozen=True)
class Ran:
    """How one run of closetrace ended."""

    code: int
    out: str
    err: str

    def report(self) -> dict[str, Any]:
        """The JSON report on stdout, valid by docs/report.schema.json."""
        assert self.out, f"no report; exit {self.code}, stderr: {self.err}"
        report = json.loads(self.out)
        jsonschema.validate(report, json.loads(SCHEMA.read_text()))
        return dict(report)

    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.out.splitlines()


class Trace:
    """A closetrace that runs beside the test. Ends with :meth:`stop`; killed by pid if it does not."""

    def __init__(
        self, *arguments: str, cwd: str = "/", env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
    ):
        words, extra = command()
        self._out = tempfile.TemporaryFile("w+")
        self._err = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*prefix, *words, *with_probes(arguments)],
            cwd=cwd,
            env={**os.environ, **extra, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._out.close()
        self._err.close()

    def out(self) -> str:
        """What it has written to stdout so far."""
        return _read(self._out)

    def err(self) -> str:
        """What it has written to stderr so far."""
        return _read(self._err)

    def attached(self) -> Trace:
        """Waits until it says that it traces."""
        return self.until(lambda: "tracing " in self.err(), "it traces", START_LIMIT_S)

    def until(self, condition: Any, what: str, limit_s: float = END_LIMIT_S) -> Trace:
        """Waits until the condition holds; fails with closetrace's own words if it ends before."""
        end = time.monotonic() + limit_s
        while not condition():
            assert self.process.poll() is None, f"ended ({self.process.returncode}) before {what}: {self.err()}"
            assert time.monotonic() < end, f"not in {limit_s} s: {what}; stdout: {self.out()}; stderr: {self.err()}"
            time.sleep(0.05)
        return self

    def stop(self, number: int = signal.SIGINT) -> Ran:
        """Ends it as Ctrl-C does (or with another signal) and gives what it said."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Ran:
        """Waits for its own end."""
        code = self.process.wait(END_LIMIT_S)
        return Ran(code, self.out(), self.err())


def _read(file: Any) -> str:
    """Reads without moving the offset that the child process shares."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="backslashreplace")


def run_closetrace(*arguments: str, **options: Any) -> Ran:
    """Runs closetrace to its own end."""
    with Trace(*arguments, **options) as trace:
        return trace.wait()


def tracing(pid: int, *options: str, **surroundings: Any) -> Trace:
    """A trace of one process that will give its report as JSON."""
    return Trace("--pid", str(pid), *LINGER, "--json", *options, **surroundings)


def let_linger() -> None:
    """Waits until what hung up by now has lingered for longer than LINGER_S and a scan has seen it."""
    time.sleep((LINGER_S + 1.6) * SLOW)


LINGER = ("--linger", str(int(LINGER_S)))
