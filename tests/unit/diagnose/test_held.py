"""Who holds a socket, in words and in verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from tests.unit.builders import NOW, START, connection
from tracer.diagnose import held
from tracer.diagnose.sites import group
from tracer.diagnose.verdict import judge
from tracer.model.connection import Connection, Holder
from tracer.model.finding import Finding, Verdict, Where
from tracer.model.holder import LOST, Lineage, Link, Missing, Root, RootKind, Use

_POOL = "org.apache.http.impl.conn.CPool"
_LINKS = (
    Link("sun.nio.ch.NioSocketImpl", "fd", inner=True),
    Link("org.apache.http.impl.conn.CPoolEntry", "conn"),
    Link("java.util.HashSet", "map", inner=True),
    Link(_POOL, "leased"),
    Link("com.acme.OrderClient", "pool", own=True),
)
_STATIC = Root(RootKind.STATIC, "com.acme.Orders.client", own=True)
LEASED = Lineage(7, _LINKS, _STATIC, "Apache HttpClient", Use.LEASED)
IDLE = replace(LEASED, use=Use.IDLE, links=(*_LINKS[:3], Link(_POOL, "available"), _LINKS[4]))
OLDER: dict[str, Any] = {
    "preexisting": True,
    "opened": None,
    "last": None,
    "passive": None,
    "fin_ns": None,
    "last_rx_ns": None,
    "last_tx_ns": None,
    "tx_bytes": 0,
    "rx_bytes": 0,
    "transitions": (),
    "holders": (Holder(100, 7, "java"),),
}


def older(serial: int, lineage: Optional[Lineage]) -> Connection:
    """A socket that is older than the trace, with who holds it."""
    return replace(connection(serial), **OLDER, lineage=lineage)


def finding(serial: int, lineage: Optional[Lineage]) -> Finding:
    return judge(older(serial, lineage), NOW, START)


def test_a_chain_leaves_out_what_goes_without_saying() -> None:
    """Innermost first, with the root at its end."""
    assert held.chain(LEASED) == "CPoolEntry.conn <- CPool.leased <- OrderClient.pool <- static com.acme.Orders.client"


def test_of_frameworks_beyond_the_program_only_the_number_is_told() -> None:
    """Two more are told by name."""
    frameworks = tuple(Link(f"org.apache.catalina.C{n}", "f") for n in range(7))
    said = held.chain(replace(LEASED, links=(*_LINKS, *frameworks), root=Root(RootKind.THREAD, "poller")))
    assert said.endswith('CPool.leased <- OrderClient.pool <- ... 7 more ... <- thread "poller"')
    near = held.chain(replace(LEASED, links=(*_LINKS, *frameworks[:2]), root=Root(RootKind.THREAD, "poller")))
    assert near.endswith('OrderClient.pool <- C0.f <- C1.f <- thread "poller"')


@pytest.mark.parametrize(
    ("root", "said"),
    [
        (Root(RootKind.THREAD, "http-exec-3"), 'thread "http-exec-3"'),
        (Root(RootKind.THREAD, ""), "a thread"),
        (Root(RootKind.STACK, "main"), 'a slot on the stack of thread "main", perhaps left over'),
        (Root(RootKind.PARKED, "job-7"), 'the stack of the parked virtual thread "job-7", perhaps left over'),
        (Root(RootKind.PARKED, ""), "the stack of a parked virtual thread, perhaps left over"),
        (Root(RootKind.NATIVE, ""), "a global reference of native code"),
    ],
)
def test_each_kind_of_root(root: Root, said: str) -> None:
    """A slot on a stack is told with its doubt."""
    lineage = Lineage(7, (Link("sun.nio.ch.NioSocketImpl", "fd", inner=True), Link("java.net.Socket", "impl")), root)
    assert held.chain(lineage) == f"Socket.impl <- {said}"


@pytest.mark.parametrize("missing", list(Missing))
def test_what_is_not_known_is_said(missing: Missing) -> None:
    """In a whole sentence; only what nothing holds is called lost."""
    said = held.sentence(Lineage(7, missing=missing))
    assert ("lost without a close" in said) == (missing in LOST)
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("com.acme.OrderClient.client", "OrderClient.client"),
        ("Led.kept", "Led.kept"),
        ("com.acme.Holders$Registry$Session.sock", "Holders$Registry$Session.sock"),
        ("com.acme.lower.case", "lower.case"),
    ],
)
def test_names_without_their_packages(name: str, short: str) -> None:
    """Packages begin with small letters, classes with capital ones."""
    assert held.short(name) == short


def test_the_nearest_own_object_is_the_place() -> None:
    """Else the static field that is the root."""
    assert held.own_place(LEASED) == "OrderClient.pool"
    assert held.own_place(replace(LEASED, links=_LINKS[:4])) == "Orders.client"
    assert held.own_place(replace(LEASED, links=_LINKS[:4], root=Root(RootKind.THREAD, "main"))) is None
    assert held.own_place(Lineage(7, missing=Missing.UNFOUND)) is None


def test_leased_is_not_released_and_idle_is_idle() -> None:
    """What the library's object says decides where no call was seen; without it nothing is known."""
    verdicts = [finding(1, lineage).verdict for lineage in (LEASED, IDLE, replace(LEASED, use=None), None)]
    assert verdicts == [Verdict.NOT_RELEASED, Verdict.IDLE_IN_POOL, Verdict.UNKNOWN, Verdict.UNKNOWN]


