"""Oracle: what a colleague would want to read: the figure that explains, the place, the setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Optional

import pytest

from tests.unit.builders import NOW, START, S, accepted, actor, connection, judged, life, stack, touch
from tests.unit.cases import (
    EOF_READ,
    FAREWELL,
    GOODBYE,
    INSIDE,
    NEVER_READ,
    NEVER_USED,
    NOT_RELEASED,
    OKHTTP,
    OLD,
    ONE_OF_EACH,
    PAUSED,
    STALLED,
    UNREAD,
    WATCHED,
    WITH_DATA,
)
from tracer.diagnose.present import all_of, wanted
from tracer.diagnose.sites import group
from tracer.model.connection import Blocked, Connection, Holder, Interest, KernelCounters, Relation, Touch
from tracer.model.finding import Site, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.holder import Lineage, Use
from tracer.model.states import Op, Origin, TcpState


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


@pytest.mark.parametrize(
    ("received", "said"),
    [
        ((7, 7), "The last data came 1.0 s to 2.0 s ago."),
        ((7, 1), "On 1 of the 2 the last data came 1.0 s ago. On 1 of the 2 no data have ever come."),
        ((7, None), "On 1 of the 2 the last data came 1.0 s ago."),
        ((1, 1), "No data have ever come on any of the 2."),
        ((1, None), "On 1 of the 2 no data have ever come."),
        ((1,), "The peer has never sent any data."),
    ],
)
def test_last_data_of_those_that_got_any(received: tuple[Optional[int], ...], said: str) -> None:
    """What is said of the last data is said of the sockets on which some came. The FIN is none."""
    several = (
        connection(i, **{**OLD, "rx_queue": 1, "kernel": KernelCounters(count, 1, NOW - (i + 1) * S)})
        for i, count in enumerate(received)
    )
    why, _ = texts(site_of(*several))
    assert said in why
    assert why.count("data") == said.count("data")


RESET: dict[str, Any] = {"state": TcpState.CLOSE, "reset_ns": START + 70 * S, "reset_by": Origin.PEER}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (touch(Op.SEND, 80, -32), "a send that failed with EPIPE (Broken pipe)"),
        (touch(Op.RECV, 80, -104), "a recv that failed with ECONNRESET (Connection reset by peer)"),
        (touch(Op.RECV, 80, 0), "a recv that returned 0"),
    ],
)
def test_a_reset_that_the_program_has_seen(last: Touch, said: str) -> None:
    """A call after the reset has told it, so nothing is owed but the close; of others that must not be said."""
    told = connection(1, **{**RESET, "last": last})
    site = site_of(told, connection(2, **{**RESET, "last": last}))
    why, todo = texts(site)
    assert f"The program knows: the last call was {said}." in why
    assert "none has come" not in why
    assert "from time to time" not in todo
    assert "That call told the program that the connection is over." in site.findings[0].evidence
    assert (
        f"On 1 of the 2 sockets the program knows: the last call was {said}."
        in texts(site_of(told, connection(2, **{**RESET, "last": replace(last, ns=START + 60 * S, ret=9)})))[0]
    )


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"last": touch(Op.RECV, 60, -104)},  # before the reset: of another life of it
        {"last": touch(Op.RECV, 80, 5)},  # what had come before the reset can still be read
        {"last": touch(Op.RECV, 80, -11)},
    ],
)
def test_a_reset_that_no_call_has_met(facts: dict[str, Any]) -> None:
    """Then the program does not know by a call; whether none has come is said only if all calls are seen."""
    why, todo = texts(site_of(connection(**{**RESET, **facts})))
    assert "would tell the program (by an error, or a read of 0); none has come." in why
    assert "from time to time" in todo
    assert "or what it told was ignored" in texts(site_of(connection(**RESET, missed_touches=1)))[0]


def test_shutdown_is_no_close() -> None:
    """A connection that the program shut down in order is told as that, and its shutdown is the last call."""
    site = site_of(connection(state=TcpState.CLOSE, shutdown=touch(Op.SHUTDOWN, 70.0, 0)))
    why, todo = texts(site)
    assert (site.verdict, site.last_op) == (Verdict.RESET_STILL_OPEN, "shutdown")
    assert "ended in order" in why
    assert "close(2)" in todo
    assert "ECONNRESET" not in todo


def test_where_calls_name_no_code_the_heap_is_pointed_to() -> None:
    """An event loop read the end: which coroutine keeps the socket is in the heap alone, if that can be read."""
    libc = Frame("recv", "libc.so.6", internal=True)
    loop = Frame("run", None, file="/usr/lib/python3.11/asyncio/runners.py", line=118, language="python", internal=True)
    mine = Frame("handler", None, file="/srv/app.py", line=3, language="python")
    asked = "`closetrace --pid 100 --lineage` tells which of its objects, tasks or variables holds it now"
    for frames, said in (((libc, loop), True), ((libc, mine, loop), False), ((libc,), False)):
        eof = touch(Op.RECV, 71.0, 0, stack=Stack(frames, True))
        _, todo = texts(site_of(connection(eof=eof, last=eof, opened=None)))
        assert (asked in todo) is said


def test_who_holds_it_beside_its_owner_is_named() -> None:
    """To close it in the process that used it changes nothing while another has a descriptor."""
    both = (Holder(100, 4, "app", Relation.OWNER), Holder(200, 4, "worker", Relation.CHILD))
    alone = connection(2, holders=both[:1])
    why, todo = texts(site_of(connection(1, holders=both)))
    assert "Held by worker (pid 200), too: the kernel closes a socket only with its last descriptor." in why
    assert "Close it in worker (pid 200), too, forked off by the process that used it" in todo
    why, todo = texts(site_of(connection(1, holders=both), alone))
    assert "Held by worker (pid 200), too (1 of 2)" in why
    why, todo = texts(site_of(alone))
    assert "too" not in f"{why} {todo}".split()


def test_owner_of_held_elsewhere_is_named() -> None:
    """Who used the socket last and who holds it still are both named, with their pids."""
    last = touch(Op.RECV, 1.006, 150, actor=actor(100, comm="parent"))
    why, todo = texts(site_of(accepted(last=last, holders=(Holder(555, 7, "child"), Holder(556, 7, "child")))))
    assert "parent (pid 100)" in why
    assert "child (pid 555) and child (pid 556)" in why
    assert "fork" in todo


def kept(fd: int = 11, pid: int = 100, comm: str = "new") -> tuple[Holder, ...]:
    return (Holder(pid, fd, comm, exec_ns=START + 100 * S, close_on_exec=False),)


def test_exec_since_the_last_call() -> None:
    """Who used it, who has it, which flag was missing; no word of a pool. The stack is the old program's."""
    site = site_of(connection(last=touch(Op.RECV, 1.006, 150, stack=stack("read_reply")), holders=kept()))
    why, todo = texts(site)
    assert "worker (pid 100) used it last and then called exec: the program that has it now is new (pid 100)." in why
    assert "without close-on-exec (FD_CLOEXEC) stay open over exec" in why
    assert "Set close-on-exec in the program that opened it" in todo
    assert "the last call was in read_reply (app)" in todo
    assert "new (pid 100) must close it when the peer hangs up" in todo
    assert "connection pool" not in f"{why} {todo}"
    assert "0 to 2" not in why
    assert site.stack is not None
    assert site.stack.frames[1].function == "read_reply"


