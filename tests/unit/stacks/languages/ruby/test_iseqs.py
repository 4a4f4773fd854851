"""Labels, files and lines of compiled code in hand-made memory, by the tables as Ruby itself makes them."""

from __future__ import annotations

import struct

import pytest

from tests.unit.stacks.languages.ruby.memory import CODE, IMEMO, Memory
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.ruby.iseqs import Iseqs
from tracer.stacks.languages.ruby.layouts import LAYOUTS, Layout
from tracer.stacks.languages.ruby.values import Values
from tracer.stacks.target.reader import Nonsense, Reader

LINES = [(0, 10), (3, 11), (9, 12), (53, 13), (54, 14), (118, 20), (565, 21), (566, 22), (1100, 30)]
"""With places in the table's first part, at its borders, and in several blocks."""
BOTH = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=["3.1", "3.3"])


def iseqs(memory: Memory, layout: Layout, symbols: int | None = None) -> Iseqs:
    return Iseqs(Values(Reader(memory), layout), layout, symbols)


@BOTH
def test_label_file_and_lines(layout: Layout) -> None:
    """The line is that of the instruction before the place, as pc points to the next one."""
    memory = Memory()
    path = memory.array(memory.string("app/orders.rb", layout), memory.string("/srv/app/orders.rb", layout))
    address = memory.iseq(layout, "block in fetch", path, LINES, 1200)
    iseq, _ = iseqs(memory, layout).read(address)
    assert (iseq.label, iseq.file) == ("block in fetch", "app/orders.rb")
    for place in range(1200):
        expected = max(line for start, line in LINES if start <= max(place - 1, 0))
        assert iseqs(memory, layout).line(iseq, iseq.position(CODE + 8 * place)) == expected, place


@BOTH
def test_long_names_and_one_line(layout: Layout) -> None:
    """Long strings lie outside of their objects. Code of one line has no table."""
    memory = Memory()
    long = "a_method_with_a_name_that_is_longer_than_any_embedded_one"
    address = memory.iseq(layout, long, memory.string("/srv/app/lib/some/long/path.rb", layout), [(0, 7)], 4)
    iseq, _ = iseqs(memory, layout).read(address)
    assert (iseq.label, iseq.file) == (long, "/srv/app/lib/some/long/path.rb")
    assert iseqs(memory, layout).line(iseq, 4) == 7


@BOTH
def test_what_is_no_code_is_refused(layout: Layout) -> None:
    """Another kind of object, a freed one, a body that is not intact."""
    memory = Memory()
    address = memory.iseq(layout, "fetch", memory.string("a.rb", layout), LINES, 1200)
    reader = iseqs(memory, layout)
    reader.read(address)
    for flags in (0, IMEMO | 6 << 12, 5):
        memory.change(address, struct.pack("<Q", flags))
        with pytest.raises(Nonsense):
            reader.read(address)
    memory.change(address, struct.pack("<QQQ", IMEMO | 7 << 12, 0, 0x999999))
    with pytest.raises(MemoryUnreadable):
        reader.read(address)
    for address in (0, 8, 0x10003):
        with pytest.raises((Nonsense, MemoryUnreadable)):
            reader.read(address)


@BOTH
def test_places_outside_of_the_code(layout: Layout) -> None:
    """Only an instruction's place within the code is one of it."""
    memory = Memory()
    iseq, _ = iseqs(memory, layout).read(memory.iseq(layout, "f", memory.string("a.rb", layout), LINES, 100))
    assert [iseq.position(CODE + offset) for offset in (-8, 0, 4, 8, 800, 808)] == [-1, 0, -1, 1, 100, -1]


@BOTH
def test_methods_in_c_by_their_symbols(layout: Layout) -> None:
    """An ID is a number in blocks of names; an operator's is the number itself."""
    memory = Memory()
    names = [memory.string(f"name_{number}", layout) for number in range(600)]
    blocks = [memory.array(*(word for name in names[at : at + 512] for word in (name, 0))) for at in (0, 512)]
    symbols = memory.put(struct.pack("<IxxxxQQ", 599, 0, memory.array(*blocks)))
    for number, identifier in ((599, 599 << 4 | 3), (42, 42)):
        definition = memory.put(bytes(32) + struct.pack("<Q", identifier))
        entry = memory.put(struct.pack("<QQQQ", IMEMO | 6 << 12, 0, definition, 0))
        assert iseqs(memory, layout, symbols).method(entry)[0].name == f"name_{number}"
    with pytest.raises(Nonsense):
        iseqs(memory, layout).method(entry)


def test_ages_are_in_the_flags() -> None:
    """How many collections an object has survived, as far as it counts. 3.3 has one bit, for old ones."""
    for version, ages in (((3, 1), [0, 1, 3]), ((3, 3), [0, 3, 3])):
        memory, layout = Memory(), LAYOUTS[version]
        path = memory.string("a.rb", layout)
        assert [
            iseqs(memory, layout).read(memory.iseq(layout, "f", path, [(0, 1)], 9, a))[1] for a in (0, 1, 3)
        ] == ages
