"""Exit codes and the one line on stderr, through the whole command line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tracer import __version__, cli
from tracer.commands.options import DOCS
from tracer.errors import ClosetraceError, HostUnsupported, LingerExceeded, UsageError
from tracer.host.inet_diag import SockDiagError
from tracer.host.netns import NetnsUnreachable

Run = Callable[..., tuple[int, str, str]]
COMMANDS = ("", "agent", "tail", "timeline", "run", "census", "doctor", "demo", "report", "top")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*arguments: str) -> tuple[int, str, str]:
        code = cli.run_command(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return go


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the default command end by ``error``, as if the trace had."""

    def trace(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "trace", trace)
    monkeypatch.setattr(cli, "Stop", lambda *_: None)


def every_error() -> list[type[ClosetraceError]]:
    """ClosetraceError and all that derive from it, as far as the command line imports them."""
    found, todo = [], [ClosetraceError]
    while todo:
        found.append(todo[0])
        todo = todo[1:] + todo[0].__subclasses__()
    return found


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_errors_of_ours_are_one_line_and_their_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: type[ClosetraceError]
) -> None:
    """No traceback, nothing on stdout."""
    failing(monkeypatch, error("what went wrong"))
    assert run() == (error.exit_code, "", "closetrace: what went wrong\n")


def test_the_codes_are_those_of_the_documentation() -> None:
    """2 usage, 3 --fail-over, 4 host, 1 anything else."""
    assert (UsageError.exit_code, LingerExceeded.exit_code, HostUnsupported.exit_code) == (2, 3, 4)
    assert {e.exit_code for e in (ClosetraceError, SockDiagError, NetnsUnreachable)} == {1}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OSError(28, "No space left on device", "/var/x"), 1, "/var/x: No space left on device"),
        (OSError(5, "Input/output error"), 1, "the system: Input/output error"),
        (PermissionError(13, "Permission denied", "/proc/1/fd"), 1, "/proc/1/fd: Permission denied"),
        (OSError("odd"), 1, "odd"),
        (MemoryError(), 1, "out of memory"),
    ],
)
def test_errors_of_the_system_are_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, text: str
) -> None:
    """Whatever the system refuses, the person gets its words and no traceback."""
    failing(monkeypatch, error)
    got, out, err = run()
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert text in err


def test_ctrl_c_is_told_by_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace keeps it, to end with its report. So this is a command whose output is not whole: as a shell tells it."""
    failing(monkeypatch, KeyboardInterrupt())
    code, out, err = run()
    assert (code, out, err.strip()) == (130, "", "")


@pytest.mark.parametrize("nasty", ["\x1b[2J", "\x07", "a\nb", "\u202eevil", "\udcff", "\x9b31m", "\r", "\0"])
def test_errors_send_nothing_raw_to_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, nasty: str) -> None:
    """A name from a target or a command line may hold anything."""
    failing(monkeypatch, ClosetraceError(f"bad {nasty} name"))
    _, _, err = run()
    assert err.endswith("\n")
    assert err[:-1].isprintable()


@pytest.mark.parametrize("option", ["--comm", "--netns", "--cgroup", "--remote", "--no-such-\x1b[2J"])
def test_hostile_arguments_are_shown_harmless(run: Run, option: str) -> None:
    """Escape sequences and bytes that are no text, in values and in names of options."""
    code, out, err = run("census", option, "\x1b]0;owned\x07\udcfe")
    assert code == 2
    assert out == ""
    assert err[:-1].isprintable()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["no-such-command"],
        ["--linger", "0"],
        ["--linger", "x"],
        ["--duration", "-1"],
        ["--fail-over", "-1"],
        ["--stack-bytes", "5000"],
        ["--stack-bytes", "0"],
        ["--memory", "1"],
        ["--probes", "magic"],
        ["--pid", "4194305"],
        ["--pid"],
        ["run"],
        ["run", "--no-such-option", "--", "true"],
        ["--json", "census"],
        ["--pid", "1", "tail"],
        ["tail", "--linger", "3"],
        ["census", "--watch", "nan"],
        ["doctor", "extra"],
    ],
    ids=" ".join,
)
def test_usage_errors_are_code_2_and_one_line(run: Run, arguments: list[str]) -> None:
    """What was wrong, and where to read on; nothing is traced."""
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("closetrace: ")


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("--memory", "32MB", "whole number"),
        ("--remote-port", "https", "whole number"),
        ("--max-overhead", "1%", "number"),
    ],
)
def test_what_is_no_number_is_called_so(run: Run, option: str, value: str, kind: str) -> None:
    """Not an integer range, as click has it."""
    _, _, err = run(option, value)
    assert f"Invalid value for '{option}': '{value}' is not a valid {kind}." in err


@pytest.mark.parametrize(
    ("arguments", "pids"),
    [
        (["1"], (1,)),
        (["-p", "1"], (1,)),
        (["-p1"], (1,)),
        (["--linger", "60", "1", "--all-frames"], (1,)),
        (["--", "1"], (1,)),
        (["1", str(os.getpid())], (1, os.getpid())),
        (["1", "--pid", str(os.getpid())], (1, os.getpid())),
        (["--comm", "7"], ()),
    ],
    ids=("word", "-p", "-p1", "between", "after --", "two words", "word and option", "value of an option"),
)
def test_a_number_is_a_process(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], pids: tuple[int, ...]
) -> None:
    """Wherever it stands, beside options and others of its kind; a number that is an option's value stays one."""
    got: list[Any] = []
    monkeypatch.setattr(cli, "Stop", lambda *_: None)
    monkeypatch.setattr(cli, "trace", lambda *them: got.extend(them))
    code, out, _ = run(*arguments)
    assert (code, out) == (0, "")
    assert got[0].scope.pids == pids