def test_exec_with_a_standard_descriptor() -> None:
    """inetd hands over 0 to 2: what the program that has it must do comes first."""
    why, todo = texts(site_of(accepted(holders=kept(0))))
    assert "the descriptors 0 to 2 it uses without being told" in why
    assert todo.startswith("If it was handed over on purpose")


def test_exec_after_the_end_was_read() -> None:
    """The old program knew of the end: there it had to close."""
    facts: dict[str, Any] = {
        "eof": touch(Op.RECV, 66.5, 0),
        "eof_reads": 1,
        "last": touch(Op.RECV, 66.5, 0),
        "rx_queue": 0,
    }
    why, todo = texts(site_of(*(connection(i, **facts, holders=kept()) for i in range(2))))
    assert "a read had returned 0, and they were not closed" in why
    assert todo.startswith("Close them where the read returns 0")


def test_exec_of_who_was_not_seen_to_use_it() -> None:
    """Older than the trace and not touched since."""
    why, _ = texts(site_of(connection(opened=None, last=None, preexisting=True, holders=kept())))
    assert "The process called exec while it was open: the program that has it now is new (pid 100)." in why


def test_exec_beside_another_holder() -> None:
    """Both have to close it."""
    why, todo = texts(site_of(connection(holders=(*kept(), Holder(555, 7, "child", Relation.CHILD)))))
    assert "Held by child (pid 555), too" in why
    assert "Close it in child (pid 555), too" in todo


