"""Oracle: what a colleague would want to read: the figure that explains, the place, the setting."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import NOW, START, S, accepted, actor, connection, judged, touch
from tests.unit.cases import EOF_READ, NOT_RELEASED, OLD, ONE_OF_EACH, UNREAD, WATCHED
from tracer.diagnose.sites import group
from tracer.model.connection import Connection, Holder, KernelCounters
from tracer.model.finding import Site, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op, TcpState


def site_of(*sockets: Connection) -> Site:
    (site,) = group(judged(*sockets))
    return site


def texts(site: Site) -> tuple[str, str]:
    return " ".join(site.explanation), " ".join(site.advice)


def test_idle_time_over_all_sockets() -> None:
    """The peer's idle time before FIN, over all sockets of the site, is what names its keep-alive timeout."""
    why, todo = texts(site_of(*(connection(i, fin=66.0 + i * 0.02) for i in range(6))))
    assert "65.1 s of silence on all 6 (65.0 to 65.1 s)" in why
    assert "keep-alive timeout" in why
    assert "65.0 s" in todo
    assert "pool" in todo


def test_scattered_idle_times_claim_no_timeout() -> None:
    """Where the silences differ widely no single timeout is claimed."""
    why, _ = texts(site_of(*(connection(i, fin=10.0 + 20 * i) for i in range(6))))
    assert "no single timeout" in why
    assert "its keep-alive timeout" not in why


def test_hang_up_at_once_is_not_a_timeout() -> None:
    """A peer that hangs up right after its answer does not do keep-alive."""
    why, todo = texts(site_of(connection(fin=1.05)))
    assert "right after the last call" in why
    assert "Connection: close" in todo


def java(function: str, line: int) -> Frame:
    return Frame(function, None, file="X.java", line=line, language="java")


@pytest.mark.parametrize(
    ("library_frame", "word"),
    [
        (java("org.apache.http.impl.io.SessionInputBufferImpl.fillBuffer", 1), "evictIdleConnections(30000, "),
        (java("org.apache.commons.httpclient.HttpConnection.readLine", 1), "setConnectionTimeout(55000)"),
        (
            java("okhttp3.internal.http1.Http1ExchangeCodec.readHeaderLine", 1),
            "new ConnectionPool(5, 55000, TimeUnit.MILLISECONDS)",
        ),
        (Frame("Curl_recv_plain", "/usr/lib/libcurl.so.4"), "CURLOPT_MAXAGE_CONN"),
        (Frame("net/http.(*persistConn).readLoop", "app", language="go"), "resp.Body.Close()"),
        (
            Frame(
                "_make_request",
                "python3",
                file="/usr/lib/python3/dist-packages/urllib3/connectionpool.py",
                line=3,
                language="python",
            ),
            "urllib3",
        ),
    ],
)
def test_pool_setting_of_known_libraries(library_frame: Frame, word: str) -> None:
    """A library on the stack is recognised, and its own setting is named with a time below the peer's."""
    frames = (Frame("recv", "libc.so.6", internal=True), library_frame, java("com.acme.Client.call", 7))
    last = touch(Op.RECV, 1.006, 150, stack=Stack(frames, True))
    assert word in texts(site_of(connection(last=last)))[1]


def test_place_of_the_ignored_end() -> None:
    """For eof-ignored the function and line that got the 0 are named in what to change."""
    frames = (Frame("recv", "libc.so.6", internal=True), Frame("poll_feed", "app", 9, "/src/feed.c", 88))
    eof = touch(Op.RECV, 67, 0, stack=Stack(frames, True))
    why, todo = texts(site_of(connection(eof=eof, last=eof, eof_reads=1, rx_queue=0)))
    assert "recv returned 0 in poll_feed (feed.c:88)" in why
    assert "poll_feed (feed.c:88)" in todo


def test_busy_loop_on_the_end() -> None:
    """A program that reads the end over and over is told that this costs."""
    why, _ = texts(site_of(connection(**{**EOF_READ, "eof_reads": 5000})))
    assert "5000 times" in why


@pytest.mark.parametrize(("facts", "verdict", "figure"), ONE_OF_EACH)
def test_every_verdict_explains_and_advises(facts: dict[str, Any], verdict: Verdict, figure: str) -> None:
    """Explanation and advice are whole sentences, and the explanation carries the figure that matters."""
    site = site_of(connection(**facts))
    assert site.verdict is verdict
    assert figure in " ".join(site.explanation)
    assert site.advice
    for sentence in (*site.explanation, *site.advice):
        assert sentence[0].isupper() or sentence[0] in "`0123456789" or sentence.startswith(("recv", "stuck", "worker"))
        assert sentence.endswith((".", ","))


def test_all_verdicts_are_covered() -> None:
    """The list above has every verdict there is."""
    assert {verdict for _, verdict, _ in ONE_OF_EACH} == set(Verdict)


def test_several_sockets_are_told_in_the_plural() -> None:
    """Grammar follows the number of sockets."""
    one, many = texts(site_of(connection()))[0], texts(site_of(connection(1), connection(2)))[0]
    assert "the socket since" in one
    assert "the sockets since" in many


def test_accepted_and_touched_after_fin() -> None:
    """An answer that was read after FIN, but not to its end, is told so."""
    why, todo = texts(site_of(connection(last=touch(Op.RECV, 67, 500))))
    assert "After the peer had hung up the program read the data" in why
    assert "once the answer is complete" in todo


