"""What the VM's count of collections says of the age of code, by hand-made histories."""

from __future__ import annotations

import struct

from tests.unit.stacks.languages.ruby.memory import Memory
from tracer.stacks.languages.ruby.ages import Ages
from tracer.stacks.languages.ruby.iseqs import Iseq
from tracer.stacks.languages.ruby.layouts import LAYOUTS
from tracer.stacks.languages.ruby.process import Ruby
from tracer.stacks.target.reader import Reader

LAYOUT = LAYOUTS[3, 1]
FUNCTION = Iseq(0x1000, 77, 0x2000, 0x3000, 10, "f", "a.rb")
OTHER = Iseq(0x1000, 77, 0x2000, 0x3000, 10, "g", "a.rb")


class History:
    """The process at one time after the other."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.objspace = self.memory.put(bytes(LAYOUT.collections + 8))
        vm = bytearray(LAYOUT.objspace + 8)
        struct.pack_into("<Q", vm, LAYOUT.objspace, self.objspace)
        self.ages = Ages(Reader(self.memory), Ruby((3, 1), "libruby", LAYOUT, self.memory.put(bytes(vm)), None, (0, 0)))
        self.ns = 0

    def at(self, ns: int, collections: int, *, marking: bool = False) -> History:
        """The collector has run so often at ``ns`` (ms)."""
        self.ns = ns * 1_000_000
        self.memory.change(self.objspace + LAYOUT.collections, struct.pack("<Q", collections))
        self.memory.change(self.objspace + 16, struct.pack("<I", 1 if marking else 2))
        return self

    def sample(self) -> None:
        self.ages.sample(self.ns)

    def since(self, iseq: Iseq, survived: int = 0) -> int:
        return self.ages.see(iseq, survived, self.ns).since_ns // 1_000_000


def test_no_collection_since() -> None:
    """Nothing was freed since the first sample with the same count."""
    history = History()
    history.at(100, 7).sample()
    history.at(200, 8).sample()
    history.at(300, 8).sample()
    assert history.at(400, 8).since(FUNCTION) == 200
    assert history.at(500, 9).since(OTHER) == 500


def test_what_has_survived_collections() -> None:
    """It was there when the count was as many lower, and before."""
    history = History()
    for ns, count in ((100, 5), (200, 8), (300, 9)):
        history.at(ns, count).sample()
    assert history.at(400, 10).since(FUNCTION, survived=3) == 200
    assert history.at(500, 12).since(OTHER, survived=3) == 500


def test_a_sample_while_it_marks_tells_nothing() -> None:
    """What it marks later it may find dead although it was alive at the sample."""
    history = History()
    history.at(100, 5, marking=True).sample()
    assert history.at(200, 5).since(FUNCTION) == 200


def test_the_same_code_was_read_before() -> None:
    """At the same address, and equal in all that is known of it."""
    history = History()
    assert history.at(100, 5).since(FUNCTION) == 100
    assert history.at(300, 9).since(FUNCTION) == 100
    assert history.at(400, 12).since(OTHER) == 400
    assert history.ages.see(FUNCTION, 0, 500).others


def test_what_was_old_at_a_sweep_and_is_the_same() -> None:
    """It was there since the first sweep that found it; nothing else may ever have been seen there."""
    history = History()
    for ns in (100, 200):
        history.at(ns, 0).ages.sweep(history.ns, {FUNCTION.address: FUNCTION.known_by})
    assert history.at(300, 90).since(FUNCTION, survived=3) == 100
    history = History()
    history.at(100, 0).ages.sweep(history.ns, {FUNCTION.address: FUNCTION.known_by})
    assert history.at(300, 90).since(FUNCTION) == 300  # young, so it came later
    history = History()
    for ns, known_by in ((100, FUNCTION.known_by), (200, 5), (300, FUNCTION.known_by)):
        history.at(ns, 0).ages.sweep(history.ns, {FUNCTION.address: known_by})
    assert history.at(400, 90).since(FUNCTION, survived=3) == 400