@pytest.mark.parametrize("owners", [(), (Holder(100, 11, "app", Relation.OWNER),)])
def test_a_copy_that_went_through_exec(owners: tuple[Holder, ...]) -> None:
    """Whether the user still has its own or not: the copy is told, and how exec would have closed it."""
    _, todo = texts(site_of(connection(holders=(*owners, *kept(7, 555, "child")))))
    assert "child (pid 555) called exec while it was open. If it was inherited, set close-on-exec" in todo
    assert "Close it in child" not in todo


@pytest.mark.parametrize(
    ("relation", "said"),
    [
        (Relation.PARENT, "the parent of the process that used it: right after fork, or once the descriptor has been"),
        (Relation.CHILD, "right after fork if the descriptor was inherited, after the last use if it was passed on"),
        (Relation.OTHER, "must be closed by the sender and by the receiver"),
    ],
)
def test_who_must_close_is_told_by_kinship(relation: Relation, said: str) -> None:
    """A parent, a child, or anybody that was handed a descriptor: where each closes its own."""
    _, todo = texts(site_of(connection(holders=(Holder(555, 7, "app", relation),))))
    assert todo.startswith("Close it in app (pid 555), too")
    assert said in todo


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


def test_a_slow_peer_is_not_said_to_take_nothing() -> None:
    """A send that waits now: the kernel's counters say whether the peer takes data; without them neither is claimed."""
    takes: dict[str, Any] = {"tx_queue": 5000, "blocked": INSIDE}
    slow = KernelCounters(unacked=2, last_ack_in_ns=NOW - S // 10)
    why, todo = texts(site_of(connection(**takes, kernel=slow)))
    assert "takes the data, but more slowly" in why
    assert "no leak" in todo
    why, todo = texts(site_of(connection(**takes, kernel=KernelCounters(unacked=2, last_ack_in_ns=NOW - 5 * S))))
    assert "neither takes the data nor resets" in why
    assert "no leak" not in todo
    why, _ = texts(site_of(connection(blocked=INSIDE)))
    assert "takes no data or takes them slowly" in why


def test_how_long_peers_take_nothing() -> None:
    """The least and the most of the site's sockets: the longest alone is not true of each."""
    shorter = {**STALLED, "kernel": replace(STALLED["kernel"], last_data_out_ns=NOW - 5 * S)}
    why, _ = texts(site_of(connection(1, **STALLED), connection(2, **shorter)))
    assert "nothing of them for 5.0 s to 2m 15s." in why
    assert "nothing of them for 2m 15s." in texts(site_of(connection(**STALLED)))[0]


def test_an_end_that_may_be_half_a_close() -> None:
    """FIN ends the peer's sending alone: sends since, or a request without an answer, speak for no more than that."""
    answered = {"last_tx_ns": START + 2 * S}
    plain: dict[str, Any] = {**EOF_READ, "passive": True}
    assert "half-close" not in " ".join(texts(site_of(connection(**plain, **answered))))
    sent = {"last_tx_ns": START + 67 * S}
    why, todo = texts(site_of(connection(**plain, **sent)))
    assert "sent on it after FIN" in why
    assert "no leak" in todo
    assert "sent on 1 of them after FIN" in texts(site_of(accepted(1, **EOF_READ), accepted(2, **EOF_READ, **sent)))[0]
    assert "may wait" in texts(site_of(connection(**plain, last_tx_ns=None)))[0]
    asks: dict[str, Any] = {**EOF_READ, "passive": False, "last_tx_ns": None}
    assert "may wait" not in texts(site_of(connection(**asks)))[0]


def test_a_handler_that_has_not_answered_yet() -> None:
    """A request without an answer: who handles it may be at work. After the answer it is stuck, or gone."""
    assert "still at work on the answer" in texts(site_of(accepted()))[0]
    answered, _ = texts(site_of(accepted(last_tx_ns=START + 2 * S)))
    assert "still at work" not in answered
    assert "gone without a close" in answered


def test_reads_that_took_nothing_are_told() -> None:
    """A read that found nothing yet, or looked only, is no reader that never started."""
    never = texts(site_of(connection(**NEVER_READ)))[0]
    assert "no call has ever read" in never
    assert "never started, or gave up" in never
    tried = texts(site_of(connection(**{**NEVER_READ, "last": touch(Op.RECV, 1.5, -11), "rx_calls": 1})))[0]
    assert "none has taken a byte" in tried
    assert "no call has ever read" not in tried
    assert "never started" not in tried
    served = {**NEVER_READ, "rx_calls": 1}
    why, todo = texts(site_of(accepted(**served)))
    assert "none has taken a byte" in why
    assert "nobody was given it" not in why
    assert "coming back to read" in todo
    assert "nobody was given it" in texts(site_of(accepted(**NEVER_READ)))[0]


@pytest.mark.parametrize("make", [connection, accepted])
def test_a_peek_of_what_came(make: Callable[..., Connection]) -> None:
    """Who looked at the data did not give up before they came, and asked for no answer if nothing was sent."""
    peek = {**NEVER_READ, "last": touch(Op.RECV, 3, 500, peek=True), "rx_calls": 2}
    site = site_of(make(1, **peek), make(2, **peek))
    why, todo = texts(site)
    assert "the last call looked at them (MSG_PEEK), and none has taken a byte" in why
    assert "before they came" not in why
    assert "the last of 2 calls only looked (MSG_PEEK)" in " ".join(site.findings[0].evidence)
    assert "before they came" in texts(site_of(make(**{**peek, "last": touch(Op.RECV, 3, -11, peek=True)})))[0]


@pytest.mark.parametrize("make", [connection, accepted])
def test_a_read_that_failed(make: Callable[..., Connection]) -> None:
    """A read that failed has found something, or nothing will come: it did not wait in vain."""
    bad = {**NEVER_READ, "last": touch(Op.RECV, 3, -14, stack=stack("read_reply", "main")), "rx_calls": 1}
    site = site_of(make(1, **bad), make(2, **bad))
    why, todo = texts(site)
    evidence = " ".join(site.findings[0].evidence)
    assert "It failed with EFAULT (Bad address), and no other read followed." in why
    assert "before they came" not in why
    assert "Find why the read failed in read_reply (app)" in todo
    assert "the one call failed with EFAULT (Bad address)" in evidence
    assert "found nothing" not in evidence


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (touch(Op.RECV, 3, -11), "the last of 3 calls found nothing yet."),
        (touch(Op.RECV, 3, -512), "the last of 3 calls found nothing yet."),  # a signal came
        (touch(Op.SEND, 3, 9), "3 calls found nothing yet, only looked (MSG_PEEK), or failed."),
    ],
)
def test_reads_that_found_nothing(last: Touch, said: str) -> None:
    """Of the last read its own result is told, of others that they took nothing."""
    found = connection(**{**NEVER_READ, "last": last, "rx_calls": 3})
    assert said in " ".join(site_of(found).findings[0].evidence)


