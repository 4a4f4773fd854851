"""The agent's socket: who may ask, and what those cost who do harm. Clients are real ones, in threads."""

from __future__ import annotations

import contextlib
import errno
import gc
import grp
import os
import socket
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Union

import pytest

from tracer.agent import asking
from tracer.agent import listener as listening
from tracer.agent.asking import Asked, NoAgent, NotAnswered
from tracer.agent.listener import Answer, Listener
from tracer.agent.place import Place as Seat
from tracer.agent.protocol import About, NoAnswer, Question, Refusal, question_line
from tracer.errors import UsageError
from tracer.model.scope import Scope

QUESTION = Question("report", Scope(pids=(1,)), "init", 10_000_000_000)
pytestmark = pytest.mark.root


class Place:
    """A listener that serves in a thread, as an agent's session does while it rests."""

    def __init__(self, path: Path, answer: Callable[[Question], Union[Answer, Refusal]], group: str = "") -> None:
        self.path = str(path)
        self.slowest = 0.0
        self._ends = threading.Event()
        self.listener = Listener(Seat(self.path, group), lambda: 1.7e9, answer)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends.is_set():
            begun = time.monotonic()
            self.listener.serve(0.05)
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self.listener.close()

    def ask(self, question: Question = QUESTION) -> str:
        text: list[bytes] = []
        with Asked(self.path, question) as asked:
            assert asked.about().lingering == 3
            asked.text(text.append)
        return b"".join(text).decode()

    def connect(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.path)
        line.settimeout(10)
        return line


def told(question: Question) -> Answer:
    """A long answer in many pieces, some of them empty."""
    return About(3), (f"{question.target} {number}\n" * (number % 3) for number in range(1, 60_001))


WHOLE = "".join(f"init {number}\n" * (number % 3) for number in range(1, 60_001))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "agent.sock", told)
    yield made
    made.close()


def test_an_answer_arrives_whole(place: Place) -> None:
    """Piece by piece, one question after another, to several at once."""
    assert place.ask() == WHOLE
    answers: list[str] = []
    clients = [threading.Thread(target=lambda: answers.append(place.ask())) for _ in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert answers == [WHOLE] * 4


def test_what_else_there_is_to_do_ends_the_serving(tmp_path: Path) -> None:
    """Whoever serves comes back at once when a descriptor can be read."""
    listener = Listener(Seat(str(tmp_path / "agent.sock"), ""), lambda: 1.7e9, told)
    reading, writing = os.pipe()
    assert not listener.serve(0.01, reading)
    os.write(writing, b"x")
    assert listener.serve(60, reading)
    listener.close()
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_a_refusal_is_told_in_its_words(tmp_path: Path) -> None:
    """Before and after the greeting."""
    place = Place(tmp_path / "agent.sock", lambda _: Refusal("scope", "it does not record that"))
    with pytest.raises(NotAnswered, match="does not record that"):
        place.ask()
    place.close()


def test_an_answer_that_breaks_off_is_no_whole_one(tmp_path: Path) -> None:
    """The agent ends within it: nobody takes the part for the whole."""
    place = Place(tmp_path / "agent.sock", told)
    asked = Asked(place.path, QUESTION)
    asked.about()
    place.close()
    with asked, pytest.raises(NoAnswer):
        asked.text(lambda _: None)


def never_asks(place: Place) -> Any:
    return [place.connect() for _ in range(20)]


def asks_for_ever(place: Place) -> Any:
    line = place.connect()
    with contextlib.suppress(OSError):
        for _ in range(1000):
            line.sendall(b"x" * 1_000_000)
        raise AssertionError("it took a gigabyte")
    return line


def never_reads(place: Place) -> Any:
    lines = [place.connect() for _ in range(4)]
    for line in lines:
        line.sendall(question_line(QUESTION))
    return lines


def says_rubbish(place: Place) -> Any:
    line = place.connect()
    line.sendall(b"\x00\xff{]\n")
    assert b'"code": "question"' in line.recv(4096)
    assert line.recv(4096) == b""
    return line


def asks_twice(place: Place) -> Any:
    line = place.connect()
    line.sendall(question_line(QUESTION) * 2)
    return line


def hangs_up(place: Place) -> Any:
    for _ in range(50):
        line = place.connect()
        line.sendall(question_line(QUESTION))
        line.close()


@pytest.mark.parametrize("harm", [never_asks, asks_for_ever, never_reads, says_rubbish, asks_twice, hangs_up])
def test_whoever_does_harm_delays_nobody(place: Place, harm: Callable[[Place], Any]) -> None:
    """Others are answered within the time that a command waits, and serving takes no longer than it was told to."""
    kept = harm(place)
    begun = time.monotonic()
    assert place.ask() == WHOLE
    assert time.monotonic() - begun < 5
    assert place.slowest < 1
    del kept


def test_a_thousand_connections_leave_nothing(place: Place) -> None:
    """Neither descriptors nor memory of theirs stay, and the next one is answered."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        place.connect().close()
    assert place.ask() == WHOLE
    assert len(os.listdir("/proc/self/fd")) <= before + 2


class Full(socket.socket):
    """A listening socket of a process that has no descriptor left."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.tried: list[float] = []
        self.often = threading.Event()

    def accept(self) -> Any:
        self.tried.append(time.monotonic())
        if len(self.tried) > 3:
            self.often.set()
        raise OSError(errno.EMFILE, "Too many open files")


def test_without_descriptors_it_does_not_try_all_the_time(tmp_path: Path) -> None:
    """The recording shares a CPU with it."""
    seat = Seat(str(tmp_path / "agent.sock"), "")
    seat.socket.close()
    full = seat.socket = Full()
    listener = Listener(seat, lambda: 1.7e9, told)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(tmp_path / "agent.sock"))
        assert full.often.wait(10)
    listener.close()
    assert min(later - earlier for earlier, later in zip(full.tried, full.tried[1:])) >= 0.1


