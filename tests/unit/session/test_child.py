"""The command of `run`: held back, released, ended; as the invoking user."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer.errors import ClosetraceError
from tracer.session.child import Child


@pytest.fixture
def children() -> Iterator[list[Child]]:
    made: list[Child] = []
    yield made
    for child in made:
        child.finish()


def ended(child: Child, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not child.ended() and time.monotonic() < until:
        time.sleep(0.01)
    return child.ended()


def test_nothing_runs_before_release(children: list[Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first socket of the command must find everything attached."""
    monkeypatch.delenv("SUDO_UID", raising=False)  # that user may not write to this directory
    mark = tmp_path / "mark"
    children.append(Child(["touch", str(mark)]))
    time.sleep(0.2)
    assert not mark.exists()
    assert not children[0].ended()
    children[0].release()
    assert ended(children[0])
    assert children[0].status == 0
    assert mark.exists()


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9)])
def test_the_status_is_the_shells(children: list[Child], script: str, status: int) -> None:
    """An exit code as it is, a signal as 128 and its number."""
    children.append(Child(["sh", "-c", script]))
    children[0].release()
    assert ended(children[0])
    assert children[0].status == status


def test_a_command_that_cannot_be_started_says_why(children: list[Child], tmp_path: Path) -> None:
    """No such file, not executable: the kernel's words, with the name."""
    plain = tmp_path / "plain"
    plain.write_text("")
    for name, reason in (("closetrace-no-such-command", "No such file"), (str(plain), "Permission denied")):
        child = Child([name])
        children.append(child)
        with pytest.raises(ClosetraceError, match=reason) as caught:
            child.release()
        assert name in str(caught.value)
        assert ended(child)


def test_a_child_that_was_never_released_ends_quietly(tmp_path: Path) -> None:
    """Attaching failed: the command must not run after all."""
    mark = tmp_path / "mark"
    child = Child(["touch", str(mark)])
    child.finish()
    assert child.ended()
    assert not mark.exists()


def test_a_child_that_ignores_sigterm_is_killed(children: list[Child]) -> None:
    """Politely, then for good."""
    heard, telling = os.pipe()
    os.set_inheritable(telling, True)
    script = f"import os, signal, time; signal.signal(15, signal.SIG_IGN); os.write({telling}, b'x'); time.sleep(60)"
    children.append(Child([sys.executable, "-c", script]))
    children[0].release()
    assert os.read(heard, 1) == b"x"
    children[0].finish()
    assert children[0].status == 128 + signal.SIGKILL
    for end in (heard, telling):
        os.close(end)


def test_the_command_starts_with_ordinary_signals(capfd: pytest.CaptureFixture[str]) -> None:
    """Python ignores SIGPIPE and SIGXFSZ, which exec would pass on."""
    child = Child(["grep", "SigIgn", "/proc/self/status"])
    child.release()
    assert ended(child)
    ignored = int(capfd.readouterr().out.split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        assert not ignored >> (number - 1) & 1, number


def test_the_command_gets_no_descriptor_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    """It sees what any child of this process would see that nothing was added to."""
    child = Child(["ls", "/proc/self/fd"])
    child.release()
    assert ended(child)
    seen = capfd.readouterr().out
    assert os.spawnlp(os.P_WAIT, "ls", "ls", "/proc/self/fd") == 0
    assert seen == capfd.readouterr().out


@pytest.mark.root
def test_under_sudo_the_command_runs_as_who_called(
    children: list[Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User, group, supplementary groups, home and name are the invoking user's, and root is out of reach."""
    user = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(user.pw_uid))
    monkeypatch.setenv("SUDO_GID", str(user.pw_gid))
    seen = tmp_path / "seen"
    seen.touch()
    seen.chmod(0o666)
    tmp_path.chmod(0o755)
    script = "(id -u; id -g; id -G; echo $HOME; echo $USER; grep CapEff /proc/self/status) >&3"
    descriptor = os.open(seen, os.O_WRONLY)
    os.set_inheritable(descriptor, True)
    children.append(Child(["sh", "-c", script.replace("&3", f"/proc/self/fd/{descriptor}")]))
    children[0].release()
    assert ended(children[0])
    os.close(descriptor)
    uid, gid, groups, home, name, caps = seen.read_text().splitlines()
    assert (int(uid), int(gid), home, name) == (user.pw_uid, user.pw_gid, user.pw_dir, "nobody")
    expected = subprocess.run(["id", "-G", "nobody"], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(groups.split()) == sorted(expected)
    assert int(caps.split()[1], 16) == 0


def test_its_words_can_be_kept_out_of_a_report(capfd: pytest.CaptureFixture[str]) -> None:
    """With --json the command's stdout goes to stderr."""
    child = Child(["echo", "hello"], stdout_to_stderr=True)
    child.release()
    assert ended(child)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "hello\n")


def test_killed_while_it_waits(children: list[Child]) -> None:
    """Somebody ends the command before the trace is attached: a normal end, with the signal as its status."""
    child = Child(["true"])
    children.append(child)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child.release()
    assert ended(child)
    assert child.status == 128 + signal.SIGKILL
