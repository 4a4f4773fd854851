"""Ruby stacks of a whole trace, compared with what the programs say of their own frames at the same calls.

``CLOSETRACE_RUBIES`` names the minor versions to test ("1 3"). The default is both.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import Trace
from tests.live.peers import answer_and_hang_up
from tests.systems.frames import Row, all_read, is_cut, place, table_of, traced_calls
from tests.systems.pythons import Frames, Told, answering
from tests.systems.rooted import start_below
from tests.systems.software import child

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs" / "ruby"
MINORS = [int(minor) for minor in os.environ.get("CLOSETRACE_RUBIES", "1 3").split()]
COLUMNS = ("calls", "equal", "frames", "right", "wrong", "marked", "unknown", "not copied")
MADE = 200
OWN_CALL = "recv"
"""The method in C that makes the call: it is no caller of what tells the frames."""


def ruby(minor: int, program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start one of the programs in ``programs/ruby`` with Debian's Ruby 3.``minor``."""
    done = subprocess.run(["sh", str(HERE / "rubies.sh"), str(minor)], check=True, stdout=subprocess.PIPE, text=True)
    root, command = done.stdout.split()
    return start_below(Path(root), command, PROGRAMS / program, *arguments)


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[dict[str, Row]]:
    """The numbers of compared frames of each case, printed at the end."""
    yield from table_of(request, "Ruby", COLUMNS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("minor", MINORS)
def test_the_frames_of_each_shape_are_those_that_the_program_tells(minor: int, table: dict[str, Row]) -> None:
    """Labels, files and lines are equal to ``caller_locations``, in order, as far as frames are copied."""
    row = table[f"3.{minor} shapes"] = Counter()
    wrong = []
    for one, site in traced(minor, "shapes.rb"):
        ours = ruby_frames(site)
        row.update(counted(one.frames, site))
        is_equal = len(ours) == len(one.frames) or (is_cut(site) and len(ours) < len(one.frames))
        is_equal = is_equal and all(map(is_same, ours, one.frames))
        row["equal"] += is_equal
        if not is_equal:
            wrong.append(f"{one.shape}: {[place(f) for f in ours]} is not {one.frames}")
    assert not wrong, "\n".join(wrong)
    assert row["calls"] >= 70


@pytest.mark.timeout(180)
@pytest.mark.parametrize("minor", MINORS)
def test_no_method_has_a_name_that_another_had(minor: int, table: dict[str, Row]) -> None:
    """Of a program that makes and frees methods all the time no frame is named wrongly, unless it is marked."""
    row = table[f"3.{minor} made"] = Counter()
    wrong = []
    for one, site in traced(minor, "made.rb", str(MADE)):
        row.update(counted(one.frames, site))
        row["equal"] += len(ruby_frames(site)) == len(one.frames) and all(map(is_same, ruby_frames(site), one.frames))
        wrong += misnamed(one.frames, site)
    assert not wrong
    assert row["calls"] == MADE
    assert row["right"] >= 5 * MADE  # so many frames of each stack are of methods that stay
    assert row["marked"] <= MADE // 10


def traced(minor: int, program: str, *arguments: str) -> Iterator[tuple[Told, dict[str, Any]]]:
    """Run ``program`` under a trace: what it said of a site's first socket, with that site."""
    with answering() as port, ruby(minor, program, str(port), *arguments) as process:
        yield from traced_calls(process)


def counted(theirs: Frames, site: dict[str, Any]) -> Row:
    """One row of the table for one stack."""
    frames = ruby_frames(site)
    return Counter(
        {
            "calls": 1,
            "frames": len(frames),
            "right": sum(map(is_same, frames, theirs)),
            "wrong": len(misnamed(theirs, site)),
            "unknown": sum(frame["function"] == "(unknown)" for frame in frames),
            "marked": sum("named later" in (frame["note"] or "") for frame in frames),
            "not copied": len(theirs) - len(frames),
        }
    )


def misnamed(theirs: Frames, site: dict[str, Any]) -> list[tuple[Any, tuple[str, str, int]]]:
    """Frames whose names are wrong without saying that they may be, with the right ones."""
    sure = ((f, one) for f, one in zip(ruby_frames(site), theirs) if "named later" not in (f["note"] or ""))
    return [(place(f), one) for f, one in sure if not is_same(f, one) and f["function"] != "(unknown)"]


def is_same(frame: dict[str, Any], one: tuple[str, str, int]) -> bool:
    """Whether a frame is the one told. Of a method in C Ruby tells its caller's file and line."""
    label, file, line = one
    return frame["function"] == label and (frame["file"] is None or (frame["file"], frame["line"]) == (file, line))


def ruby_frames(site: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the site's stack that are Ruby's, without the method that makes the call."""
    frames = [frame for frame in site["stack"] if frame["language"] == "ruby"]
    return frames[1:] if frames and frames[0]["function"] == OWN_CALL else frames


@pytest.mark.skipif(1 not in MINORS, reason="puma is that of Debian 12's Ruby")
def test_puma(tmp_path: Path) -> None:
    """A web application's method is named, not puma, Net::HTTP or Ruby; where it waits now is told as well."""
    with socket.create_server(("127.0.0.1", 0)) as backend, puma(tmp_path, "prices.ru") as (process, port):
        threading.Thread(target=_sell, args=(backend,), daemon=True).start()
        with Trace("--pid", str(process.pid), "--linger", "0.5", "--json", "--verbose") as trace:
            trace.until(lambda: "has an interpreter" in trace.err(), "the interpreter is known")
            for _ in range(3):
                url = f"http://127.0.0.1:{port}/?{backend.getsockname()[1]}"
                assert urllib.request.urlopen(url, timeout=20).read() == b"1.5"
            trace.until(lambda: all_read(3) in trace.err(), "all sockets linger, and all their stacks are read")
            (site,) = trace.stop().report()["sites"]
        backend.shutdown(socket.SHUT_RDWR)
    assert (site["count"], site["verdict"]) == (3, "end-taken")
    frame = site["stack"][site["application"]["index"]]
    assert place(frame) == ("fetch_price", str(PROGRAMS / "prices.ru"), 16)
    assert [f["function"] for f in site["stack"] if (f["file"] or "").endswith("prices.ru")] == ["fetch_price", "call"]
    assert "fetch_price" in {f["function"] for f in site["opened_stack"]}


@contextmanager
def puma(folder: Path, program: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Debian's puma with two threads, once it listens, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("puma", "-b", f"tcp://127.0.0.1:{port}", "-t", "2:2", str(PROGRAMS / program))
    log = folder / "puma.log"
    with child(*words, log=log) as process:
        end = time.monotonic() + 60
        while "Use Ctrl-C to stop" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield process, port


def _sell(backend: socket.socket) -> None:
    """Answer each request, and hang up."""
    while True:
        try:
            connection, _ = backend.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            answer_and_hang_up(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1.5")