def test_an_answer_is_what_was_asked_for() -> None:
    """A peer that speaks first gives no answer."""
    greeted = KernelCounters(bytes_received=501, bytes_acked=1, last_data_in_ns=START + 2 * S)
    unasked = {**NEVER_READ, "tx_bytes": 0, "tx_calls": 0, "last_tx_ns": None, "kernel": greeted}
    assert "first read; read what came" in texts(site_of(connection(**unasked)))[1]
    assert "first read of the answer" in texts(site_of(connection(**NEVER_READ)))[1]


@pytest.mark.parametrize(("count", "them"), [(1, "it"), (2, "them")])
def test_never_read_of_one_and_of_several(count: int, them: str) -> None:
    """One is it, several are them, in all sentences."""
    why, todo = texts(site_of(*(accepted(serial, **NEVER_READ) for serial in range(count))))
    assert f"nobody was given {them}" in why
    assert f"Find what keeps the workers from taking {them}:" in todo


def test_the_answer_that_came_too_late() -> None:
    """Data that came after a send may be its answer: nobody stopped early, and no pool is spoken of."""
    asked = touch(Op.SEND, 60.0, 120)
    site = site_of(connection(**{**GOODBYE, "last": asked, "last_tx_ns": START + 60 * S}))
    assert site.verdict is Verdict.UNREAD_DATA
    why, todo = texts(site)
    assert "stopped early" not in why
    assert "If what came is the answer" in todo
    silent, _ = texts(site_of(connection(last=asked, last_tx_ns=START + 60 * S)))
    assert "may wait for an answer that never came" in silent
    page: dict[str, Any] = {
        "rx_queue": 1852,
        "rx_queue_at_fin": 1851,
        "kernel": KernelCounters(2002, last_data_in_ns=START + 66 * S),
    }
    why, todo = texts(site_of(connection(**page)))
    assert "stopped early" not in why
    assert "HTTP 408" in todo
    why, _ = texts(site_of(connection(1, **page), connection(2, **UNREAD)))
    assert "stopped early" not in why


