"""Oracle: the promises on the printed report: complete, readable at 80 columns, nothing raw from a target."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.builders import FAMILIES, NOW, START, S, accepted, actor, connection, frame, report, stack, touch
from tests.unit.cases import ANYTHING, HOSTILE
from tracer.diagnose.sites import with_present
from tracer.model.connection import Actor, Blocked, Connection, Endpoint, Holder, Losses, Probe
from tracer.model.finding import Ended, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op, Origin, TcpState
from tracer.model.thread import Present, Standing
from tracer.reports.text import table
from tracer.reports.text.cells import width_of

LONG_V6 = Endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 65535)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def java(function: str, line: int, **more: Any) -> Frame:
    return Frame(function, None, file=function.split(".")[-2] + ".java", line=line, language="java", **more)


def java_stack(*, complete: bool = True, note: str | None = None) -> Stack:
    return Stack(
        (
            Frame("__libc_recv", "/usr/lib/libc.so.6", 0x64, internal=True),
            Frame("Java_sun_nio_ch_SocketDispatcher_read0", "/usr/lib/libnio.so", 4, internal=True),
            java("sun.nio.ch.NioSocketImpl.read", 346, internal=True),
            *(java(f"org.apache.http.impl.Exec{i}.execute", i) for i in range(1, 16)),
            java("com.acme.OrderClient.callBackend", 14),
            java("com.acme.OrderServlet.doGet", 52),
            *(java(f"org.apache.catalina.core.Chain{i}.invoke", i) for i in range(1, 30)),
            java("java.lang.Thread.run", 840, internal=True),
        ),
        complete,
        note,
    )


def pooled(serial: int, **more: Any) -> Connection:
    by = Actor(4121, 4160, "http-exec-3")
    facts: dict[str, Any] = {
        "last": touch(Op.RECV, 1.006, 150, actor=by, stack=java_stack()),
        "opened": touch(Op.CONNECT, 1.0, 0, actor=by, stack=java_stack()),
        "holders": (Holder(4121, 14 + serial, "java"),),
    }
    return connection(serial, **{**facts, **more})


def eof_ignored(serial: int, **more: Any) -> Connection:
    eof = touch(
        Op.RECV,
        150.5,
        0,
        actor=actor(4121, 4161, "feed"),
        stack=Stack((frame("poll_feed", "rates"),), False, "the box was full"),
    )
    return connection(serial, remote=LONG_V6, fin=150.0, eof=eof, last=eof, eof_reads=1, rx_queue=0, **more)


def rendered(*sockets: Connection, width: int = 100, **more: Any) -> str:
    return table.render(report(*sockets, **more), width=width, color=False)


def rows_of(text: str) -> list[str]:
    """The lines of the sites table."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[:2] == ["site", "sockets"])
    return lines[first : lines.index("", first)]


def test_headline_counts() -> None:
    """The first line tells how many sockets, for how long and from how many sites."""
    text = rendered(*(pooled(i) for i in range(10)), eof_ignored(20), eof_ignored(21))
    assert text.startswith("12 sockets in CLOSE_WAIT for more than 10 s, from 2 leak sites\n")


def test_headline_tells_reset_sockets_apart() -> None:
    """A socket that is gone is not counted as one in CLOSE_WAIT."""
    text = rendered(connection(1), connection(2, state=TcpState.CLOSE, reset_by=Origin.PEER, reset_ns=START + 70 * S))
    assert text.startswith("1 socket in CLOSE_WAIT and 1 socket gone (CLOSE) but not closed for more than 10 s")


