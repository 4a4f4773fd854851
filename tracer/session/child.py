"""Starts the command of `closetrace run` as the invoking user, and holds it until recording has begun."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
from collections.abc import Sequence
from typing import Optional

from tracer import earliest
from tracer.errors import ClosetraceError
from tracer.session.stopping import Stop


def _invoking_user() -> Optional[tuple[int, int]]:
    """Uid and gid of the user who called sudo, None without sudo."""
    try:
        return int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None


def _become(uid: int, gid: int) -> None:
    """Drop to the invoking user, with that user's groups, home and name (sudo(8) changed them)."""
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(uid)
        os.initgroups(entry.pw_name, gid)
        os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
        os.setgid(gid)
        os.setuid(uid)
        return
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


class Child:
    """A process that waits before exec until it is released. ``stdout_to_stderr`` keeps its output out of a report."""

    def __init__(self, command: Sequence[str], stdout_to_stderr: bool = False) -> None:
        self._command = list(command)
        held, self._gate = os.pipe()
        self._failed, failing = os.pipe()
        os.set_inheritable(failing, False)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            os.close(self._failed)
            self._be_the_command(held, failing, stdout_to_stderr)
        os.close(held)
        os.close(failing)
        self.status: Optional[int] = None

    def _be_the_command(self, held: int, failing: int, stdout_to_stderr: bool) -> None:
        """In the child: wait, drop rights, exec. Never returns."""
        try:
            if not os.read(held, 1):
                os._exit(0)  # the parent gave up before it attached
            # Python ignores the last two, and ignored signals stay ignored after exec
            for number in (*earliest.SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            user = _invoking_user() if os.geteuid() == 0 else None
            if user is not None:
                _become(*user)
            if stdout_to_stderr:
                os.dup2(2, 1)
            os.execvp(self._command[0], self._command)
        except OSError as error:
            os.write(failing, os.strerror(error.errno or 0).encode())
        finally:
            os._exit(127)

    def release(self) -> None:
        """Let it run. Raises ClosetraceError if the command cannot be started."""
        with contextlib.suppress(BrokenPipeError):  # it was killed while it waited: ended() says so
            os.write(self._gate, b"g")
        os.close(self._gate)
        self._gate = -1
        reason = os.read(self._failed, 256).decode(errors="replace")
        os.close(self._failed)
        if reason:
            raise ClosetraceError(f"cannot run {self._command[0]}: {reason}")

    def ended(self) -> bool:
        """Whether it has ended; its exit status is then in ``status`` (128 + the signal's number if one killed it)."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
                self.status = code
        return self.status is not None

    def finish(self) -> None:
        """End the command if it still runs: with SIGTERM, after two seconds with SIGKILL."""
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
        for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
            if self._gone_within(0.0):
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if self._gone_within(patience):
                return

    def _gone_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        return True


class StopWithChild(Stop):
    """A Stop that is also over when the command has ended."""

    def __init__(self, duration: Optional[float], child: Child) -> None:
        super().__init__(duration)
        self._child = child

    def wait(self, seconds: float, wakes: Optional[int] = None) -> bool:
        """Sleep in short steps, so that a short command ends a short run."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.over():
            if super().wait(min(0.1, until - time.monotonic()), wakes):
                return True
        return False

    def over(self) -> bool:
        """Whether the run is over or the command has ended."""
        return super().over() or self._child.ended()
