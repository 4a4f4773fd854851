"""Whatever ends the screen, the terminal is what it was. Each test has a process on a terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

import pytest

SHOW = """
import sys
from tests.unit.builders import connection, report
from tracer import cli
from tracer.errors import ClosetraceError, HostUnsupported
from tracer.top.ending import Ending
from tracer.top.running import run

class Source:
    name = "test"
    def run(self, taker):
        how = sys.argv[1]
        taker.take(report(connection()))
        if how == "unsupported":
            raise HostUnsupported("no such hook")
        if how == "stuck":
            import time
            time.sleep(60)
        while not stop.asked:
            stop.wait(0.05)
    def close(self):
        print("freed", flush=True)

stop = Ending()
try:
    print(run(Source(), stop, lambda name, report: None))
except ClosetraceError as error:
    print(error)
    sys.exit(error.exit_code)
"""
WAIT_S = 60.0


@dataclass
class Shown:
    """The process, the terminal's two ends, its settings before, and what was written to it."""

    process: subprocess.Popen[bytes]
    master: int
    slave: int
    settings: list[object]
    text: bytes = b""

    def read_until(self, what: Optional[bytes]) -> None:
        """Read on until ``what`` was written, or until the process has ended if it is None."""
        until = time.monotonic() + WAIT_S
        while what is None or what not in self.text:
            assert time.monotonic() < until, self.text[-2000:]
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                self.text += os.read(self.master, 65536)
            elif self.process.poll() is not None:
                assert what is None, self.text[-2000:]
                return


@contextlib.contextmanager
def shown(how: str = "") -> Iterator[Shown]:
    """The screen, once its list is there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    settings = termios.tcgetattr(slave)
    with subprocess.Popen(
        [sys.executable, "-c", SHOW, how],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    ) as process:
        one = Shown(process, master, slave, settings)
        try:
            if how != "unsupported":
                one.read_until(b"read_reply")
            yield one
        finally:
            process.kill()
            for end in {one.master, one.slave} - {-1}:
                os.close(end)


def is_as_before(one: Shown) -> None:
    """The settings are those from before, the usual screen is there with its cursor, and nothing is reported."""
    assert termios.tcgetattr(one.slave) == one.settings
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"), (b"\x1b[?1000h", b"\x1b[?1000l")):
        assert one.text.rfind(off) > one.text.rfind(on) >= 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signal(number: signal.Signals) -> None:
    """Each signal ends it in good order, with the last line."""
    with shown() as one:
        one.process.send_signal(number)
        one.read_until(None)
        assert one.process.returncode == 0
        is_as_before(one)
        assert b"freed\r\n1 leak site with 1 socket at the end\r\n" in one.text


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_key(key: bytes) -> None:
    """So do the keys."""
    with shown() as one:
        os.write(one.master, key)
        one.read_until(None)
        assert one.process.returncode == 0
        is_as_before(one)


def test_error_of_the_source() -> None:
    """The error is one line, after the screen."""
    with shown("unsupported") as one:
        one.read_until(None)
        assert one.process.returncode == 4
        assert one.text.endswith(b"freed\r\nno such hook\r\n")
        assert termios.tcgetattr(one.slave) == one.settings


def test_second_signal_waits_for_nothing() -> None:
    """A source that does not end: the screen has gone with the first signal, the process goes with the second."""
    with shown("stuck") as one:
        one.process.send_signal(signal.SIGTERM)
        one.read_until(b"\x1b[?1049l")
        one.process.send_signal(signal.SIGTERM)
        one.read_until(None)
        assert one.process.returncode == -signal.SIGTERM
        is_as_before(one)


def test_terminal_that_is_gone() -> None:
    """A connection that breaks: the kernel sends SIGHUP, and the process ends."""
    with shown() as one:
        os.close(one.master)
        os.close(one.slave)
        one.master = one.slave = -1
        one.process.send_signal(signal.SIGHUP)  # it is not the session's controlling terminal here
        assert one.process.wait(WAIT_S) in (0, 1)