def test_a_request_that_is_not_complete_is_not_released() -> None:
    """What a server has between requests says nothing of a pool."""
    serving = replace(LEASED, library="Tomcat", use=Use.SERVING)
    assert finding(1, serving).verdict is Verdict.NOT_RELEASED
    assert finding(1, replace(serving, use=Use.WAITING)).verdict is Verdict.UNKNOWN
    (site,) = group([finding(n, replace(serving, fd=n)) for n in (1, 2)])
    assert site.explanation[0].startswith("Tomcat has them in a request that is not complete")
    assert any("AsyncContext.setTimeout" in sentence for sentence in site.advice)
    assert not any("pool" in sentence for sentence in (*site.explanation, *site.advice))


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (Use.LEASED, "leased from Tomcat"),
        (Use.IDLE, "idle in Tomcat"),
        (Use.SERVING, "in a request of Tomcat"),
        (Use.WAITING, "between requests in Tomcat"),
    ],
)
def test_what_the_library_says_in_words(use: Use, said: str) -> None:
    """One phrase for each."""
    assert held.use(replace(LEASED, library="Tomcat", use=use)) == said


def test_a_read_of_the_end_says_more_than_a_pool() -> None:
    """The program was told of the end: that it kept the socket is its own doing, wherever the pool has it."""
    from tests.unit.builders import touch
    from tracer.model.states import Op

    eof = touch(Op.RECV, 67.0, 0)
    read = replace(connection(1), eof=eof, eof_reads=1, last=eof, lineage=IDLE)
    assert judge(read, NOW, START).verdict is Verdict.EOF_IGNORED


def test_the_evidence_says_it_once() -> None:
    """The rule has said it, so nothing is added."""
    evidence = finding(1, LEASED).evidence
    assert sum("Held now by" in sentence for sentence in evidence) == 1
    assert "(leased from Apache HttpClient)" in evidence[0]


def test_two_hundred_of_one_pool_are_a_line() -> None:
    """The number of the descriptor and the insides of collections do not tell them apart."""
    other = replace(
        LEASED, links=(_LINKS[0], _LINKS[1], Link("java.util.LinkedList$Node", "next", inner=True), *_LINKS[3:])
    )
    findings = [finding(n, replace(LEASED if n % 2 else other, fd=n)) for n in range(1, 201)]
    (site,) = group(findings)
    assert [one.count for one in site.held] == [200]
    assert site.application.stack is Where.HELD
    assert any("never given back" in sentence for sentence in site.explanation)
    assert any("In Apache HttpClient that is" in sentence for sentence in site.advice)


def test_what_the_pool_has_idle_was_given_back() -> None:
    """So nothing is said of a release."""
    (site,) = group([finding(n, replace(IDLE, fd=n)) for n in (1, 2)])
    assert any(sentence.endswith("They wait in Apache HttpClient's connection pool.") for sentence in site.explanation)
    assert not any("not given back" in sentence for sentence in site.advice)