def test_clean_report() -> None:
    """Without findings the report says so in one sentence, and what was watched."""
    text = rendered()
    assert text.startswith(
        "no socket stayed in CLOSE_WAIT for more than 10 s (412 sockets of app (pid 100) watched, 3m 20s)"
    )
    assert "site" not in text


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"watched": 0, "seen": 17}, "(17 sockets of app (pid 100) watched, 3m 20s)"),
        ({"watched": 3, "seen": 17}, "(17 sockets of app (pid 100) watched, 3m 20s)"),
        ({"watched": 0, "seen": 0}, "(0 sockets of app (pid 100) watched, 3m 20s)"),
        ({"watched": 0}, "(0 sockets of app (pid 100) watched at the end, 3m 20s)"),
    ],
)
def test_sockets_that_have_gone_count(facts: dict[str, Any], told: str) -> None:
    """What came and went was watched, too; where it was not counted, none at the end is said to be of the end."""
    assert told in " ".join(rendered(**facts).split())


def test_what_an_agent_follows_is_not_said_of_whom_it_is_asked_for() -> None:
    """It follows the sockets of others, too."""
    text = rendered(recorded_since=1_700_000_000.0)
    assert "(412 sockets watched by the agent, 3m 20s)" in " ".join(text.split())


def test_table_has_the_facts() -> None:
    """A row has count, age, remote, verdict, last call and the application's frame."""
    row = rows_of(rendered(*(pooled(i) for i in range(10)), width=200))[1]
    for fact in (
        "10",
        "2m 14s",
        "127.0.0.1:8081",
        "idle-in-pool",
        "recv = 150",
        "OrderClient.callBackend (OrderClient.java:14)",
    ):
        assert fact in row


@pytest.mark.parametrize("width", [64, 80, 100, 200])
def test_table_fits(width: int) -> None:
    """At any usual width the table keeps to it and cuts no address."""
    text = rendered(*(pooled(i) for i in range(3)), eof_ignored(20), accepted(30), width=width)
    rows = rows_of(text)
    assert max(map(len, rows)) <= width
    for remote in ("127.0.0.1:8081", str(LONG_V6), "10.0.0.9:50030"):
        assert any(remote in row for row in rows)
    assert len(rows) == 4


def test_usual_table_is_whole_at_80() -> None:
    """With IPv4 addresses and one process 80 columns show the verdict and the function."""
    rows = rows_of(rendered(*(pooled(i) for i in range(3)), width=80))
    assert "idle-in-pool" in rows[1]
    assert "OrderClient.callBackend" in rows[1]


def test_processes_are_told_apart_if_there_are_several() -> None:
    """The process is a column only where there is more than one."""
    assert "process" not in rows_of(rendered(pooled(1), width=200))[0]
    rows = rows_of(rendered(pooled(1), connection(2), width=200))
    assert "process" in rows[0]
    assert "java 4121" in rows[1] + rows[2]


def test_stack_is_folded_and_marked() -> None:
    """Library frames are counted, the first frame of the program's own is marked, the callers follow."""
    text = rendered(pooled(1))
    assert "    > com.acme.OrderClient.callBackend" in text
    assert "... 14 frames of Apache HttpClient" in text
    assert "... 30 frames of Tomcat and the JDK" in text
    assert "com.acme.OrderServlet.doGet" in text
    assert text.count("--all-frames") == 1
    assert "opened by the same path (connect, 3m 19s ago)" in text


def test_all_frames() -> None:
    """On request every frame has its line."""
    text = table.render(report(pooled(1)), width=120, color=False, all_frames=True)
    assert all(f"Exec{i}.execute" in text for i in range(1, 16))
    assert "... " not in text


def test_truncated_stack_says_why() -> None:
    """A stack that is not complete ends with the reason."""
    assert "the stack ends here: the box was full" in rendered(eof_ignored(1))


def test_missing_stack_says_why() -> None:
    """Where no stack was kept the reason stands in its place."""
    text = rendered(connection(last=touch(Op.RECV, 1.006, 150, stack_note="stack memory was spent")))
    assert "no stack: stack memory was spent" in text


def test_other_opener_is_shown() -> None:
    """An opener that came another way has its own stack."""
    opened = touch(Op.CONNECT, 1.0, 0, stack=Stack((frame("warm_up"), frame("init"), frame("_start")), True))
    text = rendered(connection(opened=opened))
    assert "opened by worker (pid 100): connect, 3m 19s ago" in text
    assert "warm_up" in text