def test_only_what_holds_for_each_is_told_of_all() -> None:
    """Of some the last call came after FIN, of others before: neither is said of all."""
    exact = {"last": touch(Op.RECV, 67, 6, stack=stack("read_reply", "call_backend", "main"))}
    site = site_of(accepted(1, **exact), accepted(2))
    assert site.verdict is Verdict.NOT_READ_SINCE
    why, _ = texts(site)
    assert "On 1 of the 2 sockets the last call came after the peer had hung up, on the others before." in why
    assert "read the data that was there" not in why
    assert "read the data that was there" in texts(site_of(accepted(1, **exact), accepted(2, **exact)))[0]


def test_a_goodbye_is_told_where_it_is_one() -> None:
    """A pool has it as idle, and what lies unread came long before FIN: that is no goodbye."""
    pooled = {"lineage": Lineage(7, use=Use.IDLE, library="requests")}
    early = KernelCounters(192, last_data_in_ns=START + 3 * S)
    assert "goodbye" in texts(site_of(connection(**{**GOODBYE, **pooled})))[0]
    site = site_of(connection(**{**GOODBYE, **pooled, "kernel": early}))
    assert site.verdict is Verdict.IDLE_IN_POOL
    assert "goodbye" not in texts(site)[0]


def test_the_read_that_took_the_end_is_placed_only_if_its_stack_is_known() -> None:
    """A call that followed has another place: that is not where the read was."""
    read, answer = touch(Op.RECV, 67, 6, stack=stack("read_order")), touch(Op.SEND, 68, 2, stack=stack("send_answer"))
    for last, place in ((read, " in read_order (app)"), (answer, "")):
        site = site_of(connection(**{**WITH_DATA, "last": last}))
        assert site.verdict is Verdict.END_TAKEN
        assert f"were taken by one read{place}, which returned the data" in texts(site)[0]
    assert "A client that gets `Connection: close`" in texts(site)[1]
    server = site_of(accepted(**WITH_DATA))
    assert server.verdict is Verdict.END_TAKEN
    assert "A client that" not in texts(server)[1]