def test_a_client_that_never_reads_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded, and is freed after a time."""
    monkeypatch.setattr("tracer.agent.listener._READ_S", 0.3)
    made: list[int] = []
    place = Place(tmp_path / "agent.sock", lambda _: (About(3), _endless(made)))
    line = place.connect()
    line.sendall(question_line(QUESTION))
    until = time.monotonic() + 10
    while not place.listener.refused and time.monotonic() < until:
        time.sleep(0.02)
    assert place.listener.refused == 1
    assert sum(made) < 4 << 20
    while line.recv(1 << 16):
        pass
    place.close()


def _endless(made: list[int]) -> Iterator[str]:
    while True:
        made.append(1000)
        yield "x" * 1000


def _as(uid: int, gid: int, groups: list[int], path: str) -> int:
    """The exit code of a child with these ids that asks: 0 answered, 1 no agent for it, 2 refused."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            with Asked(path, QUESTION) as asked:
                asked.about()
            code = 0
        except NoAgent:
            code = 1
        except NotAnswered:
            code = 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may enter, as /run is."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder) not in ("/", "/tmp"):
            folder.chmod(0o755)
    return tmp_path


def test_who_may_ask(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """root may, and members of the group, whether it is their first group or not. The kernel and the agent look."""
    for module, name in ((asking, "_BEGIN_S"), (listening, "_ASK_S"), (listening, "_READ_S")):
        monkeypatch.setattr(module, name, 60.0)  # however busy this machine is
    group = grp.getgrnam("daemon")
    place = Place(open_folder / "agent.sock", told, "daemon")
    mode = os.stat(place.path)
    assert (stat.S_IMODE(mode.st_mode), mode.st_uid, mode.st_gid) == (0o660, 0, group.gr_gid)
    assert _as(0, 0, [], place.path) == 0
    assert _as(65534, group.gr_gid, [], place.path) == 0
    assert _as(65534, 65534, [group.gr_gid], place.path) == 0
    assert _as(65534, 65534, [], place.path) == 1
    os.chmod(place.path, 0o666)
    assert _as(65534, 65534, [], place.path) == 2
    place.close()


def test_without_a_group_root_alone(open_folder: Path) -> None:
    """No matter who can reach the socket."""
    place = Place(open_folder / "agent.sock", told)
    assert stat.S_IMODE(os.stat(place.path).st_mode) == 0o600
    os.chmod(place.path, 0o666)
    assert _as(65534, 65534, [0], place.path) == 2
    place.close()


def test_only_roots_agent_is_believed(open_folder: Path) -> None:
    """A command of root's does not print what somebody else's program says."""
    path = str(open_folder / "agent.sock")
    open_folder.chmod(0o777)
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        time.sleep(60)
        os._exit(0)
    until = time.monotonic() + 10
    error: Exception = NoAgent()
    while isinstance(error, NoAgent) and time.monotonic() < until:
        try:
            Asked(path, QUESTION).close()
        except (NoAgent, NotAnswered) as raised:
            error = raised
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert "65534" in str(error)


def test_an_agent_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """A second, not more."""
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        begun = time.monotonic()
        with pytest.raises(NotAnswered, match="within 1 s"):
            Asked(path, QUESTION)
        assert 0.9 < time.monotonic() - begun < 5


def test_where_there_is_none(tmp_path: Path) -> None:
    """No socket, a file, a socket that nobody listens at."""
    file = tmp_path / "file"
    file.write_text("")
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    for path in (tmp_path / "none", file, left):
        with pytest.raises(NoAgent):
            Asked(str(path), QUESTION)


def test_it_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    """But not of one that lives, and not of a file."""
    left = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    place = Place(left, told)
    assert place.ask() == WHOLE
    with pytest.raises(UsageError, match="another agent"):
        Listener(Seat(str(left), ""), lambda: 0.0, told)
    place.close()
    assert not left.exists()
    left.write_text("mine")
    with pytest.raises(UsageError, match="no socket"):
        Listener(Seat(str(left), ""), lambda: 0.0, told)
    assert left.read_text() == "mine"


def _big(size: int = 40_000) -> tuple[Answer, weakref.ref[Any]]:
    """An answer that does not fit into the buffers, and what tells whether its report is still there."""

    class Report:
        """Stands for hundreds of megabytes."""

    report = Report()

    def pieces(kept: Report) -> Iterator[str]:
        for _ in range(size):
            yield f"{kept.__class__.__name__:>100}"

    return (About(3), pieces(report)), weakref.ref(report)


def test_answers_that_nobody_reads_keep_few_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time. Who asks while two are not read waits until one of those gives way."""
    monkeypatch.setattr("tracer.agent.listener._READ_S", 1000.0)
    monkeypatch.setattr("tracer.agent.listener._LONGEST_S", 1000.0)
    reports: list[weakref.ref[Any]] = []
    most = 0

    def answer(_question: Question) -> Answer:
        nonlocal most
        gc.collect()
        most = max(most, 1 + sum(one() is not None for one in reports))
        found, report = _big()
        reports.append(report)
        return found

    place = Place(tmp_path / "agent.sock", answer)
    deaf = []
    for _ in range(6):
        deaf.append(place.connect())
        deaf[-1].sendall(question_line(QUESTION))
    assert len(place.ask()) == 4_000_000
    assert len(reports) == 7
    assert most <= 2
    for line in deaf:
        line.close()
    place.close()


def test_who_reads_byte_by_byte_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He takes something all the time, and not for longer than his time while others wait."""
    monkeypatch.setattr("tracer.agent.listener._CROWDED_S", 0.3)
    place = Place(tmp_path / "agent.sock", lambda _question: _big()[0])
    slow, ends = [place.connect() for _ in range(2)], threading.Event()

    def read(line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not ends.wait(0.01) and line.recv(1000):
                pass

    readers = [threading.Thread(target=read, args=(line,)) for line in slow]
    for line, reader in zip(slow, readers):
        line.sendall(question_line(QUESTION))
        reader.start()
    assert len(place.ask()) == 4_000_000
    ends.set()
    for line, reader in zip(slow, readers):
        reader.join()
        line.close()
    place.close()


def test_who_reads_slowly_and_alone_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as nobody waits for his answer."""
    monkeypatch.setattr("tracer.agent.listener._STALLED_S", 0.0)
    place = Place(tmp_path / "agent.sock", lambda _question: _big()[0])
    slow = [Asked(place.path, QUESTION) for _ in range(2)]
    for one in slow:
        assert one.about().lingering == 3
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert len(place.listener._clients) == 2
        time.sleep(0.01)
    for one in slow:
        text: list[bytes] = []
        with one:
            one.text(text.append)
        assert len(b"".join(text)) == 4_000_000
    place.close()


def test_the_group_changes_in_place(open_folder: Path) -> None:
    """Nobody who asks meanwhile is turned away: the socket stays the same."""
    group = next(one for one in grp.getgrall() if one.gr_gid not in (0, 65534))
    place = Place(open_folder / "agent.sock", told)
    inode = os.stat(place.path).st_ino
    place.listener.give_to(group.gr_name)
    found = os.stat(place.path)
    assert (found.st_ino, stat.S_IMODE(found.st_mode), found.st_gid) == (inode, 0o660, group.gr_gid)
    assert _as(65534, group.gr_gid, [], place.path) == 0
    with pytest.raises(UsageError, match="no such group"):
        place.listener.give_to("no-such-group")
    assert _as(65534, group.gr_gid, [], place.path) == 0
    place.listener.give_to("")
    assert (stat.S_IMODE(os.stat(place.path).st_mode), os.stat(place.path).st_gid) == (0o600, 0)
    assert _as(65534, group.gr_gid, [], place.path) == 1
    place.close()


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """Somebody could put a socket of their own there."""
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="can be written by others"):
        Listener(Seat(str(tmp_path / "agent.sock"), ""), lambda: 0.0, told)
    with pytest.raises(UsageError, match="no such group"):
        Listener(Seat(str(tmp_path / "agent.sock"), "no-such-group"), lambda: 0.0, told)
    with pytest.raises(UsageError, match="--socket"):
        Listener(Seat(str(tmp_path / "none" / "none" / "agent.sock"), ""), lambda: 0.0, told)


@pytest.mark.parametrize("path", ["", "/proc/none/agent.sock", "/proc/version/agent.sock", "/x" + "x" * 300, "/\0/a"])
def test_where_no_socket_can_be(path: str) -> None:
    """The reason in one line, of the one kind of error that a new configuration may have."""
    with pytest.raises(UsageError, match="--socket"):
        Listener(Seat(path, ""), lambda: 0.0, told)


def test_an_answer_that_cannot_be_written_ends_that_client_alone(tmp_path: Path) -> None:
    """A fault in writing one answer does not leave the others without."""

    def broken() -> Iterator[str]:
        yield "x" * 100
        raise KeyError("field")

    answers = [(About(3), broken()), told(QUESTION)]
    place = Place(tmp_path / "agent.sock", lambda _: answers.pop(0))
    with pytest.raises(NotAnswered, match="ended before its answer"):
        place.ask()
    assert place.ask() == WHOLE
    place.close()


def test_a_question_that_breaks_what_answers_ends_nothing(tmp_path: Path) -> None:
    """A member of the group must not be able to end the recording by what he asks."""
    wrong = [ValueError("surrogates not allowed"), OSError(3, "No such process")]

    def answer(question: Question) -> Answer:
        if wrong:
            raise wrong.pop()
        return told(question)

    place = Place(tmp_path / "agent.sock", answer)
    for _ in range(2):
        with pytest.raises(NotAnswered, match="cannot answer that"):
            place.ask()
    assert place.ask() == WHOLE
    place.close()


def test_who_asks_and_goes_leaves_no_question(tmp_path: Path) -> None:
    """While the session is busy nobody answers, and questions of those who went must not gather."""
    listener = Listener(Seat(str(tmp_path / "agent.sock"), ""), lambda: 1.7e9, told)
    kept = [weakref.ref(client) for client in _asked_and_gone(listener, str(tmp_path / "agent.sock"))]
    until = time.monotonic() + 10
    while any(one() is not None for one in kept) and time.monotonic() < until:
        time.sleep(0.02)
    listener.close()
    assert [one() for one in kept] == [None] * 5


def _asked_and_gone(listener: Listener, path: str) -> Iterator[Any]:
    """What the listener knows of five clients, each of which has gone when the next one comes."""
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(path)
            line.sendall(question_line(QUESTION))
            assert b"since" in line.recv(4096)
            yield next(iter(listener._clients.values()))


def test_one_large_piece_arrives_whole(tmp_path: Path) -> None:
    """A report as text is one piece, and who asks takes no more than 16 MB at once."""
    large = "socket é\n" * 2_000_000
    place = Place(tmp_path / "agent.sock", lambda _: (About(3), iter([large])))
    assert place.ask() == large
    place.close()


def test_an_agent_that_ends_before_its_answer_is_no_failure(tmp_path: Path) -> None:
    """Nothing was told yet, so the command can trace anew."""
    busy, ends = threading.Event(), threading.Event()

    def answer(question: Question) -> Answer:
        busy.set()
        ends.wait(10)
        return told(question)

    place = Place(tmp_path / "agent.sock", answer)
    with Asked(place.path, QUESTION) as asked:
        busy.wait(10)
        place.listener.close()
        with pytest.raises(NotAnswered, match="ended before its answer"):
            asked.about()
    ends.set()
    place._ends.set()
    place._thread.join()
