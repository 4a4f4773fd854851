"""Real runtimes leak a socket. The report says what runs there, and none of its machinery is the place to change."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.advice.led import Led
from tests.live.closetrace_command import LINGER, Trace, tracing

PROGRAMS = Path(__file__).resolve().parent / "programs"


@dataclass(frozen=True)
class Case:
    """How a runtime is started, and what the report must have: a line, or the program's own functions."""

    words: tuple[str, ...]
    line: str = ""
    functions: tuple[str, ...] = ()
    opened_by: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@functools.cache
def built(source: str, *command: str) -> str:
    """The folder with what a compiler makes of a program: ``{source}`` and ``{folder}`` stand in its words."""
    folder = tempfile.mkdtemp(prefix="closetrace-runtimes-")
    words = [word.format(source=PROGRAMS / source, folder=folder) for word in command]
    subprocess.run(words, check=True)
    return folder


def assembly() -> str:
    folder = built("Leak.cs", "mcs", "-out:{folder}/leak.dll", "{source}")
    settings = {"framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"}}
    invariant = {"System.Globalization.Invariant": True}  # no libicu
    options = {"runtimeOptions": {**settings, "configProperties": invariant}}
    Path(folder, "leak.runtimeconfig.json").write_text(json.dumps(options))
    return f"{folder}/leak.dll"


def erlang(*options: str) -> tuple[str, ...]:
    folder = built("leak.erl", "erlc", "-o", "{folder}", "{source}")
    return ("erl", *options, "-noshell", "-pa", folder, "-eval", "leak:main(), halt().", "-extra")


def dotnet(assembly: str) -> tuple[str, ...]:
    place = "import dotnetcore2.runtime as r; print(r.get_runtime_path())"
    program = subprocess.run([sys.executable, "-c", place], check=True, capture_output=True, text=True).stdout.strip()
    Path(program).chmod(0o755)
    return (program, assembly)


def php_with_jit() -> tuple[str, ...]:
    settings = {"enable_cli": "1", "jit_buffer_size": "32M", "jit": "function", "jit_debug": "16"}
    options = [word for name, value in settings.items() for word in ("-d", f"opcache.{name}={value}")]
    return ("php", *options, str(PROGRAMS / "leak.php"))


SILENT: dict[str, Callable[[], Case]] = {
    "perl": lambda: Case(("perl", str(PROGRAMS / "leak.pl")), "Perl functions run here that have no names"),
    "php": lambda: Case(("php", str(PROGRAMS / "leak.php")), "PHP functions run here that have no names"),
    "lua": lambda: Case(("lua5.4", str(PROGRAMS / "leak.lua")), "Lua functions run here that have no names"),
    "luajit": lambda: Case(("luajit", str(PROGRAMS / "leak.lua")), "Lua functions run here that have no names"),
    "pypy": lambda: Case(("pypy3", str(PROGRAMS / "leak.py")), "Python functions run here that have no names"),
    "erlang": lambda: Case(erlang(), "no Erlang function is on this stack: inet:i() in its shell"),
    "erlang-perfmap": lambda: Case(erlang("+JPperf", "true"), "no Erlang function is on this stack"),
    "mono": lambda: Case(("mono", assembly()), ".NET functions run here that have no names: mono --jitmap"),
    "dotnet": lambda: Case(dotnet(assembly()), ".NET functions run here that have no names: DOTNET_PerfMapEnabled=1"),
}
_READ = "look: 1 suspects, 1 of them over the threshold, 0 records read, 0 boxes unwound"
OWN = ("Leak.ReadAnswer", "Leak.FetchPrice", "Leak.Main")
NAMED: dict[str, Callable[[], Case]] = {
    "php-perfmap": lambda: Case(php_with_jit(), functions=("read_answer",), opened_by=("fetch_price",)),
    "dotnet-perfmap": lambda: Case(
        dotnet(assembly()), functions=OWN, opened_by=OWN[1:], env={"COMPlus_PerfMapEnabled": "1"}
    ),
}


class Runs:
    """The program of a case while it is traced: it keeps one connection whose peer has hung up."""

    def __init__(self, case: Case) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        words = ("env", *(f"{name}={value}" for name, value in case.env.items()), *case.words)
        self.program = Led(words, "leak", port, 0)

    def __enter__(self) -> Runs:
        self.program.__enter__()
        self.program.until("ready")
        return self

    def __exit__(self, *error: Any) -> None:
        self.program.__exit__(*error)
        self._listener.close()

    def leak(self) -> None:
        """Has the program keep a connection, and hangs up on it."""
        self.program.go()
        connection, _ = self._listener.accept()
        with connection:
            assert connection.recv(20) == b"price?\n"
            connection.sendall(b"0123456789")
            self.program.until("done")


def reported(case: Case) -> dict[str, Any]:
    """The only site of the program, as JSON."""
    with Runs(case) as runs, tracing(runs.program.pid, "--verbose") as trace:
        trace.attached()
        runs.leak()
        trace.until(lambda: _READ in trace.err(), "the socket lingers, and its stacks are read")
        (site,) = trace.stop().report()["sites"]
    return dict(site)


def notes(stack: list[dict[str, Any]]) -> list[str]:
    return [frame["note"] for frame in stack if frame.get("note")]


def told(stack: list[dict[str, Any]], language: str) -> list[str]:
    """The program's own functions on the stack."""
    return [frame["function"] for frame in stack if frame["language"] == language and not frame["internal"]]


@pytest.mark.parametrize("name", SILENT)
def test_says_what_it_is(name: str) -> None:
    """The line stands once on each stack. No frame is the place to change."""
    case = SILENT[name]()
    site = reported(case)
    assert site["application"]["index"] is None, site["stack"]
    for stack in (site["stack"], site["opened_stack"]):
        assert len([note for note in notes(stack) if case.line in note]) == 1, stack


@pytest.mark.parametrize("name", NAMED)
def test_perf_map(name: str) -> None:
    """The functions of the program are named. The innermost one is the place to change."""
    case, language = NAMED[name](), name.partition("-")[0]
    site = reported(case)
    assert told(site["stack"], language) == list(case.functions), site["stack"]
    assert told(site["opened_stack"], language) == list(case.opened_by), site["opened_stack"]
    assert site["stack"][site["application"]["index"]]["function"] == case.functions[0]


@pytest.mark.parametrize("name", ["perl", "php", "lua"])
def test_line_in_the_text_report(name: str) -> None:
    """A person reads the whole line, whatever the width."""
    case = SILENT[name]()
    with Runs(case) as runs, Trace("--pid", str(runs.program.pid), *LINGER, "--verbose") as trace:
        trace.attached()
        runs.leak()
        trace.until(lambda: _READ in trace.err(), "the socket lingers, and its stacks are read")
        text = trace.stop().out
    assert case.line in " ".join(text.split())


@pytest.mark.parametrize("name", ["erlang"])
def test_shell_says_who_owns_a_socket(name: str) -> None:
    """What the line tells people to type gives the owner of each socket."""
    code = 'L = element(2, gen_tcp:listen(0, [])), inet:i(), io:format("~p~n", [self()]), halt().'
    out = subprocess.run(["erl", "-noshell", "-eval", code], check=True, capture_output=True, text=True).stdout
    header, row, owner = out.splitlines()
    assert row.split()[header.split().index("Owner")] == owner