def test_a_call_after_the_end_that_failed() -> None:
    """It took nothing, and completed no answer."""
    sent = touch(Op.SEND, 67, -14, stack=stack("push"))
    why, todo = texts(site_of(accepted(last=sent)))
    assert "made a call on it, which failed with EFAULT (Bad address), but it neither read on to the end nor" in why
    assert "No read has told it" in why
    assert "took what it wanted" not in why
    assert "Find why the call failed in push (app)" in todo
    assert "which failed" not in texts(site_of(accepted(last=touch(Op.SEND, 67, 5, stack=stack("push")))))[0]


def test_a_descriptor_in_a_table_of_a_threads_own() -> None:
    """The thread whose table has it is named: no other can close it."""
    site = site_of(connection(holders=(Holder(100, 11, "app", tid=104),)))
    told = "is in a descriptor table that thread 104 of app (pid 100) has for itself"
    assert site.verdict is Verdict.IDLE_IN_POOL
    assert f"Its descriptor {told}" in texts(site)[0]
    assert any(f"fd 11 {told}" in fact for fact in site.findings[0].evidence)
    assert "has for itself" not in texts(site_of(connection()))[0]
    both = texts(site_of(*(connection(i, holders=(Holder(100, i, "app", tid=104),)) for i in (1, 2))))[0]
    assert "Their descriptors are in a descriptor table" in both
    assert "does not reach them." in both


@pytest.mark.parametrize("facts", [FAREWELL, NEVER_USED])
def test_connections_that_were_never_used(facts: dict[str, Any]) -> None:
    """What the peer gave up was opened and not used: the pool is to change, or who opened it; no answer is unread."""
    why, todo = texts(site_of(connection(1, **facts), connection(2, **facts)))
    assert "opened them and never used them: it sent nothing, and read nothing" in why
    assert "Let the pool close idle connections before the peer does" in todo
    assert "opened in advance" in todo
    assert "answer" not in why + todo


def test_a_connect_that_took_long_is_no_silence() -> None:
    """The silence begins when the connection is made; the call to connect may have begun long before."""
    slow = life(
        (1.0, TcpState.CLOSE, TcpState.SYN_SENT, Origin.LOCAL),
        (64.0, TcpState.SYN_SENT, TcpState.ESTABLISHED, Origin.PEER),
        (66.0, TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, Origin.PEER),
    )
    why, todo = texts(site_of(connection(**NEVER_USED, transitions=slow)))
    assert "after 2.0 s of silence" in why
    assert "a limit of 1.8 s would do" in todo


def test_hang_ups_at_one_moment_are_no_timeout() -> None:
    """A restart ends connections that lay idle for different times together; a keep-alive timeout does not."""
    restarted = (connection(i, last=touch(Op.RECV, 60.0 + i, 150)) for i in range(4))
    why, todo = texts(site_of(*restarted))
    assert "on all 4 at one moment, after 3.0 to 6.0 s of silence: it ended or was restarted" in why
    assert "keep-alive" not in why
    assert "restart of the peer" in todo
    timed = (connection(i, fin=66.0 + i, last=touch(Op.RECV, 1.0 + i, 150)) for i in range(4))
    assert "its keep-alive timeout." in texts(site_of(*timed))[0]
    alike = (connection(i) for i in range(2))
    assert "on both: its keep-alive timeout, or its end." in texts(site_of(*alike))[0]


