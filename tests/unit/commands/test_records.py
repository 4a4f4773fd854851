"""An agent is asked beside the census: it may be missing, refuse, be slow or talk nonsense, and the count goes on."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import pytest

from tests.unit.builders import connection, report
from tracer.agent.protocol import About, Greeting, Refusal, answer_line, chunk, question_from
from tracer.agent.records import lines
from tracer.commands import records
from tracer.commands.records import AgentBeside
from tracer.model.scope import Scope

GREETING = answer_line(Greeting(5.0))
ANSWER = GREETING + answer_line(About(1)) + chunk("".join(lines(report(connection(1)))).encode()) + chunk(b"")


@contextmanager
def agent(path: Path, answer: Callable[[socket.socket], object]) -> Iterator[list[bytes]]:
    """Somebody of this user's who answers at ``path``, connection after connection."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    asked.append(line.recv(4096))
                    answer(line)

        threading.Thread(target=serve, daemon=True).start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)


def test_without_an_agent_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor said, nor waited for: no thread begins."""
    for name in ("asking", "protocol", "records"):
        monkeypatch.setitem(sys.modules, f"tracer.agent.{name}", None)
    monkeypatch.setattr(threading, "Thread", lambda **_: pytest.fail("a thread"))
    assert AgentBeside(str(tmp_path / "agent.sock"), Scope()).newest() is None


def test_who_may_not_connect_is_told_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As where nobody listens: connect(2) fails."""
    (tmp_path / "agent.sock").write_text("")
    assert AgentBeside(str(tmp_path / "agent.sock"), Scope()).newest() is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.root
def test_an_answer(tmp_path: Path) -> None:
    """It is asked for the scope; the second count does not ask again so soon."""
    with agent(tmp_path / "agent.sock", lambda line: line.sendall(ANSWER)) as asked:
        recorder = AgentBeside(str(tmp_path / "agent.sock"), Scope(pids=(1,)))
        for _ in range(2):
            found = recorder.newest()
            assert found is not None
            assert (found.since, len(found.paths)) == (5.0, 1)
        (question,) = asked
    assert (question_from(question).what, question_from(question).scope.pids) == ("census", (1,))


@pytest.mark.root
@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer_line(Refusal("scope", "it records only some processes")), "it records only some processes"),
        (GREETING + answer_line(Refusal("busy", "it answers others")), "it answers others"),
        (b"rubbish\n", "it does not answer"),
        (GREETING, "it ended before its answer"),
        (GREETING + answer_line(About(1)) + b"9\nabc", "it ended within its answer"),
        (GREETING + answer_line(About(1)) + chunk(b"rubbish") + chunk(b""), "no agent of this version"),
    ],
)
def test_one_line_says_why_not(tmp_path: Path, capfd: pytest.CaptureFixture[str], said: bytes, why: str) -> None:
    """Once, however often is counted."""
    with agent(tmp_path / "agent.sock", lambda line: line.sendall(said)):
        recorder = AgentBeside(str(tmp_path / "agent.sock"), Scope())
        assert recorder.newest() is None
        assert recorder.newest() is None
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert why in line
    assert "the kernel's count alone" in line


@pytest.mark.root
def test_a_slow_one_is_not_waited_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it says something now and then. Its answer comes with a later count, which does not wait."""
    monkeypatch.setattr(records, "_PATIENCE_S", 0.3)
    goes_on = threading.Event()

    def slowly(line: socket.socket) -> None:
        line.sendall(ANSWER[:-3])
        goes_on.wait(20)
        line.sendall(ANSWER[-3:])

    with agent(tmp_path / "agent.sock", slowly):
        recorder = AgentBeside(str(tmp_path / "agent.sock"), Scope())
        begun = time.monotonic()
        assert recorder.newest() is None
        assert 0.3 <= time.monotonic() - begun < 10
        begun = time.monotonic()
        assert recorder.newest() is None
        assert time.monotonic() - begun < 0.3
        goes_on.set()
        (asking,) = (one for one in threading.enumerate() if one.name == "closetrace-asks")
        asking.join(20)
        assert recorder.newest() is not None
    (line,) = capfd.readouterr().err.splitlines()
    assert "does not answer within 0.3 s" in line


@pytest.mark.root
def test_it_is_asked_again_when_that_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while. One that is gone has no say any more."""
    monkeypatch.setattr(records, "_AGAIN_S", 0.0)
    monkeypatch.setattr(records, "_SHARE", 0)
    path = tmp_path / "agent.sock"
    with agent(path, lambda line: line.sendall(ANSWER)) as asked:
        recorder = AgentBeside(str(path), Scope())
        assert recorder.newest() is not None
        assert recorder.newest() is not None
        for asking in [one for one in threading.enumerate() if one.name == "closetrace-asks"]:
            asking.join(20)
        assert len(asked) == 2
    path.unlink()
    assert recorder.newest() is None
