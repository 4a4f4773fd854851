"""Oracle: which sockets a person would call one leak."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import NOW, START, S, accepted, actor, connection, judged, stack, touch
from tests.unit.cases import GOODBYE, WITH_DATA
from tracer.diagnose.paths import path_of
from tracer.diagnose.sites import group
from tracer.diagnose.verdict import judge
from tracer.model.connection import Blocked, Connection, Endpoint, Holder
from tracer.model.finding import Application, Direction, Finding, Remote, Share, Site, Verdict, Where
from tracer.model.frame import Frame, Stack
from tracer.model.identity import Identity
from tracer.model.states import Op
from tracer.reports.text.site import render


def read_by(path: str, pid: int = 100) -> dict[str, Any]:
    return {
        "last": touch(Op.RECV, 1.006, 150, actor=actor(pid), stack=stack("read_reply", path, "main")),
        "holders": (Holder(pid, 9, "app"),),
    }


def test_one_site_per_path() -> None:
    """Sockets of one process to one server are told apart by the path that read them last."""
    sites = group(judged(*(connection(i, **read_by(f"path_{i % 3}")) for i in range(10))))
    assert [s.count for s in sites] == [4, 3, 3]
    assert {s.stack.frames[2].function for s in sites if s.stack} == {"path_0", "path_1", "path_2"}


def test_workers_of_one_program_are_one_site() -> None:
    """The same code in several processes is one leak; each process has its count."""
    several = (
        connection(1),
        connection(2, **read_by("call_backend", 200)),
        connection(3, **read_by("call_backend", 200)),
    )
    (site,) = group(judged(*several))
    assert site.processes == (Share(200, "app", 2), Share(100, "app", 1))
    assert (site.pid, site.comm, site.program) == (200, "app", "app")


def test_programs_are_apart() -> None:
    """The same function in two programs is two leaks; a program has its name from /proc."""
    names = {100: "shop.py", 200: "stock.py"}
    sites = group(judged(connection(1), connection(2, **read_by("call_backend", 200))), names.__getitem__)
    assert {(site.program, site.count) for site in sites} == {("shop.py", 1), ("stock.py", 1)}


def test_remotes_are_listed() -> None:
    """One path to many peers is one site, which tells how many sockets each has."""
    ends = [Endpoint(f"10.0.0.{i % 3}", 443) for i in range(7)]
    (site,) = group(judged(*(connection(i, remote=end) for i, end in enumerate(ends))))
    assert (site.remote, site.direction, site.listening) == ("3 remotes", Direction.OPENED, None)
    assert site.remotes == (Remote("10.0.0.0:443", 3), Remote("10.0.0.1:443", 2), Remote("10.0.0.2:443", 2))
    (site,) = group(judged(*(connection(port, remote=Endpoint("10.0.0.1", port)) for port in (80, 443))))
    assert site.remote == "10.0.0.1:*"


def test_listening_ports_are_apart() -> None:
    """What came in by two ports of one server is served by different code, most likely."""
    ports = [accepted(1), accepted(2, local=Endpoint("10.0.0.6", 8080)), accepted(3, local=Endpoint("10.0.0.5", 8443))]
    sites = group(judged(*ports))
    assert [(site.count, site.listening) for site in sites] == [(2, "*:8080"), (1, "10.0.0.5:8443")]


def test_libraries_do_not_split_a_site() -> None:
    """What differs beneath the program's own functions, or between them, is the same leak."""

    def through(*library: Frame) -> dict[str, Any]:
        own = (Frame("fetch", "app"), *library, Frame("handle", "app"), Frame("uv_run", "app"))
        return {"last": touch(Op.RECV, 1.006, 150, stack=Stack((*library, *own), True))}

    one, other = Frame("curl_easy_perform", "libcurl.so.4", 1), Frame("curl_easy_perform", "libcurl.so.4", 2)
    (site,) = group(judged(connection(1, **through(one)), connection(2, **through(other, one))))
    assert site.application == Application(Where.LAST, 1)