def test_pools_of_their_own() -> None:
    """That idle connections were not taken again does not tell whether they were given back, or to which pool."""
    why, todo = texts(site_of(*(connection(i, **NOT_RELEASED) for i in range(3))))
    assert "or each has a pool of its own (another client, host name or proxy)" in why
    assert "never went back" not in why
    assert "cures nothing" not in todo


def test_a_pool_that_watches_has_no_idle_ones() -> None:
    """A library that closes what is idle when the peer hangs up: what stays is in use, or forgotten."""
    jdk = Stack((Frame("jdk.internal.net.http.SocketTube.readAvailable", None, language="java"),), True)
    why, todo = texts(site_of(connection(opened=touch(Op.CONNECT, 1.0, 0, stack=jdk))))
    assert "Most likely it is not idle in the JDK's HttpClient's connection pool" in why
    assert "reading the body to its end" in todo
    assert "or was forgotten" in texts(site_of(connection()))[0]


def test_an_edge_is_told_once() -> None:
    """Edge-triggered: a loop that left data is not told of them again, so it is not stuck and passes over nothing."""
    edge = (Interest(100, 5, 11, 0x80000001),)
    why, _ = texts(site_of(connection(**UNREAD, interests=edge)))
    assert "was told once" in why
    assert "event loop is stuck" not in why


def test_who_opened_it_by_the_counters() -> None:
    """Nobody saw the connect, but the kernel's counters tell the side: evidence and advice say so."""
    older = {**OLD, "kernel": KernelCounters(opened_here=True)}
    assert "The program opened them: look at" in texts(site_of(connection(1, **older), connection(2, **older)))[1]
    called = {**older, "last": touch(Op.RECV, 67, 6)}
    (finding,) = site_of(connection(**called)).findings
    assert "The program opened it, as the kernel's counters tell." in finding.evidence
    (finding,) = site_of(connection(**{**called, "kernel": None})).findings
    assert "Who opened it was not seen." in finding.evidence


def test_whom_epoll_has_told() -> None:
    """A program whose epoll set asks for input was told of the end: that no read told it is not said beside that."""
    for one in (connection, accepted):
        for facts in ({}, OLD, {"last": touch(Op.RECV, 67, 6)}):
            why, _ = texts(site_of(one(**{**facts, "interests": WATCHED})))
            assert "no read has told" not in why
    assert "so no read has told it of that" in texts(site_of(connection()))[0]
    assert "no read has told" in texts(site_of(connection(**OLD)))[0]
    assert "no read has told" in texts(site_of(accepted(last=touch(Op.RECV, 67, 6))))[0]


def test_epoll_of_others_pauses_nobody() -> None:
    """In no epoll set: a thread may read with poll beside the program's event loop. In one: that loop has paused."""
    assert "select has stopped" in texts(site_of(connection(**PAUSED)))[0]
    without_input = {**PAUSED, "interests": (Interest(100, 5, 11, 0x4),)}
    assert "reading is paused" in texts(site_of(connection(**without_input)))[0]
    both, _ = texts(site_of(connection(1, **PAUSED), connection(2, **without_input)))
    assert "in no epoll set, or without EPOLLIN in one" in both


def test_a_set_that_asked_once_was_told() -> None:
    """EPOLLONESHOT without what was asked for is what the kernel leaves once it has told: nobody paused the reading."""
    spent = {**PAUSED, "interests": (Interest(100, 5, 11, 0x40000000),)}
    site = site_of(connection(**spent))
    assert site.verdict is not Verdict.READING_PAUSED
    why, _ = texts(site)
    assert "asked for one event (EPOLLONESHOT) and was told of it" in why
    assert "no event loop is told" not in why
    asking = site_of(connection(**{**PAUSED, "interests": (Interest(100, 5, 11, 0x40000018),)}))
    assert asking.verdict is Verdict.READING_PAUSED
    idle, _ = texts(site_of(connection(interests=(Interest(100, 5, 11, 0xC0000000),))))
    assert "no read has told" not in idle


