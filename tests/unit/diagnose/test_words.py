"""Oracle: how a person writes the same figure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import S, actor, touch
from tracer.diagnose import words
from tracer.model.frame import Frame
from tracer.model.states import Op

MS = 1_000_000


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 s"),
        (300_000, "0.3 ms"),
        (3 * MS, "3 ms"),
        (40 * MS, "0.04 s"),
        (400 * MS, "0.4 s"),
        (9_949 * MS, "9.9 s"),
        (9_960 * MS, "10 s"),
        (33 * S, "33 s"),
        (59_600 * MS, "1m 00s"),
        (71 * S, "1m 11s"),
        (7500 * S, "2h 05m"),
        ((3 * 24 + 4) * 3600 * S, "3d 04h"),
        (-5, "0 s"),
    ],
)
def test_duration(ns: int, text: str) -> None:
    """Ages are told in the two units that matter."""
    assert words.duration(ns) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [(65_004 * MS, "65.0 s"), (118 * S, "118.0 s"), (300 * S, "5m 00.0s"), (3600 * S, "1h 00m"), (20 * MS, "0.02 s")],
)
def test_silence(ns: int, text: str) -> None:
    """A peer's idle time shows the tenth that tells 65.0 s from 64.3 s."""
    assert words.silence(ns) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (9999, "9999 B"),
        (10_240, "10 KiB"),
        (3_500_000, "3.3 MiB"),
        (150_000, "146 KiB"),
        (1024**3, "1.0 GiB"),
        (1024**5, "1024 TiB"),
    ],
)
def test_byte_count(count: int, text: str) -> None:
    """Sizes are told in binary units."""
    assert words.byte_count(count) == text


@given(st.integers(0, 10**18))
def test_figures_stay_short(value: int) -> None:
    """Whatever the figure, it fits a column of a table."""
    assert len(words.duration(value)) <= 11
    assert len(words.byte_count(value % 2**50)) <= 9


@pytest.mark.parametrize(
    ("items", "text"),
    [([], "nobody"), (["a"], "a"), (["a", "b"], "a and b"), (list("abcdef"), "a, b, c, d and 2 more")],
)
def test_listed(items: list[str], text: str) -> None:
    """Long lists are cut with a count of the rest."""
    assert words.listed(items) == text


@pytest.mark.parametrize(
    ("ret", "short", "long"),
    [
        (150, "recv = 150", "recv of 150 bytes"),
        (1, "recv = 1", "recv of 1 byte"),
        (0, "recv = 0", "recv that returned 0"),
        (-11, "recv = EAGAIN", "recv that found nothing yet (EAGAIN)"),
        (-104, "recv = ECONNRESET", "recv that failed with ECONNRESET (Connection reset by peer)"),
        (-9999, "recv = -9999", "recv that failed with -9999 (Unknown error 9999)"),
        (None, "recv", "recv"),
    ],
)
def test_result_of_a_call(ret: int, short: str, long: str) -> None:
    """Results are bytes or the name of the error."""
    assert words.outcome(touch(Op.RECV, 1, ret)) == short
    assert words.result(touch(Op.RECV, 1, ret)) == long


@pytest.mark.parametrize(
    ("syscall", "text"),
    [
        (3, "closed by worker (pid 100)"),
        (-1, "closed by worker (pid 100)"),
        (231, "closed by the exit of worker (pid 100)"),
        (33, "closed by worker (pid 100): dup2 put another file in its place"),
        (59, "closed as process 100 became worker: close-on-exec"),
        (436, "closed by worker (pid 100) with close_range"),
        (45, "closed by worker (pid 100) while it was in recvfrom"),
    ],
)
def test_how_the_last_descriptor_went(syscall: int, text: str) -> None:
    """close(2) is told from exit, dup2 and exec (numbers of asm/unistd_64.h)."""
    assert words.let_go(touch(Op.CLOSE, 1, 0, syscall=syscall)) == text


def test_exit_is_told_by_the_kernel_too() -> None:
    """A process that a signal ended closes from within any call."""
    assert words.let_go(touch(Op.CLOSE, 1, 0, syscall=45, exiting=True)) == "closed by the exit of worker (pid 100)"


def test_threads() -> None:
    """A thread is told by its id, the main thread by the process's."""
    assert words.thread(actor(100)) == "worker (pid 100)"
    assert words.thread(actor(100, 107, "http-1")) == "http-1 (tid 107)"


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            Frame("com.acme.OrderClient.callBackend", None, 0, "OrderClient.java", 14, "java"),
            "OrderClient.callBackend (OrderClient.java:14)",
        ),
        (Frame("do_request", "/opt/app", 8, "/src/app.c", 44), "do_request (app.c:44)"),
        (Frame("do_request", "/opt/app", 8), "do_request (app)"),
        (Frame("ns::Pool::take(int, char const*)", "/opt/app", 8), "ns::Pool::take (app)"),
        (Frame(None, "/opt/app", 0x11D), "app+0x11d"),
        (Frame(None, None, 0x7F), "?+0x7f"),
        (Frame("github.com/acme/pool.(*Pool).Get", "app", language="go"), "pool.(*Pool).Get (app)"),
    ],
)
def test_frame_in_a_few_words(frame: Frame, text: str) -> None:
    """A frame is told by its own name and its place."""
    assert words.located(frame) == text


def test_exit_is_the_process_s() -> None:
    """Of a process that exits the last thread to leave is an accident, so the process is named."""
    by = actor(100, 107, "Reference Handl")
    assert words.let_go(touch(Op.CLOSE, 1, 0, syscall=231, actor=by)) == "closed by the exit of process 100"