def test_the_opener_tells_where_the_last_call_does_not() -> None:
    """The last call is an event loop's: two openers are two sites."""
    loop = touch(
        Op.RECV, 1.006, 150, stack=Stack((Frame("uv__read", "libuv.so.1"), Frame("uv_run", "libuv.so.1")), True)
    )
    by = [touch(Op.CONNECT, 1.0, 0, stack=stack(name, "main")) for name in ("open_orders", "open_prices")]
    sites = group(judged(*(connection(i, last=loop, opened=by[i % 2]) for i in range(5))))
    assert [(site.count, site.application) for site in sites] == [
        (3, Application(Where.OPENED, 1)),
        (2, Application(Where.OPENED, 1)),
    ]
    (site,) = group(judged(*(connection(i, last=loop, opened=None) for i in range(5))))
    assert site.application == Application(Where.NONE, None, "worker")


def test_the_last_send_tells_where_an_event_loop_received_since() -> None:
    """Before the opener: it is nearer to the end. A send that is the last call of all is no other stack."""
    loop = touch(
        Op.RECV, 1.006, 150, stack=Stack((Frame("uv__read", "libuv.so.1"), Frame("uv_run", "libuv.so.1")), True)
    )
    by = touch(Op.CONNECT, 1.0, 0, stack=stack("open_all", "main"))
    sent = [touch(Op.SEND, 1.001, 5, stack=stack(name, "main")) for name in ("ask_orders", "ask_prices")]
    sites = group(judged(*(connection(i, last=loop, opened=by, sent=sent[i % 2]) for i in range(5))))
    assert [(site.count, site.application, site.sent_stack) for site in sites] == [
        (3, Application(Where.SENT, 1), sent[0].stack),
        (2, Application(Where.SENT, 1), sent[1].stack),
    ]
    (site,) = group(judged(connection(1, last=sent[0], opened=by, sent=sent[0])))
    assert (site.application, site.sent_stack) == (Application(Where.LAST, 1), None)


def test_the_last_send_is_not_told_where_the_program_received_itself() -> None:
    """A program with an event loop may have threads that receive on their own."""
    by = touch(Op.CONNECT, 1.0, 0, stack=stack("open_all", "main"))
    sent = touch(Op.SEND, 1.001, 5, stack=stack("ask", "main"))
    last = touch(Op.RECV, 1.006, 150, stack=stack("read_answer", "main"))
    (site,) = group(judged(connection(1, last=last, opened=by, sent=sent)))
    assert (site.application, site.sent_stack) == (Application(Where.LAST, 1), None)


def test_verdicts_are_apart() -> None:
    """A socket whose end was read is not of the site of those that nobody read."""
    eof = touch(Op.RECV, 67, 0, stack=stack("read_reply", "call_backend", "main"))
    sites = group(judged(connection(1), connection(2, eof=eof, last=eof, rx_queue=0)))
    assert {s.verdict for s in sites} == {Verdict.IDLE_IN_POOL, Verdict.EOF_IGNORED}


TAKEN = {**WITH_DATA, "last": touch(Op.RECV, 67, 6, stack=stack("read_reply", "call_backend", "main"))}
"""A read of the path of :func:`connection` that took the last data and the end."""


def test_the_moment_of_fin_is_not_a_site() -> None:
    """Of one path some reads took the end with the data, others returned before FIN came: one site, both told."""
    (site,) = group(judged(connection(1, **TAKEN), connection(2, fin=1.007), connection(3, fin=1.007)))
    assert (site.verdict, site.count) == (Verdict.IDLE_IN_POOL, 3)
    assert [f.verdict for f in site.findings] == [Verdict.IDLE_IN_POOL] * 2 + [Verdict.END_TAKEN]
    assert site.since_ns == START + round(1.007 * S)
    first, second, *_ = site.explanation
    assert first == (
        "What follows is told of 2 of the 3 sockets. On the other one only the moment of FIN differs: the read that"
        " took the last data took FIN as well."
    )
    assert second.startswith("The peer hung up right after the last call (1 ms later)")
    (site,) = group(judged(connection(1, **TAKEN), connection(2, fin=1.007)))
    assert (site.verdict, site.count, site.since_ns) == (Verdict.END_TAKEN, 2, START + round(1.007 * S))
    assert site.explanation[0].endswith("differs: it came after the last read, and nobody has read since.")


