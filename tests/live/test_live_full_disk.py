"""Disks that are full or cannot be written: under the report, the log, the agent's socket and the cache."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.live.closetrace_command import (
    END_LIMIT_S,
    LINGER,
    START_LIMIT_S,
    Trace,
    command,
    let_linger,
    run_closetrace,
)
from tests.live.oracles import ss_close_wait
from tests.live.workload import start

FULL = "No space left on device"
SHORT = ("--duration", "1")


def on_tmpfs(*steps: str) -> tuple[str, ...]:
    """Run these shell commands in a mount namespace of its own, then the command there."""
    return ("unshare", "--mount", "sh", "-ec", "; ".join((*steps, 'exec "$0" "$@"')))


def _into_full(*words: str) -> subprocess.CompletedProcess[str]:
    """The command with these words, its output into a full disk."""
    closetrace, extra = command()
    with open("/dev/full", "w") as full:
        return subprocess.run(
            [*closetrace, *words],
            cwd="/",
            env={**os.environ, **extra},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=END_LIMIT_S,
            check=False,
        )


@pytest.mark.parametrize(
    "words",
    [
        ("census",),
        ("census", "--json"),
        ("doctor", "--json"),
        ("--pid", str(os.getpid()), "--json", *SHORT),
        ("timeline", "--help"),
    ],
)
def test_full_disk_under_the_output(words: tuple[str, ...]) -> None:
    """One line says so, and the exit code is 1: nobody takes half a document for a whole one."""
    ran = _into_full(*words)
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.splitlines()[-1] == f"closetrace: the output: {FULL}"
    assert "Traceback" not in ran.stderr


def test_full_disk_under_the_report() -> None:
    """A report that cannot be written is an error in one line, not a success."""
    with start("clean", "1") as program:
        ran = _into_full("--pid", str(program.pid()), *SHORT)
    assert ran.returncode == 1, ran.stderr
    assert FULL in ran.stderr
    assert "Traceback" not in ran.stderr


def test_full_disk_under_what_is_said_beside() -> None:
    """A trace does not depend on it: the report is whole. An error keeps its exit code."""
    words, extra = command()
    with start("idle_pool", "2") as program, open("/dev/full", "w") as full:
        program.all_steps()
        let_linger()

        def run(*options: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*words, "--pid", *options, *LINGER, *SHORT],
                env={**os.environ, **extra},
                stdout=subprocess.PIPE,
                stderr=full,
                text=True,
                timeout=END_LIMIT_S,
                check=False,
            )

        ran = run(str(program.pid()))
        assert ran.returncode == 0
        assert ran.stdout.startswith("2 sockets in CLOSE_WAIT")
        assert run("4194304999").returncode == 2


def test_full_disk_under_an_agents_log(tmp_path: Path) -> None:
    """It records, answers, reads its configuration again, and ends as ever."""
    path = tmp_path / "agent.sock"
    (tmp_path / "agent.conf").write_text("")
    to_full = ("sh", "-c", 'exec "$0" "$@" 2>/dev/full')
    words = ("agent", "--config", str(tmp_path / "agent.conf"), "--socket", str(path), *LINGER)
    with Trace(*words, prefix=to_full) as agent, start("idle_pool", "2") as program:
        agent.until(path.exists, "it listens", START_LIMIT_S)
        program.all_steps()
        let_linger()
        agent.process.send_signal(signal.SIGHUP)
        asked = run_closetrace("--agent-socket", str(path), *LINGER, "--pid", str(program.pid()), "--json")
        assert asked.report()["lingering"] == len(ss_close_wait({program.pid()})) == 2
        assert asked.report()["recorded_since"] is not None
        assert agent.stop(signal.SIGTERM).code == 0


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("size=64k,nr_inodes=2", FULL),  # the root of it, and one file
        ("size=64k,nr_inodes=3", FULL),  # that is the lock's: none is left for the socket
        ("size=64k,ro", "Read-only file system"),
    ],
)
def test_no_room_for_an_agents_socket(tmp_path: Path, mount: str, why: str) -> None:
    """One line names the option and the place, and the exit code is 2."""
    folder = tmp_path / "run"
    folder.mkdir()
    touch = "true" if mount.endswith("ro") else f"touch {folder}/other"
    prefix = on_tmpfs(f"mount -t tmpfs -o {mount} tmpfs {folder}", touch)
    ran = run_closetrace("agent", "--config", "/dev/null", "--socket", f"{folder}/agent.sock", prefix=prefix)
    assert ran.code == 2
    (line,) = (line for line in ran.err.splitlines() if line.startswith("closetrace:"))
    assert f"--socket {folder}/agent.sock" in line
    assert line.endswith(why)
    assert "Traceback" not in ran.err


def test_no_room_for_the_cache(tmp_path: Path) -> None:
    """An agent compiles without it, and answers."""
    path = tmp_path / "agent.sock"
    cache = "/var/cache/closetrace"
    Path(cache).mkdir(mode=0o700, exist_ok=True)
    prefix = on_tmpfs(
        f"mount -t tmpfs -o size=16k,mode=700 tmpfs {cache}",
        f"dd if=/dev/zero of={cache}/other bs=4k 2>/dev/null || true",
    )
    words = ("agent", "--config", "/dev/null", "--socket", str(path), *LINGER)
    with Trace(*words, prefix=prefix) as agent, start("idle_pool", "1") as program:
        agent.until(path.exists, "it listens", START_LIMIT_S)
        program.all_steps()
        let_linger()
        asked = run_closetrace("--agent-socket", str(path), *LINGER, "--pid", str(program.pid()), "--json")
        assert asked.report()["lingering"] == 1
        assert agent.stop(signal.SIGTERM).code == 0
        assert "Traceback" not in agent.err()
