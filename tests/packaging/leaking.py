"""A leak that a root's own python makes, as the command in that root reports it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.packaging.roots import Root

PROGRAM = Path(__file__).with_name("programs") / "leak.py"
_LINGER_S, _DURATION_S = 0.5, 4


@contextmanager
def leaking(root: Root) -> Iterator[subprocess.Popen[str]]:
    """Run the leaking program with the root's python."""
    copied = root.path / "tmp/leak.py"
    shutil.copy(PROGRAM, copied)
    copied.chmod(0o644)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    words, pipe = root.command(*nobody, "/usr/bin/python3", "/tmp/leak.py"), subprocess.PIPE
    with subprocess.Popen(words, cwd="/", stdin=pipe, stdout=pipe, text=True) as program:
        try:
            yield program
        finally:
            program.kill()
            copied.unlink()


def leak_is_found(root: Root, command: Sequence[str]) -> None:
    """The report has as many sockets as the program says the kernel lists, and its function; nothing is lost.

    The program runs in ``root``, as a user that owns nothing. ``command``: the words that run closetrace.
    """
    with leaking(root) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        pid = json.loads(program.stdout.readline())["pid"]
        options = ["--json", "--linger", str(_LINGER_S), "--duration", str(_DURATION_S), "--pid", str(pid)]
        words, pipe = [*command, *options], subprocess.PIPE
        with subprocess.Popen(words, cwd="/", stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as trace:
            assert trace.stderr is not None
            try:
                said: list[str] = []
                while not said or "tracing " not in said[-1]:
                    said.append(trace.stderr.readline())
                    assert said[-1], f"it ended before it was attached: {said}"
                print("leak", file=program.stdin, flush=True)
                told = json.loads(program.stdout.readline())
                shown, warned = trace.communicate(timeout=120)
            finally:
                trace.kill()
    assert trace.returncode == 0, warned
    report = json.loads(shown)
    assert told["close_wait"] == 3
    assert [site["count"] for site in report["sites"]] == [told["close_wait"]], report
    named = [frame["function"] for frame in report["sites"][0]["stack"] if frame["language"] == "python"]
    assert named[:1] == [told["function"]], report["sites"]
    assert (report["unconfined"], report["unread"]) == ([], [])
    assert report["reconciliation"]["complete"], report["losses"]