def test_sockets_that_differ_in_more_are_apart() -> None:
    """A read after FIN that left it, or data that came with FIN, are more than another moment of FIN."""
    left_fin = {key: value for key, value in TAKEN.items() if key not in ("rx_queue", "kernel")}
    sites = group(judged(accepted(1, **TAKEN), accepted(2, **left_fin)))
    assert {s.verdict for s in sites} == {Verdict.END_TAKEN, Verdict.NOT_READ_SINCE}
    sites = group(judged(connection(1, **TAKEN), connection(2, **GOODBYE)))
    assert {s.verdict for s in sites} == {Verdict.END_TAKEN, Verdict.IDLE_IN_POOL}


def test_only_an_end_that_was_seen_taken_joins() -> None:
    """Where a read of 0 may have taken the end, the sockets stay apart; and those of other paths do."""
    sites = group(judged(connection(1, rx_queue=0), connection(2)))
    assert {s.verdict for s in sites} == {Verdict.END_TAKEN, Verdict.IDLE_IN_POOL}
    other = touch(Op.RECV, 1.006, 150, stack=stack("read_other", "main"))
    assert len(group(judged(connection(1, **TAKEN), connection(2, last=other)))) == 2


def test_accepted_sockets_are_one_site() -> None:
    """Each accepted connection has a remote port of its own; the site is where they were accepted."""
    (site,) = group(judged(*(accepted(i) for i in range(5))))
    assert (site.count, site.remote) == (5, "10.0.0.9:*")
    (site,) = group(judged(*(accepted(i, remote=Endpoint(f"10.0.0.{i}", 50000)) for i in range(5))))
    assert site.remote == "5 hosts"


def test_older_sockets_of_one_port_are_one_site() -> None:
    """Where accept was not seen, several remote ports at one local port show that it is a server's."""
    unknown = {"passive": None, "accepted": None, "opened": None, "last": None, "preexisting": True, "fin": None}
    (site,) = group(judged(*(accepted(i, **unknown) for i in range(3))))
    assert site.count == 3


def test_never_accepted_goes_to_the_listener() -> None:
    """Sockets in an accept queue have no holder; the listening process answers for them."""
    waiting = {"accepted": False, "opened": None, "last": None, "holders": (), "listener": Holder(300, 3, "srv")}
    (site,) = group(judged(*(accepted(i, **waiting) for i in range(3))))
    assert (site.pid, site.comm, site.count, site.last_op) == (300, "srv", 3, "none")


def test_stack_of_eof_is_that_of_the_read() -> None:
    """For eof-ignored the stack is that of the read that returned 0, not of a later call."""
    eof = touch(Op.RECV, 67, 0, stack=stack("saw_the_end"))
    later = touch(Op.SHUTDOWN, 68, 0, stack=stack("later"))
    (site,) = group(judged(connection(eof=eof, last=later, eof_reads=1, rx_queue=0)))
    assert site.last_op == "recv"
    assert site.stack is not None
    assert site.stack.frames[1].function == "saw_the_end"


def test_blocked_call_shows_its_own_stack() -> None:
    """For blocked-in-call the stack is that of the call that is going on."""
    inside = Blocked(actor(100, 107), 11, "sendto", stack("push"))
    (site,) = group(judged(connection(blocked=(inside,))))
    assert site.last_op == "sendto"
    assert site.stack is not None
    assert site.stack.frames[1].function == "push"


def test_largest_then_oldest_first() -> None:
    """Sites come by number of sockets, equal ones by age."""
    few = [connection(i, fin=50.0, **read_by("few")) for i in range(2)]
    older = [connection(10 + i, fin=40.0, **read_by("older")) for i in range(2)]
    many = [connection(20 + i, fin=60.0, **read_by("many")) for i in range(3)]
    sites = group(judged(*few, *older, *many))
    assert [s.stack.frames[2].function for s in sites if s.stack] == ["many", "older", "few"]


