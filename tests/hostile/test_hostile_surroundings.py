"""What whoever starts closetrace hands down to it: signals that are blocked or ignored."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.live.closetrace_command import Trace

pytestmark = pytest.mark.live

_EXEC = "import os, signal, sys; {}; os.execv(sys.argv[1], sys.argv[1:])"


def started_after(words: str) -> tuple[str, ...]:
    """What runs a command after these words of Python's."""
    return (sys.executable, "-c", _EXEC.format(words))


BLOCKED = started_after("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())")
FORGETFUL = started_after("signal.signal(signal.SIGCHLD, signal.SIG_IGN)")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_blocked(number: int) -> None:
    """They end the trace all the same, with its report."""
    with Trace("--local-port", "1", prefix=BLOCKED) as trace:
        ran = trace.attached().stop(number)
    assert ran.code == 0
    assert ran.out.startswith("no socket ")


def test_ended_children_are_forgotten() -> None:
    """How a command ended is known where SIGCHLD is ignored, too."""
    with Trace("run", "--", "sh", "-c", "exit 7", prefix=FORGETFUL) as trace:
        ran = trace.wait()
    assert ran.code == 1
    assert ran.err.endswith("the command ended with status 7\n")


def test_few_open_files_are_allowed() -> None:
    """One line says so, and what to do."""
    few = started_after("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))")
    with Trace("--local-port", "1", "--duration", "0.1", prefix=few) as trace:
        ran = trace.wait()
    assert ran.code == 4
    assert ran.err == "closetrace: too few open files are allowed to this process: raise the limit (ulimit -n 1024)\n"
