"""The ends of a run: signals, time, and the end of what was traced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracer import earliest
from tracer.session.stopping import Stop

SIGNALS = earliest.ASKING
ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.usefixtures("_own_signals")


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_second_is_the_default(number: signal.Signals) -> None:
    """Ctrl-C gives the report; who is in a hurry presses it twice."""
    stop = Stop()
    assert not stop.over()
    os.kill(os.getpid(), number)
    assert stop.over()
    assert stop.asked
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_signal_ends_the_sleep() -> None:
    """The interval may be long; the answer is not."""
    stop = Stop()
    pinch = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -TERM {os.getpid()}"])
    begun = time.monotonic()
    stop.wait(30)
    assert time.monotonic() - begun < 10
    assert stop.over()
    pinch.wait()


def test_what_can_be_read_ends_the_sleep() -> None:
    """And it is told from a signal and from the end of the time."""
    stop = Stop()
    reading, writing = os.pipe()
    assert not stop.wait(0.0, reading)
    os.write(writing, b"x")
    assert stop.wait(30, reading)
    stop.end()
    assert not stop.wait(30)
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_a_report_can_be_asked_for_now() -> None:
    """SIGUSR1 does not end the run, and each request is answered once."""
    stop = Stop()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert stop.report_asked
    assert not stop.over()
    assert stop.take_request()
    assert not stop.take_request()


@pytest.mark.parametrize("number", earliest.SIGNALS)
def test_signals_before_the_first_line_of_work_are_kept(number: signal.Signals) -> None:
    """One that came while the program was imported counts as if it had come later."""
    earliest.catch()
    os.kill(os.getpid(), number)
    stop = Stop()
    assert stop.asked == (number is not signal.SIGUSR1)
    assert stop.report_asked == (number is signal.SIGUSR1)


@pytest.mark.parametrize("number", earliest.SIGNALS)
def test_signals_before_python_has_begun_are_kept(number: signal.Signals) -> None:
    """The command blocks them until then; so one that came is there when they are let in."""
    text = (
        "import os, signal, sys; "
        f"signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}]); os.kill(os.getpid(), {int(number)}); "
        "from tracer import earliest; earliest.catch(); "
        f"os._exit(9 if earliest.taken() == [{int(number)}] else 8)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 9


@pytest.mark.parametrize("command", ["tracer/closetrace", "packaging/closetrace"])
def test_the_command_blocks_signals_until_python_has_begun(tmp_path: Path, command: str) -> None:
    """All that are kept later, as /proc tells of the process that stands in python's place."""
    python = tmp_path / "python3"
    python.write_text(f"#!{sys.executable}\nprint(*(one for one in open('/proc/self/status') if 'SigBlk' in one))\n")
    python.chmod(0o755)
    script = tmp_path / "closetrace"
    script.write_text((ROOT / command).read_text().replace("/usr/bin/python3", str(python)))
    ran = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)
    blocked = int(ran.stdout.split()[1], 16)
    assert {number for number in signal.Signals if blocked >> number - 1 & 1} == set(earliest.SIGNALS)


@pytest.mark.parametrize("command", ["tracer/closetrace", "packaging/closetrace"])
def test_the_command_starts_where_env_cannot_block_signals(tmp_path: Path, command: str) -> None:
    """Other programs named env have no such option. SIGUSR1 does not end it there either."""
    program = "import sys\nprint(sys.argv[-1], *(one for one in open('/proc/self/status') if 'SigIgn' in one))\n"
    for name, text in (("python3", f"#!{sys.executable}\n{program}"), ("env", "#!/bin/sh\nexit 125\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = (ROOT / command).read_text()
    assert "/usr/bin/env " in script
    for name in ("python3", "env"):
        script = script.replace(f"/usr/bin/{name}", str(tmp_path / name))
    (tmp_path / "closetrace").write_text(script)
    ran = subprocess.run(["sh", tmp_path / "closetrace", "word"], capture_output=True, text=True, check=True)
    word, _name, ignored = ran.stdout.split()
    assert word == "word"
    assert int(ignored, 16) >> signal.SIGUSR1 - 1 & 1


def test_other_commands_end_as_usual() -> None:
    """A command that has no report gets the signal's usual effect, late."""
    program = "import os, signal; from tracer import earliest; earliest.catch(); "
    for number in (signal.SIGTERM, signal.SIGQUIT):
        text = f"{program}os.kill(os.getpid(), {int(number)}); earliest.release(); os._exit(9)"
        assert subprocess.run([sys.executable, "-c", text], check=False).returncode == -number


def test_what_was_ignored_is_ignored_again() -> None:
    """A census that nohup started outlives its terminal. SIGUSR1 is ignored by the command itself, not by the user."""
    text = (
        "import os, signal; from tracer import earliest; "
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.signal(signal.SIGUSR1, signal.SIG_IGN); "
        "earliest.catch(); os.kill(os.getpid(), signal.SIGHUP); earliest.release(); "
        "os.kill(os.getpid(), signal.SIGHUP); "
        "os._exit(9 if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL else 8)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 9


def test_the_duration_counts_from_begin() -> None:
    """Attaching takes its own time, which is not taken from the trace."""
    stop = Stop(0.2)
    time.sleep(0.3)
    assert not stop.over()
    stop.begin()
    assert not stop.over()
    begun = time.monotonic()
    stop.wait(30)
    assert 0.1 < time.monotonic() - begun < 5
    assert stop.over()
    assert not stop.asked


def test_the_run_ends_with_its_last_process() -> None:
    """One of two is not enough; a zombie counts as ended."""
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        stop = Stop(pids=[process.pid for process in processes])
        assert not stop.over()
        processes[0].kill()
        processes[0].wait()
        assert not stop.over()
        processes[1].kill()
        for _ in range(200):
            if stop.over():
                break
            time.sleep(0.01)
        assert stop.over()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_process_that_is_gone_already_ends_the_run_at_once() -> None:
    """It may vanish between the check of --pid and the start: nothing is left to wait for."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stop = Stop(pids=[gone.pid])
    begun = time.monotonic()
    stop.begin()
    assert stop.over()
    assert time.monotonic() - begun < 1


def test_without_pids_only_time_and_signals_end_it() -> None:
    """The whole host does not end."""
    stop = Stop()
    stop.begin()
    stop.wait(0.01)
    assert not stop.over()
