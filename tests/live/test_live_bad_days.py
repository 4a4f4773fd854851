"""Bad input, hostile surroundings and sudden ends: one clear line, the right exit code, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.bpf_ids import loaded_by, still_there
from tests.live.closetrace_command import (
    END_LIMIT_S,
    LINGER,
    SLOW,
    Trace,
    command,
    let_linger,
    run_closetrace,
    tracing,
    with_probes,
)
from tests.live.workload import start

ESC = "\x1b"


def one_line(text: str) -> str:
    """The only line of a message."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_the_report(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM print the report and exit 0."""
    with start("idle_pool", "2") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop(number)
    assert ran.code == 0
    assert ran.report()["sites"][0]["count"] == 2
    assert "Traceback" not in ran.err


def test_text_report() -> None:
    """The text report names the verdict, the remote and the stack, without colour or live line when piped."""
    with start("idle_pool", "2") as program, Trace("--pid", str(program.pid()), *LINGER) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == 0
    for word in ("idle-in-pool", program.sockets()[0]["remote"], "read_response", "do_request"):
        assert word in ran.out
    assert ESC not in ran.out + ran.err
    assert "\r" not in ran.out + ran.err


def test_site_is_printed_when_it_crosses_the_threshold() -> None:
    """The text report prints a site when it is found, not only at the end."""
    with start("idle_pool", "1") as program, Trace("--pid", str(program.pid()), *LINGER) as trace:
        trace.attached()
        program.all_steps()
        trace.until(lambda: "idle-in-pool" in trace.out(), "the site is told")


@pytest.mark.parametrize(("limit", "code"), [("1", 3), ("2", 0)])
def test_fail_over(limit: str, code: int) -> None:
    """More sockets than --fail-over allows: exit 3, with the report; not more: exit 0."""
    with start("idle_pool", "2") as program, tracing(program.pid(), "--fail-over", limit) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == code, ran.err
    assert ran.report()["sites"][0]["count"] == 2


def test_target_exits_during_the_trace() -> None:
    """The target's exit ends the trace by itself, with the report."""
    with start("idle_pool", "2") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        program.kill()
        ran = trace.wait()
    assert ran.code == 0, ran.err
    ran.report()
    assert "Traceback" not in ran.err


def test_exit_with_sockets_open_is_told() -> None:
    """Sockets that lingered until their process died are reported as ended with it, with the stack that was kept."""
    with start("idle_pool", "2") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        program.kill()
        report = trace.wait().report()
    told = {one["local"] for one in program.sockets()}
    assert all(local in json.dumps([report["sites"], report["ended_findings"]]) for local in told)


def test_no_such_pid() -> None:
    """A pid that is not there: one line that says so."""
    with start("clean") as program:
        gone = program.pid()
    ran = run_closetrace("--pid", str(gone), *LINGER, "--duration", "2")
    assert ran.code == 2
    assert str(gone) in one_line(ran.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--pid", "zero"),
        ("--pid", "-4"),
        ("--linger", "soon"),
        ("--remote", "not-an-address"),
        ("--remote", "10.0.0.0/99"),
        ("--remote-port", "70000"),
        ("--netns", "/no/such/namespace"),
        ("--cgroup", "/no/such/cgroup"),
        ("--no-such-option",),
        ("no-such-command",),
    ],
)
def test_usage_errors(arguments: tuple[str, ...]) -> None:
    """Bad values are refused as usage errors, in words, with exit 2."""
    ran = run_closetrace(*arguments)
    assert ran.code == 2, ran.err
    assert ran.err.strip()
    assert "Traceback" not in ran.err


def _as_nobody() -> tuple[str, ...]:
    return ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def test_not_root() -> None:
    """Without privileges: exit 4 and one line that says what to do."""
    ran = run_closetrace("--pid", str(os.getpid()), prefix=_as_nobody())
    assert ran.code == 4, ran.err
    assert "tracing needs root" in one_line(ran.err)
    assert "sudo" in ran.err


def test_doctor_not_root() -> None:
    """Doctor works as far as it can without root. It is not ready then, and says what to do."""
    ran = run_closetrace("doctor", prefix=_as_nobody())
    assert ran.code == 4, ran.err
    assert "MISSING" in ran.out
    assert "not ready: tracing needs root" in one_line(ran.err)