@pytest.mark.parametrize("word", ["no-such-command", "12ab", "1.5", "１２", "cenus"])
def test_a_word_that_is_neither_names_both(run: Run, word: str) -> None:
    """One line: what it could have been."""
    code, out, err = run(word)
    assert (code, out, err.count("\n")) == (2, "", 1)
    commands = "agent, census, demo, doctor, report, run, tail, timeline, top"
    assert f"is neither a command ({commands}) nor the number of a process" in err


def test_a_command_takes_its_process_as_an_option(run: Run) -> None:
    """A number before a command is an option before it."""
    assert run("1", "tail") == run("--pid", "1", "tail")
    assert run("1", "tail")[0] == 2


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
@pytest.mark.parametrize("option", ["--linger", "--duration", "--interval"])
def test_times_must_be_finite(run: Run, option: str, value: str) -> None:
    """NaN and infinity are numbers to float() and of no use here."""
    code, _, err = run(option, value)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(run: Run, command: str) -> None:
    """Every command has help on stdout, exit 0, with an example or a sentence of its own."""
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: closetrace")
    assert out.count("\n") > 5


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_shows_how_and_ends_with_the_documents(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """At 80 columns no line is broken by the terminal. An example can be copied, and no markup is shown raw."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(*command.split(), "--help")
    lines = out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if re.match(rf"  +(sudo )?closetrace {command}".rstrip() + r"\b", line)]
    assert " ".join(out.split("\n\n")[-1].split()) == DOCS
    assert not set("`*\b\x1b") & set(out)


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_examples_of_the_help_are_understood(command: str) -> None:
    """Each parses, to its last option; nothing is run."""
    found = [line.strip().split("   ")[0] for line in _help_of(command).splitlines() if "closetrace " in line]
    assert found
    for example in found:
        words = shlex.split(example.partition("closetrace ")[2])
        assert words[0] == command
        sub = cli.main_group.get_command(click.Context(cli.main_group), command)
        assert sub is not None
        sub.make_context(command, words[1:])


def _help_of(command: str) -> str:
    """The paragraph of examples of its help, as it is written."""
    sub = cli.main_group.get_command(click.Context(cli.main_group), command)
    return (sub.help or "").partition("\b\n")[2] if sub is not None else ""


def test_the_census_shows_no_markup(run: Run) -> None:
    """Neither of Markdown nor of terminals, on stdout that is none."""
    code, out, err = run("census", "--rows", "0")
    assert (code, err) == (0, "")
    assert not set("`*\b\x1b") & set(out)


def test_version(run: Run) -> None:
    """The package's own, by both spellings."""
    assert run("--version") == run("-V") == (0, f"closetrace, version {__version__}\n", "")


def test_a_closed_pipe_ends_quietly() -> None:
    """`closetrace census | head -0` prints no traceback and leaves no complaint at exit."""
    script = "from tracer.cli import main; main()"
    for arguments in (["census", "--rows", "0"], ["doctor", "--json"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.root
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_do_no_harm(closed: str) -> None:
    """A daemon may start it without them: no traceback, and no file of ours in their place."""
    script = f"{shlex.quote(sys.executable)} -c 'from tracer.cli import main; main()' --duration 0.1 {closed}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.root
def test_an_output_that_cannot_show_a_character_gets_an_escape(tmp_path: Path) -> None:
    """A command name outside of the locale's encoding must not end the report."""
    program = tmp_path / "日本-schön"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as sleeper:
        try:
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "from tracer.cli import main; main()",
                    "--pid",
                    str(sleeper.pid),
                    "--duration",
                    "0.1",
                ],
                capture_output=True,
                timeout=60,
                check=False,
                env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0", "LC_ALL": "C"},
            )
        finally:
            sleeper.kill()
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\\u65e5\\u672c-sch\xf6n" in done.stderr


INSTALLED = [str(Path(sys.executable).with_name("closetrace"))]
MODULE = [sys.executable, "-m", "tracer"]


def _plant(directory: Path, *names: str) -> None:
    for name in names:
        (directory / f"{name}.py").write_text("open('/dev/stderr', 'w').write('OWNED\\n')\n")


def _never_owned(command: list[str], directory: Path, **variables: str) -> None:
    done = subprocess.run(
        [*command, "--duration", "0.1"],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "OWNED" not in done.stdout + done.stderr


@pytest.mark.root
def test_a_hostile_current_directory_is_not_imported(tmp_path: Path) -> None:
    """bcc, click or tracer lying about must not be run by root; nor may its headers be compiled."""
    _plant(tmp_path, "bcc", "click", "tracer", "tabulate", "json")
    (tmp_path / "vmlinux.h").write_text("#error OWNED\n")
    _never_owned(INSTALLED, tmp_path)


@pytest.mark.root
def test_a_hostile_pythonpath_is_not_imported(tmp_path: Path) -> None:
    """Not even what python imports by itself when it starts."""
    _plant(tmp_path, "sitecustomize", "usercustomize", "bcc", "click", "tracer", "tabulate", "json", "struct")
    _never_owned(INSTALLED, Path("/"), PYTHONPATH=str(tmp_path))


@pytest.mark.root
def test_as_a_module_it_imports_no_library_from_there(tmp_path: Path) -> None:
    """``python -m tracer`` is isolated as far as that is possible once python runs.

    What python itself imports at its start (for a ``.pth`` file of this machine) is taken before that.
    """
    command = [sys.executable, "-c", "import sys; print(*sys.modules)"]
    at_start = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    _plant(tmp_path, "bcc", "click", "tabulate", *{"json", "struct"}.difference(at_start))
    _never_owned(MODULE, tmp_path, PYTHONPATH=str(tmp_path))


@pytest.mark.root
def test_its_name_is_its_own() -> None:
    """ps, top and pgrep find it as closetrace, though a shell script starts it."""
    with subprocess.Popen([*INSTALLED, "--pid", str(os.getpid())], stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            assert any("tracing " in line for line in running.stderr)
            assert Path(f"/proc/{running.pid}/comm").read_text() == "closetrace\n"
        finally:
            running.terminate()


@pytest.mark.root
def test_doctor_is_json_that_says_whether_it_is_ready(run: Run) -> None:
    """The keys that a script would look at."""
    code, out, err = run("doctor", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["ready"] is True
    assert found["host"]["kernel"] == os.uname().release
    assert {family["family"] for family in found["families"]} >= {"state", "close", "receive", "send", "destroy"}
    assert all(check["ok"] for check in found["checks"])


def test_an_agent_that_was_named_and_is_not_there(run: Run, tmp_path: Path) -> None:
    """A wrong path is told. Without one most hosts have no agent, and nothing is said."""
    place = str(tmp_path / "agent.sock")
    code, _, err = run("census", "--agent-socket", place)
    assert (code, err) == (
        0,
        f"the agent at {place} is no help: it cannot be reached. This is the kernel's count alone.\n",
    )
    code, _, err = run("census")
    assert (code, err) == (0, "")
