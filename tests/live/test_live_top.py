"""The live screen on a real trace, on a terminal of its own: it shows and writes what ss tells, and leaves no mark."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

from tests.live.closetrace_command import END_LIMIT_S, LINGER, START_LIMIT_S, command, with_probes
from tests.live.oracles import ss_close_wait
from tests.live.workload import start

SOCKETS = 5


class Terminal:
    """A terminal of 80x24 with `closetrace top` on it, and all that was written to it."""

    def __init__(self, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.settings = termios.tcgetattr(self.slave)
        words, environment = command()
        self.process = subprocess.Popen(
            [*words, *with_probes(("top", *arguments))],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            env={**os.environ, **environment, "TERM": "xterm-256color", "NO_COLOR": "1"},
        )
        self.text = b""

    def until(self, what: bytes, limit_s: float) -> None:
        """Read until ``what`` was written after what was read before."""
        seen, until = len(self.text), time.monotonic() + limit_s
        while what not in self.text[seen:]:
            assert time.monotonic() < until, self.text[-3000:]
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536)

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self.master, keys)

    def close(self) -> None:
        """End what still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_what_is_seen_and_written_is_what_there_is(tmp_path: Path) -> None:
    """A leak appears on the screen; the written report has each socket that ss lists."""
    path = tmp_path / "report.json"
    with start("idle_pool", str(SOCKETS)) as program:
        terminal = Terminal("--pid", str(program.pid()), *LINGER)
        try:
            terminal.until(b"no socket", START_LIMIT_S)
            program.all_steps()
            terminal.until(f"{SOCKETS} sockets in CLOSE_WAIT".encode(), END_LIMIT_S)
            terminal.type(b"w")
            terminal.until(b".json", END_LIMIT_S)
            terminal.type(str(path).encode() + b"\r")
            terminal.until(b"written to", END_LIMIT_S)
            listed = ss_close_wait({program.pid()})
            terminal.type(b"q")
            terminal.until(path.name.encode(), END_LIMIT_S)
            last = " ".join(terminal.text[-1000:].decode().split())  # it is broken at the terminal's width
            assert f"with {SOCKETS} sockets at the end; written to {path}" in last
            assert terminal.process.wait(END_LIMIT_S) == 0
            assert termios.tcgetattr(terminal.slave) == terminal.settings
        finally:
            terminal.close()
    report = json.loads(path.read_text(encoding="utf-8"))
    told = {(one["local"], one["remote"]) for site in report["sites"] for one in site["sockets"]}
    assert told == set(listed)
    assert len(told) == SOCKETS