@pytest.mark.parametrize("facts", [UNREAD, {"passive": True}, {}])
def test_the_event_loop(facts: dict[str, Any]) -> None:
    """A loop that is told and does not come is stuck; one that is not told is said to be that; else nothing is said."""
    watched, _ = texts(site_of(connection(**facts, interests=WATCHED)))
    assert "event loop is stuck" in watched
    unwatched, _ = texts(site_of(connection(**facts, interests=())))
    assert "no event loop is told" in unwatched
    unknown, _ = texts(site_of(connection(**facts)))
    assert "event loop" not in unknown


def test_release_comes_before_a_limit() -> None:
    """Connections that were never given back are released; a pool's limit is for those that are meant to lie idle."""
    _, todo = texts(site_of(*(connection(i, never_reused=True) for i in range(3))))
    assert todo.index("Release each connection when its answer is complete") < todo.index("let the pool close idle")
    _, known = texts(site_of(*(connection(i, **NOT_RELEASED) for i in range(3))))
    assert "In OkHttp that is closing the response (response.close()" in known
    assert "keepAliveDuration" not in known
    _, plain = texts(site_of(connection(1), connection(2)))
    assert "Release" not in plain


def test_bytes_taken_unseen_are_no_silence() -> None:
    """Where some call took data unseen nobody says that nothing has touched it, or how long it was silent."""
    why, _ = texts(site_of(connection(kernel=KernelCounters(bytes_received=160))))
    assert "splice" in why
    assert "has touched" not in why
    assert "of silence" not in why


def test_accepted_or_opened_before_the_trace() -> None:
    """Of older sockets the side is told, and when data came last, as the kernel knows it."""
    counters = KernelCounters(7, 3, NOW - 7200 * S, NOW - 7200 * S)
    why, todo = texts(site_of(accepted(**{**OLD, "passive": True, "kernel": counters})))
    assert "The last data came 2h 00m ago." in why
    assert "accepted it on 10.0.0.5:8080" in todo
    assert "--pid 100" in todo


def test_shutdown_is_no_close() -> None:
    """A connection that the program shut down in order is told as that, and its shutdown is the last call."""
    site = site_of(connection(state=TcpState.CLOSE, shutdown=touch(Op.SHUTDOWN, 70.0, 0)))
    why, todo = texts(site)
    assert (site.verdict, site.last_op) == (Verdict.RESET_STILL_OPEN, "shutdown")
    assert "ended in order" in why
    assert "close(2)" in todo
    assert "ECONNRESET" not in todo


def test_owner_of_held_elsewhere_is_named() -> None:
    """Who used the socket last and who holds it still are both named, with their pids."""
    last = touch(Op.RECV, 1.006, 150, actor=actor(100, comm="parent"))
    why, todo = texts(site_of(accepted(last=last, holders=(Holder(555, 7, "child"), Holder(556, 7, "child")))))
    assert "parent (pid 100)" in why
    assert "child (pid 555) and child (pid 556)" in why
    assert "fork" in todo


def test_unknown_points_to_the_holder() -> None:
    """For a socket of which nothing was seen the next step names the process that holds it."""
    _, todo = texts(site_of(connection(**{**OLD, "fin_before_ns": START - 60 * S})))
    assert "--pid 100" in todo


def test_what_found_no_free_record_is_not_called_older() -> None:
    """Nothing is known of it, and why: neither that it is older, nor that others made its calls."""
    site = site_of(
        connection(**{**OLD, "preexisting": False, "unrecorded": True, "crowded_out": True, "fin_before_ns": START + S})
    )
    said = " ".join([*site.explanation, *site.advice, *site.findings[0].evidence])
    assert site.findings[0].since_ns == START + S
    assert "no record was free" in said
    assert "--memory" in said
    for claim in ("older than", "before the trace", "inherited", "Others made"):
        assert claim not in said


@pytest.mark.parametrize(("fields", "expected"), [(fields, verdict) for fields, verdict, _ in ONE_OF_EACH])
def test_nothing_is_concluded_from_calls_that_cannot_be_seen(fields: dict[str, Any], expected: Verdict) -> None:
    """Without hooks for receive and send nobody may say that no call was made, or how long none was."""
    site = site_of(connection(**fields, unseen=("receive", "send")))
    assert site.verdict is expected
    said = " ".join([*site.explanation, *site.findings[0].evidence])
    for claim in ("of silence", "has touched", "No call on it since", "no call has touched", "no thread has called"):
        assert claim not in said
    assert "no hook for receive and send" in " ".join(site.findings[0].evidence)


def test_library_that_may_be_at_work() -> None:
    """Where Python's functions have no names, the libraries installed for the program are told as just that."""
    unnamed = Stack((Frame("recv", "libc.so.6", internal=True), Frame(None, "python3.11", 9)), True)
    last = touch(Op.RECV, 1.006, 150, stack=unnamed)
    found = connection(last=last, packages=("requests", "urllib3"))
    why, todo = texts(site_of(found))
    assert "If requests (installed for this program) opened it: session.close()" in todo
    assert "urllib3 (installed" not in todo
    assert "requests" not in why


def test_named_functions_say_themselves_which_library_is_at_work() -> None:
    """Where they have names and no library is among them, none is guessed from what is installed."""
    named = Stack((Frame("fetch", None, file="/srv/app/feed.py", line=3, language="python"),), True)
    last = touch(Op.RECV, 1.006, 150, stack=named)
    assert "requests" not in texts(site_of(connection(last=last, packages=("requests",))))[1]
