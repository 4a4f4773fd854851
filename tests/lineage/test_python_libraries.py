"""The rules of Python's libraries. Oracle: the program, which says which of its connections are idle and which leased.

Debian's Python runs them with Debian's libraries: those of the host, and with 3.14 those of sid.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.lineage.pythons import MINORS, Program, http, python_with_libraries, running, tls
from tests.lineage.test_chains import nothing
from tracer.diagnose.held import chain
from tracer.model.holder import Held, Limits, Lineage, Missing, RootKind, SocketAt, Use
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.languages.cpython.heap import numbers
from tracer.stacks.languages.cpython.heap.look import look
from tracer.stacks.target.process import Process

_LIBRARIES = {
    "urllib3": "urllib3",
    "requests": "urllib3",
    "redis": "redis-py",
    "sqlalchemy": "SQLAlchemy",
    "aiohttp": "aiohttp",
}
each_python = pytest.mark.parametrize("minor", [minor for minor in MINORS if minor in (11, 14)] or [11])


@contextlib.contextmanager
def _program(minor: int, function: str) -> Iterator[tuple[Program, list[SocketAt]]]:
    server = tls if function.endswith("tls") else http
    with server() as port, running(python_with_libraries(minor), "libraries.py", port, function) as program:
        yield program, program.wanted()


def _held(keeper: Keeper, minor: int, function: str) -> dict[str, Lineage]:
    """Who holds each kind of connection of the program."""
    with _program(minor, function) as (program, wanted):
        process = Process.open(program.pid)
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
        assert held.note == ""
        return {program.kind(wanted, one): one for one in held.lineages}


@each_python
@pytest.mark.parametrize("library", _LIBRARIES)
def test_leased_is_told_from_idle(library: str, minor: int, keeper: Keeper) -> None:
    """Each connection has the use that the program says, by the library's own object."""
    told = {kind: (one.library, one.use) for kind, one in _held(keeper, minor, library).items()}
    name = _LIBRARIES[library]
    assert told == {"leased": (name, Use.LEASED), "idle": (name, Use.IDLE)}


@each_python
def test_a_response_that_is_kept_is_named_with_its_connection(minor: int, keeper: Keeper) -> None:
    """The chain goes from the socket through the response to the program's own list."""
    leased = _held(keeper, minor, "requests")["leased"]
    assert chain(leased) == "HTTPConnection.sock <- HTTPResponse._connection <- Response.raw <- module __main__: KEPT"


@each_python
def test_a_greenlet_that_waits_is_named_with_its_variable(minor: int, keeper: Keeper) -> None:
    """The frames of a greenlet that does not run are roots."""
    one = _held(keeper, minor, "gevent")["held"]
    assert one.root is not None
    assert (one.root.kind, one.root.name.partition(" (")[0]) == (
        RootKind.VARIABLE,
        "conn of gevent.<locals>.hold",
    )


@each_python
def test_the_transports_of_uvloop_have_their_sockets(minor: int, keeper: Keeper) -> None:
    """By libuv's handle; one that was given a socket object, by that."""
    held = _held(keeper, minor, "uvloop")
    in_module = "module __main__: SHOP"
    assert chain(held["stream"]) == f"TCPTransport._handle <- StreamWriter._transport <- Shop.stream <- {in_module}"
    assert chain(held["given"]) == f"StreamWriter._transport <- Shop.given <- {in_module}"
    assert chain(held["task"]).startswith("TCPTransport._handle <- StreamWriter._transport <- local variable writer of")


@each_python
def test_tls_through_asyncio_leads_to_the_program(minor: int, keeper: Keeper) -> None:
    """From the socket through the transport and the TLS protocol to the program's own object."""
    text = chain(_held(keeper, minor, "tls")["stream"])
    assert text.startswith("_SelectorSocketTransport._sock <- ")
    assert text.endswith("Shop.stream <- module __main__: SHOP")


@each_python
def test_tls_through_uvloop_leads_to_the_program(minor: int, keeper: Keeper) -> None:
    """From libuv's handle through the transports to the program's own object."""
    text = chain(_held(keeper, minor, "uvloop_tls")["stream"])
    assert text.startswith("TCPTransport._handle <- ")
    assert text.endswith("Shop.stream <- module __main__: SHOP")


def test_an_unknown_uvloop_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a handle does not refer back to its transport, nothing is said of sockets without an object."""
    monkeypatch.setattr(numbers, "_UV_DATA", 8)
    with _program(11, "uvloop") as (program, wanted):
        process = Process.open(program.pid)
        held: Held = look(process, wanted, Limits())
        process.close()
        kinds = {program.kind(wanted, one) for one in held.lineages}
    assert "of uvloop are not known" in held.note
    assert kinds == {"given"}
    assert Missing.NO_OBJECT not in {one.missing for one in held.lineages}