def test_no_stack_is_told_why() -> None:
    """A touch whose stack was not kept makes a site with the reason, not a crash."""
    (site,) = group(judged(connection(last=touch(Op.RECV, 1.006, 150, stack_note="stack memory was spent"))))
    assert (site.stack, site.stack_note) == (None, "stack memory was spent")


def test_line_decides_where_it_is_known() -> None:
    """Two calls on one source line are one path although their offsets differ; without lines offsets decide."""

    def key(offset: int, line: int | None, function: str = "f", module: str = "m") -> object:
        return path_of(Stack((Frame(function, module, offset, line=line),), True))

    assert key(1, 10) == key(2, 10)
    assert key(1, 10) != key(1, 11)
    assert key(1, None) != key(2, None)
    assert key(1, None, module="[anon]") == key(2, None, module="[anon]")


def test_recursion_counts_once() -> None:
    """How deep a function has called itself says nothing."""
    assert path_of(stack("read", *["walk"] * 3, "main")) == path_of(stack("read", "walk", "main"))


SOCKETS = st.builds(
    lambda serial, path, pid, port, fin, make: make(
        serial, fin=fin, remote=Endpoint("192.0.2.1", port), **read_by(path, pid)
    ),
    st.integers(0, 10_000),
    st.sampled_from(["a", "b"]),
    st.sampled_from([100, 200]),
    st.integers(1, 4),
    st.floats(1, 190),
    st.sampled_from([connection, accepted]),
)


@given(st.lists(SOCKETS, max_size=25, unique_by=lambda c: c.sk), st.randoms(use_true_random=False))
def test_order_does_not_matter(sockets: list[Connection], shuffler: random.Random) -> None:
    """Any order of findings gives the same sites, and no socket is lost or counted twice."""
    findings = [judge(c, NOW, START) for c in sockets]
    sites = group(findings)
    shuffler.shuffle(findings)
    assert group(findings) == sites
    members: list[Finding] = [f for site in sites for f in site.findings]
    assert sorted(f.connection.sk for f in members) == sorted(c.sk for c in sockets)


@given(st.lists(SOCKETS, min_size=1, max_size=25, unique_by=lambda c: c.sk))
def test_sites_are_sorted_and_homogeneous(sockets: list[Connection]) -> None:
    """All sockets of a site share verdict and path; sites come largest first."""
    sites: tuple[Site, ...] = group([judge(c, NOW, START) for c in sockets])
    assert [s.count for s in sites] == sorted((s.count for s in sites), reverse=True)
    for site in sites:
        assert {f.verdict for f in site.findings} == {site.verdict}
        paths = {path_of(f.connection.last.stack) for f in site.findings if f.connection.last}
        assert paths == {path_of(site.stack)}
        pids = [f.connection.owner.pid for f in site.findings if f.connection.owner]
        assert {share.pid: share.count for share in site.processes} == {pid: pids.count(pid) for pid in pids}


def test_dead_time_is_not_a_site_key() -> None:
    """Sockets that differ in times alone are one site, whose age is that of the oldest."""
    sockets = [dataclasses.replace(connection(i), fin_ns=START + (60 + i) * S) for i in range(4)]
    (site,) = group(judged(*sockets))
    assert site.findings[0].since_ns == START + 60 * S


def test_identity_survives_growth() -> None:
    """A site is recognised when it grows, also that of a server whose remote ports all differ."""
    for make in (connection, accepted):
        (small,) = group(judged(make(1)))
        (large,) = group(judged(make(1), make(2), make(3)))
        assert small.key == large.key
    (first,), (other,) = group(judged(connection(1))), group(judged(connection(1, **read_by("elsewhere"))))
    assert first.key != other.key


