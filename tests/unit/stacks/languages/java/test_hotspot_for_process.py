"""Which processes get a HotSpot unwinder, and what it says if it cannot read the JVM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Protocol, cast

import pytest

from tests.unit.present import present
from tests.unit.stacks.languages.java.replay import recorded
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Unwinder
from tracer.stacks.language import Target
from tracer.stacks.languages import java
from tracer.stacks.languages.java import hotspot
from tracer.stacks.languages.java import jvm as hotspot_jvm
from tracer.stacks.languages.java.tables import VmTables, read_tables
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Reader

JVM = recorded(17)
THREAD = JVM.threads[0]
CODE = Mapping(THREAD.cursor.pc & ~0xFFFF, (THREAD.cursor.pc & ~0xFFFF) + 0x10000, "rwxp", 0, 0, 0, "")
LIBJVM = Mapping(JVM.libjvm, JVM.libjvm + 0x1000000, "r--p", 0, 1, 1, "/usr/lib/jvm/x/lib/server/libjvm.so")


class JavaProcess(Protocol):
    """The parts of a process that the Java unwinder uses. mypy checks the real one and the fake against it."""

    @property
    def mappings(self) -> Sequence[Mapping]: ...

    def mapping(self, address: int) -> Optional[Mapping]: ...

    def read(self, address: int, size: int) -> bytes: ...


_REAL: type[JavaProcess] = Process


class FakeProcess:
    """A process of the recorded JVM. A test may change ``alive`` later."""

    def __init__(self, mappings: tuple[Mapping, ...], alive: bool = True) -> None:
        self.mappings = mappings
        self.alive = alive

    def mapping(self, address: int) -> Optional[Mapping]:
        return next((mapping for mapping in self.mappings if mapping.start <= address < mapping.end), None)

    def read(self, address: int, size: int) -> bytes:
        if not self.alive:
            raise MemoryUnreadable(f"memory at {address:#x} cannot be read")
        return JVM.memory.read(address, size)


@pytest.fixture(autouse=True)
def _no_cached_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotspot_jvm, "_layouts", type(hotspot_jvm._layouts)())


def for_process(process: JavaProcess) -> Optional[Unwinder]:
    target = Target(
        cast(Process, process), native=NoNative(), names=lambda _cursor: (), read_symbol=lambda _symbol: None
    )
    runtime = java.LANGUAGE.attach(target)
    return runtime.unwinder if runtime is not None else None


class NoNative:
    """The link for compiled code. Java frames are found without it."""

    def step(self, cursor: Cursor, memory: Memory) -> None:
        raise AssertionError(f"{cursor} of {memory} is asked of it")


def test_a_process_without_libjvm_has_none() -> None:
    """A process without a JVM gets no link in the chain."""
    assert for_process(FakeProcess((CODE,))) is None


def test_a_libjvm_without_tables_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libjvm.so without HotSpot's tables (OpenJ9) gets no HotSpot unwinder."""
    monkeypatch.setattr(LoadedObject, "symbol", lambda self, name: None)
    assert for_process(FakeProcess((LIBJVM, CODE))) is None


def test_code_outside_the_code_cache_is_left_to_others() -> None:
    """A pc in libjvm itself is not in generated code."""
    unwinder = present(for_process(FakeProcess((LIBJVM, CODE))))
    registers = list(THREAD.cursor.registers)
    registers[16] = LIBJVM.start + 0x500
    assert unwinder.step(Cursor(tuple(registers), True), THREAD.memory) is None


def test_a_jvm_that_is_not_readable_yet_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks end at generated code, with the reason, until the JVM can be read."""
    monkeypatch.setattr(hotspot, "_REST", 0)
    process = FakeProcess((LIBJVM, CODE), alive=False)
    unwinder = present(for_process(process))
    step = present(unwinder.step(THREAD.cursor, THREAD.memory))
    assert (step.frames, step.caller) == ((), None)
    assert present(step.stop).startswith("the JVM could not be read: memory at 0x")
    process.alive = True
    step = present(unwinder.step(THREAD.cursor, THREAD.memory))
    assert [frame.function for frame in step.frames] == [THREAD.frames[0][0]]


def test_native_code_is_left_to_others_while_the_code_heaps_cannot_be_read() -> None:
    """A JVM that exits or is starting has no Java frames in the stack, but its native frames stay."""
    process = FakeProcess((LIBJVM, CODE))
    unwinder = present(for_process(process))
    process.alive = False
    registers = list(THREAD.cursor.registers)
    registers[16] = LIBJVM.start + 0x500
    assert unwinder.step(Cursor(tuple(registers), True), THREAD.memory) is None
    assert present(present(unwinder.step(THREAD.cursor, THREAD.memory)).stop).startswith("the JVM could not be read: ")


def test_a_jvm_whose_tables_lack_a_field_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note names the field. Code of files, and code that is not mapped, is left to other links."""

    def without_names(reader: Reader, libjvm: LoadedObject) -> VmTables:
        full = present(read_tables(reader, libjvm))
        fields = {key: value for key, value in full.fields.items() if key != ("CodeBlob", "_name")}
        return VmTables(fields, full.sizes, full.constants)

    monkeypatch.setattr(hotspot_jvm, "read_tables", without_names)
    unwinder = present(for_process(FakeProcess((LIBJVM, CODE))))
    step = present(unwinder.step(THREAD.cursor, THREAD.memory))
    assert step.stop == "this JVM's tables do not have CodeBlob._name"
    for pc in (LIBJVM.start + 0x500, 0x10):
        registers = list(THREAD.cursor.registers)
        registers[16] = pc
        assert unwinder.step(Cursor(tuple(registers), True), THREAD.memory) is None