def test_do_and_example() -> None:
    """Each site has its advice and one socket's life with descriptor and relative times."""
    text = rendered(*(pooled(i) for i in range(10)))
    assert re.search(r"^  Do: Let the pool", text, re.MULTILINE)
    assert "one of the ten: 127.0.0.1:40000 -> 127.0.0.1:8081, fd 14" in text
    assert re.search(r"65\.000  FIN from the peer, CLOSE_WAIT", text)


def test_nothing_lost_and_all_hooks() -> None:
    """What was not lost is said as well."""
    text = rendered(connection())
    assert "lost: nothing" in text
    assert "hooks: 8 of 8" in text


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (Losses(events=3), "3 transitions came faster"),
        (Losses(records=1), "1 socket not followed: no free record (raise --memory)"),
        (Losses(boxes=2), "2 calls kept without a stack"),
        (Losses(contended=4), "4 calls dropped"),
        (Losses(returns=5), "5 call results missed"),
        (Losses(stacks_truncated=6), "6 stacks in this report incomplete"),
    ],
)
def test_each_loss_is_told(losses: Losses, words: str) -> None:
    """Each kind of loss has its own words."""
    text = " ".join(rendered(connection(), losses=losses).split())
    assert words in text
    assert "lost: nothing" not in text


def test_missing_hook_is_told_with_its_cost() -> None:
    """A family without a hook is named with the reason and what is not seen for it."""
    plan = (
        *(Probe(f, "x") for f in FAMILIES[:-1]),
        Probe("destroy", None, "no such tracepoint", "records expire by sweep"),
    )
    text = rendered(connection(), plan=plan)
    assert "hooks: 7 of 8 (no such tracepoint)" in text
    assert "without destroy: records expire by sweep" in text
    plan = (*plan, Probe("close", None, "no kprobe", "less"))
    text = rendered(connection(), plan=plan)
    assert "without destroy (no such tracepoint): records expire by sweep" in text
    assert "without close (no kprobe): less" in text


def test_ended_findings() -> None:
    """Few ended sockets have their story each, many are counted by who ended them."""
    gone = Ended(
        connection(closed=touch(Op.CLOSE, 150, 0)), Verdict.IDLE_IN_POOL, 71 * S, "closed by the program after 1m 11s"
    )
    few = rendered(ended_findings=(gone, gone))
    assert few.count("idle-in-pool: closed by the program after 1m 11s") == 2
    many = " ".join(rendered(ended_findings=(gone,) * 50).split())
    assert "50 sockets lingered and then ended: 50 closed by the program after 1m 11s." in many


def test_why_functions_have_no_names_is_told_without_all_frames() -> None:
    """Frames of an interpreter are counted, but who looks for its functions must see why there are none."""
    nameless = tuple(Frame(None, "python3.11", internal=True, offset=at) for at in (1, 2, 3))
    noted = replace(nameless[0], note="Python's functions were not copied at this call")
    frames = (Frame("recv", "libc.so.6", internal=True), noted, *nameless[1:])
    last = touch(Op.RECV, 1.006, 150, stack=Stack(frames, True))
    text = rendered(connection(last=last, opened=None), width=80)
    assert "... 3 frames of" in text
    assert text.count("(Python's functions were not copied at this call)") == 1


def test_stack_that_closed_at_last() -> None:
    """The code that closed lingering sockets is shown once, with how the peer took it."""
    by = touch(Op.CLOSE, 150, 0, stack=Stack((Frame("close", "libc.so.6", internal=True), Frame("sweep", "app")), True))
    gone = Ended(connection(closed=by, reset_by=Origin.PEER), Verdict.IDLE_IN_POOL, 71 * S, "closed by the program")
    text = rendered(ended_findings=(gone,) * 10)
    assert "10 closed by the program after 1m 11s, answered by RST." in " ".join(text.split())
    assert text.count("> sweep") == 1