def test_where_processes_belong() -> None:
    """Each process has its own unit or container; the text tells them, those with most sockets first."""
    here, there = (
        Identity("shop.service"),
        Identity("", "3f4ec7c56b8a" + "0" * 52, "7f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e"),
    )
    homes = {100: here, 200: there, 300: there}
    several = (connection(1), *(connection(i, **read_by("call_backend", i)) for i in (200, 300)))
    (site,) = group(judged(*several), lambda _pid: "app", homes.__getitem__)
    assert {share.pid: share.identity for share in site.processes} == homes
    text = "\n".join(render(site, 1, NOW, width=200, color=False, all_frames=False))
    pod = f"container 3f4ec7c56b8a of pod {there.pod} (2)"
    assert f"  in: {pod} and unit shop.service (1)\n" in text
    known = dataclasses.replace(there, namespace="shop", pod_name="web-0", container_name="app")
    (site,) = group(judged(connection(1)), lambda _pid: "app", lambda _pid: known)
    said = "\n".join(render(site, 1, NOW, width=200, color=False, all_frames=False))
    assert "  in: container app (3f4ec7c56b8a) of pod shop/web-0\n" in said
    (site,) = group(judged(connection(1)), lambda _pid: "app", lambda _pid: here)
    assert "  in: unit shop.service\n" in "\n".join(render(site, 1, NOW, width=80, color=False, all_frames=False))


def packaged(*functions: str) -> Stack:
    """Functions of an installed package that is the program, innermost first."""
    libc = Frame("__libc_recv", "libc.so.6", 0x64, internal=True)
    file = "/opt/venv/lib/python3.12/site-packages/shopd/cli.py"
    own = (Frame(name, None, file=file, language="python", of_program=True) for name in functions)
    return Stack((libc, *own), True)


def test_functions_of_the_package_that_is_the_program_are_told_apart() -> None:
    """As those of a program in files of its own are."""
    last = [touch(Op.RECV, 1.006, 150, stack=packaged(name, "main")) for name in ("fetch_orders", "fetch_stock")]
    sites = group(judged(*(connection(i, last=last[i % 2], opened=None) for i in range(5))))
    assert [(site.count, site.application) for site in sites] == [
        (3, Application(Where.LAST, 1)),
        (2, Application(Where.LAST, 1)),
    ]


def test_a_file_of_the_programs_own_goes_before_the_package_that_is_the_program() -> None:
    """Wherever it is: such a site is called and known by it, as one of a program that no package is."""
    last = touch(Op.RECV, 1.006, 150, stack=packaged("on_data", "main"))
    own = touch(Op.SEND, 1.001, 5, stack=stack("ask_prices"))
    also = touch(Op.SEND, 1.001, 5, stack=packaged("write", "main"))
    opened = touch(Op.CONNECT, 1.0, 0, stack=packaged("open_all", "main"))
    by_own = touch(Op.CONNECT, 1.0, 0, stack=stack("open_prices"))
    for sent, opener, where in (
        (own, opened, Where.SENT),
        (also, opened, Where.LAST),
        (also, by_own, Where.OPENED),
        (None, by_own, Where.OPENED),
        (None, opened, Where.LAST),
    ):
        (site,) = group(judged(connection(1, last=last, opened=opener, sent=sent)))
        assert site.application == Application(where, 1)
        assert (site.sent_stack is not None) == (where is Where.SENT)


def test_the_package_that_is_the_program_is_shown_as_the_programs_own() -> None:
    """Frame by frame; beside files of the program's own it is counted as other packages are."""
    last = touch(Op.RECV, 1.006, 150, stack=packaged("fetch", "work", "main"))
    (site,) = group(judged(connection(1, last=last, opened=None)))
    said = "\n".join(render(site, 1, NOW, width=100, color=False, all_frames=False))
    assert "    > fetch        cli.py\n      work         cli.py\n      main         cli.py\n" in said
    plugin = Frame("hook", None, file="/etc/shopd/plugin.py", language="python")
    stack = packaged("fetch", "work", "main")
    beside = Stack((stack.frames[0], plugin, *stack.frames[1:]), True)
    (site,) = group(judged(connection(1, last=touch(Op.RECV, 1.006, 150, stack=beside), opened=None)))
    said = "\n".join(render(site, 1, NOW, width=100, color=False, all_frames=False))
    assert "    > hook         plugin.py\n" in said
    assert "3 frames of shopd" in said
