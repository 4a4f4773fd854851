"""The machine code that tells where Ruby has its things, as compilers wrote it in Debian's builds."""

from __future__ import annotations

import struct

import pytest

from tests.unit.stacks.languages.ruby.memory import Memory
from tracer.stacks.languages.ruby import process
from tracer.stacks.languages.ruby.functions import function_around
from tracer.stacks.languages.ruby.layouts import LAYOUTS
from tracer.stacks.target.reader import Nonsense, Reader

GC_COUNT = {
    (3, 1): "488b0581f72d00 488b00 488b8050040000 488b80b8010000 c3",
    (3, 3): "f30f1efa 488d054d2b3700 488b00 488b8018050000 488b8070050000 c3",
}
"""rb_gc_count of libruby-3.1.so.3.1.2 and libruby-3.3.so.3.3.8. The first one goes through the GOT."""


def loaded(version: tuple[int, int]) -> tuple[Memory, int, int]:
    """Memory with the function, its address, and the address of the VM that it leads to."""
    code = bytes.fromhex(GC_COUNT[version])
    at, end = (3, 7) if version == (3, 1) else (7, 11)
    memory = Memory()
    vm = memory.put(bytes(8))
    pointer = memory.put(struct.pack("<Q", vm))
    place = memory.put(struct.pack("<Q", pointer)) if version == (3, 1) else pointer
    function = memory.put(code.ljust(96, b"\x90"))
    memory.change(function + at, struct.pack("<i", place - (function + end)))
    return memory, function, vm


@pytest.mark.parametrize("version", GC_COUNT)
def test_the_vm_by_a_function_that_reads_it(version: tuple[int, int]) -> None:
    """Directly or through the global offset table; the offsets in the code must be those that are known."""
    memory, function, vm = loaded(version)
    assert process._vm(Reader(memory), function, LAYOUTS[version]) == vm
    other = LAYOUTS[(3, 3) if version == (3, 1) else (3, 1)]
    with pytest.raises(process.Unfit):
        process._vm(Reader(memory), function, other)
    memory.change(function, b"\x55")
    with pytest.raises(process.Unfit):
        process._vm(Reader(memory), function, LAYOUTS[version])


def test_the_variable_of_a_thread_by_its_value() -> None:
    """The highest one below the thread pointer, at a multiple of eight, over several pages."""
    memory = Memory()
    memory.put(bytes(0x10000))
    end, wanted = 0x1F000, 0x7F00_1234_5678
    for address in (0x1A004, 0x1B010, 0x1EFFC):
        memory.change(address, struct.pack("<Q", wanted))
    assert list(process._words(Reader(memory), end, wanted)) == [0x1B010]


def test_the_function_around_an_address() -> None:
    """From its start to that of the next one; what is before the first or behind the last is in none."""
    memory = Memory()
    starts = (0x500, 0x900, 0x1000)
    base = memory.put(struct.pack("<BBBBiI6i", 1, 0x1B, 0x03, 0x3B, 0, 3, *(word for s in starts for word in (s, 0))))
    reader = Reader(memory)
    assert function_around(reader, (base, 100), base + 0x900) == (base + 0x900, base + 0x1000)
    assert function_around(reader, (base, 100), base + 0xFFF) == (base + 0x900, base + 0x1000)
    for offset in (0x4FF, 0x1000):
        with pytest.raises(Nonsense):
            function_around(reader, (base, 100), base + offset)
    memory.change(base, b"\x02")
    with pytest.raises(Nonsense):
        function_around(reader, (base, 100), base + 0x900)