def test_growth_is_one_line() -> None:
    """A site that grew is told in one line, with its number, count and place."""
    site = report(*(pooled(i) for i in range(4))).sites[0]
    line = table.render_site(site, 2, NOW, width=80, color=False, grown_from=3)
    assert (
        line
        == "site 2 grew from 3 to 4 sockets, oldest 2m 14s: 127.0.0.1:8081, idle-in-pool, OrderClient.callBackend\n"
    )
    whole = table.render_site(site, 2, NOW, width=80, color=False)
    assert whole.startswith("site 2: 4 sockets of java (pid 4121) to 127.0.0.1:8081, idle-in-pool\n")


def test_color_changes_nothing_but_color() -> None:
    """With colour the same characters stand in the same places."""
    whole = report(*(pooled(i) for i in range(3)), eof_ignored(20), losses=Losses(events=1))
    plain = table.render(whole, width=80, color=False)
    colored = table.render(whole, width=80, color=True)
    assert colored != plain
    assert [line.rstrip() for line in ANSI.sub("", colored).splitlines()] == plain.splitlines()


def hostile_socket(raw: str) -> Connection:
    by = Actor(100, 107, raw)
    bad = Stack((Frame(raw, raw, 1, raw, 3, note=raw), Frame(None, raw, 2), Frame("main", "app")), False, raw)
    return connection(
        last=touch(Op.RECV, 1.006, 150, actor=by, stack=bad, stack_note=raw),
        opened=touch(Op.CONNECT, 1.0, 0, actor=by, stack=Stack((Frame(raw, "x"), Frame("y", raw)), False, raw)),
        holders=(Holder(100, 3, raw), Holder(200, 3, raw)),
        blocked=(Blocked(by, 3, "recvfrom", None),),
    )


@pytest.mark.parametrize("raw", [HOSTILE, "\x1b]0;title\x07", "\n\n\n", "\r"])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_raw_reaches_the_terminal(raw: str, width: int) -> None:
    """Hostile names in comm, symbols, modules, paths and notes come out escaped, in every part of the report."""
    c = hostile_socket(raw)
    gone = Ended(c, Verdict.UNKNOWN, S, raw)
    whole = report(c, target=raw, ended_findings=(gone,), plan=(Probe(raw, None, raw, raw),), linger_ns=S)
    for all_frames in (False, True):
        text = table.render(whole, width=width, color=False, all_frames=all_frames)
        assert all(line.isprintable() for line in text.split("\n"))
    text = table.render_site(whole.sites[0], 1, NOW, width=width, color=False, grown_from=1)
    assert text.count("\n") == 1
    assert text.strip("\n").isprintable()


def test_many_sites() -> None:
    """With very many sites all are in the table, the largest are told at length, and that others are not is said."""
    sockets = [connection(i, last=touch(Op.RECV, 1.006, 150, stack=stack(f"read_{i}", "main"))) for i in range(30)]
    text = rendered(*sockets)
    assert len(rows_of(text)) == 31
    assert text.count("  Do: ") == 20
    assert "10 more sites are in the table alone" in text


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(ANYTHING, max_size=4), st.integers(30, 220), st.booleans())
def test_any_report_can_be_printed(facts: list[dict[str, Any]], width: int, color: bool) -> None:
    """Whatever is known or missing of the sockets, the report prints, and each site has its section."""
    whole = report(*(connection(i, **one) for i, one in enumerate(facts)))
    text = ANSI.sub("", table.render(whole, width=width, color=color))
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(re.findall(r"^site \d+: ", text, re.MULTILINE)) == len(whole.sites)


NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(NAMES, NAMES, st.integers(60, 220), st.booleans())
def test_stack_lines_keep_to_the_width(function: str, module: str, width: int, all_frames: bool) -> None:
    """However long or strange names are, no line of the table or of a stack is wider than the terminal."""
    frames = (frame("recv", "libc.so.6", internal=True), Frame(function, module, 1, None, None), frame("main"))
    c = connection(last=touch(Op.RECV, 1.006, 150, stack=Stack(frames, False, "why")))
    text = table.render(report(c), width=width, color=False, all_frames=all_frames)
    lines = text.split("\n")
    assert all(line.isprintable() for line in lines)
    deep = [line for line in lines if line.startswith(("      ", "    >"))]
    assert all(width_of(line) <= width for line in [*rows_of(text), *deep] if "127.0.0.1" not in line)


def with_threads(*groups: Present, **facts: Any) -> str:
    whole = report(connection(1, **facts))
    seen = replace(whole, sites=(with_present(whole.sites[0], groups, 0),))
    return ANSI.sub("", table.render(seen, width=120, color=False))


def test_where_the_threads_are() -> None:
    """Between the last call and the opener: the words, and the stack if the program is on it."""
    locked = Present((actor(100, 7),), Standing.WAITS, "futex", NOW - 9 * S, stack("take_lock", "wait_for_ledger"))
    text = with_threads(locked, Present((actor(100, 8),), Standing.RUNS))
    told = text.index("  now: worker (tid 7) waits in take_lock (app), in futex, for at least 9.0 s")
    assert text.index("last touched") < told < text.index("> take_lock") < text.index("wait_for_ledger")
    assert text.index("wait_for_ledger") < text.index("  now: worker (tid 8) runs") < text.index("  opened by")


def test_more_places_than_can_be_read() -> None:
    """Three groups are told, the threads of the others are counted."""
    groups = [Present((actor(100, i),), Standing.WAITS, f"call_{i}") for i in range(6)]
    text = with_threads(*groups)
    assert [f"call_{i}" in text for i in range(6)] == [True] * 3 + [False] * 3
    assert "  now: 3 threads elsewhere (--all-frames shows them)" in text


def test_table_says_whose_frame_it_is() -> None:
    """Where the last call has no function of the program: the opener's, the present one, or the loop's thread."""
    loop = touch(
        Op.RECV, 1.006, 150, stack=Stack((frame("uv__read", "libuv.so.1"), frame("uv_run", "libuv.so.1")), True)
    )
    assert "  opened in connect_backend (app)" in rows_of(rendered(connection(last=loop)))[1]
    assert rows_of(rendered(connection(last=loop, opened=None)))[1].endswith("event loop (worker)")
    locked = Present((actor(100, 7),), Standing.WAITS, "futex", None, stack("take_lock"))
    assert rows_of(with_threads(locked, last=loop, opened=None))[1].endswith("now in take_lock (app)")
    bare = touch(Op.RECV, 1.006, 150, stack=Stack((frame(None, "python3.11", internal=True),), True))
    assert rows_of(rendered(connection(last=bare, opened=None)))[1].endswith("  -")


def test_processes_and_remotes_are_listed() -> None:
    """Some of many by name, with their counts; the heading has their number."""
    ends = [Endpoint(f"10.0.0.{i}", 443) for i in range(60)]
    calls = [touch(Op.RECV, 1.006, 150, actor=actor(200 + i), stack=stack("ask")) for i in range(3)]
    held = [(Holder(200 + i, 9, "app"),) for i in range(3)]
    text = rendered(*(connection(i, remote=end, last=calls[i % 3], holders=held[i % 3]) for i, end in enumerate(ends)))
    assert re.search(r"^site 1: 60 sockets of app \(3 processes\) to 60 remotes, idle-in-pool$", text, re.MULTILINE)
    assert "  pids: 200 (20), 201 (20) and 202 (20)\n" in text
    assert "  remotes: 10.0.0.0:443 (1), 10.0.0.10:443 (1), 10.0.0.11:443 (1), 10.0.0.12:443 (1) and 56 more\n" in text
    assert len(text.splitlines()) < 40