@pytest.mark.parametrize(
    ("call", "waiting", "is_send"), [("splice", 3_000, True), ("splice", 0, False), ("recv", 9, False)]
)
def test_a_splice_into_a_full_socket_is_a_send(call: str, waiting: int, is_send: bool) -> None:
    """splice moves data either way: what waits in the send queue tells which."""
    stuck = connection(blocked=(Blocked(actor(100), 7, call),), tx_queue=waiting)
    why, _ = texts(site_of(stuck))
    assert f"inside {call}" in why
    assert ("A send waits for room" in why or "takes nothing" in why or "room in its buffer" in why) is is_send


def test_tls_tells_the_end_itself() -> None:
    """A short last read through TLS may be the close notify: that the program was not told is not said."""
    tls = Stack((Frame("recv", "libc.so.6"), Frame("SSL_read", "libssl.so.3"), Frame("fetch", "app")), True)
    why, _ = texts(site_of(connection(last=touch(Op.RECV, 67, 19, stack=tls))))
    assert "close notify" in why
    assert "no read has told" not in why
    assert "close notify" not in texts(site_of(connection(last=touch(Op.RECV, 67, 500, stack=tls))))[0]
    idle, _ = texts(site_of(connection(last=touch(Op.RECV, 1.006, 31, stack=tls))))
    assert "Nothing in this process has touched the socket since." in idle
    assert "no read has told" not in idle
    answered = connection(last=touch(Op.RECV, 1.006, 60, stack=tls), rx_queue=25, rx_queue_at_fin=24)
    behind, _ = texts(site_of(answered))
    assert "a goodbye to an idle connection" in behind
    assert "no read has told it of that" in behind
    assert "close notify" not in behind


def test_a_client_of_another_connection_is_not_named() -> None:
    """A server passes an answer on: its client's frames are on the stack of the accepted socket's send."""
    assert "OkHttp" not in " ".join(texts(site_of(accepted(last=touch(Op.SEND, 1.006, 150, stack=OKHTTP)))))
    netty = Stack((Frame("io.netty.channel.nio.NioEventLoop.run", None, language="java"),), True)
    assert "Netty" in " ".join(texts(site_of(accepted(**EOF_READ, opened=touch(Op.ACCEPT, 1, 11, stack=netty)))))


def test_one_of_several_accept_queues() -> None:
    """Each listener is named, none as the one; where all are one process's, that answers for it."""
    mine, other = Holder(300, 3, "srv"), Holder(301, 4, "kid")
    queued: dict[str, Any] = {"accepted": False, "opened": None, "last": None, "holders": (), "listener": mine}
    two = site_of(*(accepted(n, **queued, listeners=(mine, other)) for n in range(2)))
    why, _ = texts(two)
    assert "two listeners there (SO_REUSEPORT): srv (pid 300, fd 3) and kid (pid 301, fd 4)" in why
    assert (two.pid, two.program) == (0, "")
    assert wanted(two) == all_of([300, 301])
    (evidence,) = {finding.evidence[1] for finding in two.findings}
    assert evidence == "It is in the queue of one of these: srv (pid 300, fd 3) and kid (pid 301, fd 4)."
    many = site_of(accepted(**queued, listeners=tuple(Holder(300 + n, 3, "srv") for n in range(6))))
    assert many.findings[0].evidence[1].endswith("srv (pid 303, fd 3) and 2 more.")
    assert site_of(accepted(**queued, listeners=(mine, Holder(300, 5, "srv")))).pid == 300
    one = site_of(accepted(**queued))
    assert (one.pid, "SO_REUSEPORT" in texts(one)[0]) == (300, False)