def test_another_holder_is_another_site() -> None:
    """Though verdict, library and peer are the same."""
    other = replace(LEASED, links=(*_LINKS[:4], Link("com.acme.StockClient", "pool", own=True)))
    sites = group([finding(1, LEASED), finding(2, LEASED), finding(3, other)])
    assert [site.count for site in sites] == [2, 1]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (
            Missing.UNREACHABLE,
            "Only a garbage collection will close them,"
            " and a program that makes little garbage may run none for hours.",
        ),
        (Missing.ABANDONED, "Not even a garbage collection closes a channel, only the end of the process does."),
    ],
)
def test_what_nothing_holds_is_lost(missing: Missing, said: str) -> None:
    """That is the verdict, and what closes it is said once."""
    (site,) = group([finding(n, Lineage(n, missing=missing)) for n in (1, 2)])
    assert site.verdict is Verdict.LOST
    assert [sentence for sentence in site.explanation if "arbage collection" in sentence] == [said]
    assert "try-with-resources" in site.advice[0]
    assert "sockets that are opened from now on" in site.advice[1]


def test_of_channels_and_others_each_is_told() -> None:
    """A collection closes some of the lost ones, and not the others."""
    both = (Missing.UNREACHABLE, Missing.ABANDONED)
    (site,) = group([finding(n, Lineage(n, missing=missing)) for n, missing in enumerate(both)])
    assert [sentence for sentence in site.explanation if "arbage collection" in sentence] == [
        "Those that are channels not even a garbage collection closes, only the end of the process does; the others a"
        " collection will close."
    ]


def test_a_read_of_the_end_is_told_of_what_is_lost() -> None:
    """The call shows the place; that it is lost is told with it, once."""
    from tests.unit.builders import touch
    from tracer.model.states import Op

    eof = touch(Op.RECV, 67.0, 0)
    read = replace(connection(1), eof=eof, eof_reads=1, last=eof, lineage=Lineage(7, missing=Missing.UNREACHABLE))
    (site,) = group([judge(read, NOW, START)])
    assert site.verdict is Verdict.EOF_IGNORED
    assert sum("only a garbage collection will close it" in sentence for sentence in site.explanation) == 1


def test_a_chain_that_may_be_of_another_socket_says_so() -> None:
    """With the name of the code whose socket it may be."""
    said = held.sentence(replace(LEASED, beside="libpq.so.5"))
    assert said.endswith(
        "(by its number alone, and libpq.so.5 has sockets of its own) (leased from Apache HttpClient)."
    )


_PYTHON = (
    Link("list", "[]", inner=True),
    Link("shop.prices.Session", "sock", own=True),
    Link("work.<locals>.send (app.py:3)", "conn", own=True, function=True),
)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (Root(RootKind.MODULE, "shop.prices: session"), "module shop.prices: session"),
        (Root(RootKind.VARIABLE, "resp of fetch (app.py:29)"), "local variable resp of fetch (app.py:29)"),
        (
            Root(RootKind.VALUE, "fetch (app.py:29)"),
            "a value on the evaluation stack of fetch (app.py:29), perhaps left over",
        ),
        (Root(RootKind.TASK, ""), "a task of the event loop"),
    ],
)
def test_roots_and_functions_of_python_are_told_in_its_words(root: Root, expected: str) -> None:
    """Whatever the root is."""
    said = held.chain(Lineage(7, _PYTHON, root))
    assert said == f"Session.sock <- local variable conn of work.<locals>.send (app.py:3) <- {expected}"


def test_a_global_of_the_program_is_told_alone() -> None:
    """What is in a container of a module needs no other link."""
    lineage = Lineage(7, _PYTHON[:1], Root(RootKind.MODULE, "shop.prices: sessions", own=True))
    assert (held.chain(lineage), held.own_place(lineage)) == ("module shop.prices: sessions",) * 2


def test_the_programs_own_place_may_be_a_function() -> None:
    """Its variable is named with it."""
    lineage = Lineage(7, _PYTHON[2:], Root(RootKind.TASK, ""))
    assert held.own_place(lineage) == "conn in work.<locals>.send (app.py:3)"