def test_doctor_json() -> None:
    """Doctor --json tells a way in for each family that a trace then uses."""
    words, extra = command()
    ran = subprocess.run(
        [*words, "doctor", "--json"], cwd="/", env={**os.environ, **extra}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "state" in json.dumps(json.loads(ran.stdout))


def test_help_and_version() -> None:
    """--help teaches every subcommand, --version says a number."""
    ran = run_closetrace("--help")
    assert ran.code == 0
    for word in ("tail", "timeline", "run", "doctor", "demo", "--linger", "--fail-over"):
        assert word in ran.out
    assert run_closetrace("--version").code == 0


def test_hostile_directory(tmp_path: Path) -> None:
    """Nothing in the current directory is imported or included by the root process."""
    proof = tmp_path / "executed"
    poison = f"open({str(proof)!r}, 'w')\nraise SystemExit('poisoned')\n"
    for package in ("bcc", "tracer", "click", "tabulate"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(poison)
    for name in ("json.py", "site.py", "sitecustomize.py"):
        (tmp_path / name).write_text(poison)
    for header in (
        "vmlinux.h",
        "linux/kconfig.h",
        "linux/types.h",
        "uapi/linux/bpf.h",
        "bcc/proto.h",
        "record.h",
        "maps.h",
    ):
        (tmp_path / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / header).write_text("#error poisoned\n")
    with start("idle_pool", "1") as program, tracing(program.pid(), cwd=str(tmp_path)) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == 0, ran.err
    assert ran.report()["sites"][0]["count"] == 1
    assert not proof.exists()
    assert "poisoned" not in ran.out + ran.err


@pytest.mark.parametrize("subcommand", [(), ("tail",), ("timeline",)])
def test_hostile_comm(subcommand: tuple[str, ...]) -> None:
    """A command name with an escape sequence never reaches the terminal raw."""
    options = () if subcommand else LINGER
    with ExitStack() as stack:
        program = stack.enter_context(start("late_close", env={"WORKLOAD_COMM": f"a{ESC}[2J\nb\u202e"}))
        trace = stack.enter_context(Trace(*subcommand, "--pid", str(program.pid()), *options))
        trace.attached()
        program.step().step()
        let_linger()
        program.step()
        ran = trace.stop()
    assert ran.code == 0, ran.err
    assert program.sockets()[0]["local"] in ran.out
    assert ESC not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err


def test_closed_pipe() -> None:
    """If the reader of stdout goes away, closetrace ends without a message."""
    with start("idle_pool", "2") as program:
        words, extra = command()
        options = with_probes(("--pid", str(program.pid()), *LINGER, "--duration", "5"))
        read_end, write_end = os.pipe()
        process = subprocess.Popen(
            [*words, *options],
            cwd="/",
            env={**os.environ, **extra},
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(write_end)
        os.close(read_end)
        program.all_steps()
        _, err = process.communicate(timeout=END_LIMIT_S)
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert process.returncode == 0, err


def test_killed_leaves_nothing_attached() -> None:
    """Neither its end nor kill -9 leaves a BPF program, map or link behind, and nothing is pinned."""
    with start("clean", "1") as program:
        for number in (signal.SIGINT, signal.SIGKILL):
            with Trace("--pid", str(program.pid()), *LINGER) as trace:
                trace.attached()
                loaded = loaded_by(trace.process.pid)
                assert {kind for kind, _ in loaded} >= {"prog", "map"}
                assert still_there(loaded) == loaded
                trace.stop(number)
            time.sleep(1 * SLOW)  # the kernel frees them after a grace period
            assert still_there(loaded) == set()
    assert not [path for path in Path("/sys/fs/bpf").glob("*") if "closetrace" in path.name]


def test_target_vanishes_while_attaching() -> None:
    """A process that dies at any moment of the start gives a report or one line, never a traceback or a hang."""
    for delay in (0.0, 0.1, 0.3, 0.5, 0.8):
        program = start("clean", "1")
        with tracing(program.pid()) as trace:
            with contextlib.suppress(subprocess.TimeoutExpired):
                trace.process.wait(delay)
            program.kill()
            ran = trace.wait()
        assert "Traceback" not in ran.err
        if ran.code == 0:
            ran.report()
        else:
            assert ran.code == 2, ran.err
            assert str(program.pid()) in ran.err
