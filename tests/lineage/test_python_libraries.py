"""The rules of Python's libraries. Oracle: the program, which says which of its connections are idle and which leased.

Debian's Python runs them with Debian's libraries.
"""

from __future__ import annotations

import pytest

from tests.lineage.pythons import http, python, running
from tests.lineage.test_chains import nothing
from tracer.diagnose.held import chain
from tracer.model.holder import Limits, RootKind, Use
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_LIBRARIES = {
    "urllib3": "urllib3",
    "requests": "urllib3",
    "redis": "redis-py",
    "sqlalchemy": "SQLAlchemy",
    "aiohttp": "aiohttp",
}


@pytest.mark.parametrize("library", _LIBRARIES)
def test_leased_is_told_from_idle(library: str, keeper: Keeper) -> None:
    """Each connection has the use that the program says, by the library's own object."""
    with http() as port, running(python(11), "libraries.py", port, library) as program:
        process, wanted = Process.open(program.pid), program.wanted()
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
    assert held.note == ""
    told = {program.kind(wanted, one): (one.library, one.use) for one in held.lineages}
    name = _LIBRARIES[library]
    assert told == {"leased": (name, Use.LEASED), "idle": (name, Use.IDLE)}


def test_a_response_that_is_kept_is_named_with_its_connection(keeper: Keeper) -> None:
    """The chain goes from the socket through the response to the program's own list."""
    with http() as port, running(python(11), "libraries.py", port, "requests") as program:
        process, wanted = Process.open(program.pid), program.wanted()
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
    (leased,) = (one for one in held.lineages if one.use is Use.LEASED)
    assert chain(leased) == "HTTPConnection.sock <- HTTPResponse._connection <- Response.raw <- module __main__: KEPT"


def test_a_greenlet_that_waits_is_named_with_its_variable(keeper: Keeper) -> None:
    """The frames of a greenlet that does not run are roots."""
    with http() as port, running(python(11), "libraries.py", port, "gevent") as program:
        process, wanted = Process.open(program.pid), program.wanted()
        held = keeper.holders(process, wanted, Limits(), nothing)
        process.close()
    (one,) = held.lineages
    assert one.root is not None
    assert (one.root.kind, one.root.name.partition(" (")[0]) == (
        RootKind.VARIABLE,
        "conn of gevent.<locals>.hold",
    )
