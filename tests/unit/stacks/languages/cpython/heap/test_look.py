"""Looks at a child of this test that the same Python runs. Oracle: the child's program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer.model.holder import Held, Limits, Missing, RootKind, SocketAt
from tracer.stacks.languages.cpython.heap import look as module
from tracer.stacks.languages.cpython.heap.layout import HEAP_LAYOUTS
from tracer.stacks.target.process import Process

pytestmark = pytest.mark.skipif(sys.version_info.minor not in HEAP_LAYOUTS, reason="its objects are not known")
_ENOUGH = Limits(seconds=60)
_PROGRAM = """
import array, socket, sys
class Shop:
    def __init__(self, sock):
        self.connections = {"billing": [sock], "user 7": None}
class Node:
    pass
kept, bare = Shop(socket.socket()), socket.socket()
number = bare.detach()
likeness = array.array("Q", [0, 0, 1, id(socket.socket), kept.connections["billing"][0].fileno(), 0])
one, other = Node(), Node()
one.other, other.other, one.sock = other, one, socket.socket()
lost = one.sock.fileno()
import gc; gc.collect(); gc.disable()
del one, other
print(kept.connections["billing"][0].fileno(), number, lost, flush=True)
sys.stdin.read()
"""

_IN_SUB_INTERPRETERS = """
import socket, sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
kept, two = socket.socket(), [interpreters.create(), interpreters.create()]
said = sys.argv[0] + ".said"
for index, one in enumerate(two):
    text = f"import socket; orders{index} = [socket.socket()]"
    interpreters.run_string(one, f"{text}; print(orders{index}[0].fileno(), file=open({said!r}, 'a'))")
print(kept.fileno(), *open(said).read().split(), flush=True)
sys.stdin.read()
"""


class Child:
    def __init__(self, directory: Path, text: str = _PROGRAM) -> None:
        program = directory / "shop.py"
        program.write_text(text)
        pipe = subprocess.PIPE
        self.running = subprocess.Popen([os.path.realpath(sys.executable), str(program)], stdin=pipe, stdout=pipe)
        assert self.running.stdout is not None
        self.held, self.bare, self.lost = map(int, self.running.stdout.readline().split())

    def look(self, limits: Limits = _ENOUGH, *numbers: int) -> Held:
        process = Process.open(self.running.pid)
        process.refresh()
        try:
            return module.look(process, [SocketAt(number, 1, 2) for number in numbers or (self.held,)], limits)
        finally:
            process.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(tmp_path)
    yield child
    child.running.kill()
    child.running.communicate()


def test_the_global_that_holds_it_is_found(child: Child) -> None:
    """With all links, those inside of containers too, and whose class it is."""
    held = child.look()
    assert held.note == ""
    (one,) = held.lineages
    assert one.root is not None
    assert (one.root.kind, one.root.name, one.root.own) == (RootKind.MODULE, "__main__: kept", True)
    links = [(link.holder, link.field, link.own, link.inner) for link in one.links]
    assert links == [
        ("list", "[]", False, True),
        ("dict", "[billing]", False, True),
        ("__main__.Shop", "connections", True, False),
    ]


_OFTEN_HELD = """
import socket, sys
class Shop:
    pass
shop, others = Shop(), Shop()
shop.sock = socket.socket()
number = shop.sock.fileno()
shops = [shop] * 1_100_000
others.sock = ([socket.socket()],) * 1_100_000
print(number, others.sock[0][0].fileno(), 0, flush=True)
sys.stdin.read()
"""


def test_what_is_held_a_million_times_is_an_object(tmp_path: Path) -> None:
    """A count of references may be as large as an address, and the collector knows the object all the same."""
    child = Child(tmp_path, _OFTEN_HELD)
    try:
        held = child.look(_ENOUGH, child.held, child.bare)
    finally:
        child.running.kill()
        child.running.communicate()
    assert {one.fd: one.root and one.root.name for one in held.lineages} == {
        child.held: "__main__: shop",
        child.bare: "__main__: others",
    }


_WITH_A_DRIVER = """
import ctypes, socket, sys
drivers = [ctypes.CDLL(path) for path in {paths}]
kept = socket.socket()
print(kept.fileno(), 0, 0, flush=True)
sys.stdin.read()
"""
_CONNECTS = """
int connect(int, const void *, unsigned);
int open_session(int fd) { return connect(fd, 0, 0); }
int driver_connect(int fd) { return -1; }
"""
_DOES_NOT = "int driver_connect(int fd) { return -1; }"


@pytest.mark.parametrize(("text", "beside"), [(_CONNECTS, "libdriver.so"), (_DOES_NOT, "")])
def test_code_with_sockets_of_its_own_is_named(tmp_path: Path, text: str, beside: str) -> None:
    """Only where code needs connect, not where its own function is called like that."""
    library = tmp_path / "libdriver.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), "-xc", "-"], input=text, text=True, check=True)
    child = Child(tmp_path, _WITH_A_DRIVER.format(paths=[str(library)]))
    try:
        (one,) = child.look().lineages
    finally:
        child.running.kill()
        child.running.communicate()
    assert one.root is not None
    assert one.beside == beside


def test_what_each_sub_interpreter_holds_is_found(tmp_path: Path) -> None:
    """A server may have an interpreter for each application: mod_wsgi, uWSGI."""
    child = Child(tmp_path, _IN_SUB_INTERPRETERS)
    try:
        lineages = child.look(_ENOUGH, child.held, child.bare, child.lost).lineages
    finally:
        child.running.kill()
        child.running.communicate()
    roots = {lineage.fd: lineage.root for lineage in lineages}
    names = [root.name for root in map(roots.get, (child.held, child.bare, child.lost)) if root is not None]
    assert names == ["__main__: kept", "__main__: orders0", "__main__: orders1"]


def test_a_number_without_an_object_and_a_lost_object_have_no_holder(child: Child) -> None:
    """One has no object any more, the other is held by a cycle alone."""
    bare, lost = child.look(Limits(seconds=60), child.bare, child.lost).lineages
    assert (bare.missing, lost.missing) == (Missing.NO_OBJECT, Missing.UNREACHABLE)


def test_what_one_walk_says_is_lost_is_not_enough(child: Child) -> None:
    """Two walks have to agree."""
    (lost,) = child.look(Limits(seconds=60, scans=1), child.lost).lineages
    assert lost.missing is Missing.UNFOUND


def test_too_little_time_is_a_note(child: Child) -> None:
    """It says how much there was."""
    held = child.look(Limits(seconds=0))
    assert (held.lineages, held.note) == ((), "looking at its heap took more than 0 s of CPU")


def test_too_large_a_heap_is_a_note(child: Child) -> None:
    """It says how much may be read."""
    held = child.look(Limits(seconds=60, heap_bytes=1 << 20))
    assert (held.lineages, held.note) == ((), "it uses more than 0.0 GB of memory")


def test_a_program_that_has_ended_is_a_note(child: Child) -> None:
    """No chain is given."""
    process = Process.open(child.running.pid)
    process.refresh()
    child.running.kill()
    child.running.wait()
    held = module.look(process, [SocketAt(child.held, 1, 2)], Limits(seconds=60))
    process.close()
    assert held.lineages == ()
    assert held.note
