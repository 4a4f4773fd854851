"""``closetrace demo``: starts a program that leaks sockets, and finds the leak."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from tracer.commands.options import DOCS, all_frames_option, make_sizes
from tracer.commands.trace import Output, trace
from tracer.errors import ClosetraceError
from tracer.kernel.source import Wanted
from tracer.model.scope import Scope
from tracer.reports.text import terminal
from tracer.reports.text.progress import Progress
from tracer.session.request import Request
from tracer.session.stopping import Stop

_SOURCE = Path(__file__).resolve().parent.parent / "demo" / "leak.c"
_LINGER_S, _DURATION_S = 2.0, 6.0
_STACK_BYTES, _MEMORY_MB = 16384, 16


def _build(directory: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise ClosetraceError("the demo needs a C compiler: apt install gcc libc6-dev")
    program = directory / "price-client"
    built = subprocess.run(
        [compiler, "-O2", "-g", "-fomit-frame-pointer", "-o", str(program), str(_SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        reason = (built.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ClosetraceError(f"the demo's program does not compile: {reason}")
    return program


@contextlib.contextmanager
def _leaking(program: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE) as leak:
        try:
            yield leak
        finally:
            leak.kill()


@click.command("demo", epilog=DOCS, short_help="Find a leak in a small program of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, to try closetrace report on.")
@all_frames_option
def demo(as_json: bool, all_frames: bool) -> None:
    """Start a small leaking client, trace it for a few seconds, and print the report.

    The client keeps eight connections in a pool and reads the end of three others without closing them.

    \b
    sudo closetrace demo                 11 leaked sockets, two leak sites
    sudo closetrace demo --all-frames    with the frames of libraries
    sudo closetrace demo --json          for a file to try closetrace report on
    """  # noqa: D301, click reads the backspace
    with tempfile.TemporaryDirectory(prefix="closetrace-demo-") as directory:
        program = _build(Path(directory))
        with _leaking(program) as leak:
            _trace(leak, Output(as_json, all_frames))


def _trace(leak: subprocess.Popen[bytes], output: Output) -> None:
    scope = Scope(pids=(leak.pid,))
    request = Request(
        scope=scope,
        target=f"price-client (pid {leak.pid})",
        sizes=make_sizes(_STACK_BYTES, _MEMORY_MB),
        wanted=Wanted(int(_LINGER_S * 1e9)),
        underway=Progress(),
    )

    def go() -> None:
        assert leak.stdin is not None
        leak.stdin.write(b"\n")
        leak.stdin.flush()

    terminal.say("started a client with two leaks; its peer hangs up after 1.5 s of silence")
    trace(request, output, Stop(_DURATION_S, scope.pids), attached=go)
