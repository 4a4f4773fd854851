"""The HotSpot unwinder on recorded JVMs: its results with correct memory and with wrong memory."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.stacks.languages.java.replay import (
    MAJORS,
    LyingSource,
    RecordedStack,
    RecordedThread,
    java_frames,
    recorded,
)
from tracer.stacks.chain import Cursor, MemoryUnreadable
from tracer.stacks.languages.java import jvm as hotspot_jvm
from tracer.stacks.languages.java.jvm import open_jvm
from tracer.stacks.languages.java.layout import MissingTables, build_layout
from tracer.stacks.languages.java.tables import VmTables, read_tables
from tracer.stacks.languages.java.unwinder import HotSpotUnwinder
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.reader import Nonsense, Reader

NEEDED = (
    "CodeHeap._memory CodeHeap._segmap CodeHeap._log2_segment_size HeapBlock::Header._length HeapBlock::Header._used "
    "CodeBlob._name CodeBlob._size CodeBlob._frame_size CodeBlob._data_offset nmethod._orig_pc_offset "
    "nmethod._scopes_pcs_offset PcDesc._pc_offset PcDesc._scope_decode_offset Method._constMethod "
    "ConstMethod._constants ConstMethod._constMethod_size ConstMethod._code_size ConstMethod._name_index "
    "ConstantPool._length ConstantPool._pool_holder Klass._name Symbol._length"
).split()
THREADS = [(major, index) for major in MAJORS for index in range(len(recorded(major).threads))]


@pytest.fixture(autouse=True)
def _no_cached_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotspot_jvm, "_layouts", type(hotspot_jvm._layouts)())


def unwinder(major: int) -> HotSpotUnwinder:
    jvm = recorded(major)
    opened = open_jvm(jvm.memory, jvm.libjvm)
    assert opened is not None
    return HotSpotUnwinder(opened, bool)


def tables(major: int) -> VmTables:
    reader = Reader(recorded(major).memory)
    found = read_tables(reader, LoadedObject(reader, recorded(major).libjvm))
    assert found is not None
    return found


def test_every_supported_line_of_jdks_is_recorded() -> None:
    """There is a recording of each long-term JDK."""
    assert MAJORS == [8, 11, 17, 21, 25]


@pytest.mark.parametrize(("major", "index"), THREADS)
def test_frames_equal_the_thread_dump(major: int, index: int) -> None:
    """Names and lines of all Java frames are those that the JVM printed for the same thread."""
    thread = recorded(major).threads[index]
    frames, stop = java_frames(unwinder(major), thread)
    assert [
        (frame.function, frame.file if frame.line else None, frame.line) for frame in frames if frame.language == "java"
    ] == thread.frames
    assert stop is None


@pytest.mark.parametrize("major", MAJORS)
def test_a_return_address_that_is_no_call_site_ends_the_stack(major: int) -> None:
    """In compiled code, the address next to a return address is not one. This is how changed code is recognised."""
    thread = next(thread for thread in recorded(major).threads if thread.name == "socket")
    hotspot = unwinder(major)
    wrapper = hotspot.step(thread.cursor, thread.memory)
    assert wrapper is not None
    assert wrapper.caller is not None
    caller = wrapper.caller
    beside = list(caller.registers)
    beside[16] = caller.pc + 1
    step = hotspot.step(Cursor(tuple(beside), is_return=True), thread.memory)
    assert step is not None
    assert (step.frames, step.caller, step.stop) == ((), None, "compiled code changed since the touch")


@pytest.mark.parametrize("major", MAJORS)
def test_a_short_copy_of_the_stack_gives_its_innermost_frames(major: int) -> None:
    """For each length of the copy, the frames are the first ones of the whole stack, and there is a reason."""
    thread = recorded(major).threads[0]
    hotspot = unwinder(major)
    whole, _ = java_frames(hotspot, thread)
    size = len(thread.memory._data)
    for length in range(0, size, 40):
        short = RecordedThread(
            thread.name, thread.cursor, RecordedStack(thread.cursor.sp, thread.memory._data[:length]), []
        )
        frames, stop = java_frames(hotspot, short)
        assert frames == whole[: len(frames)]
        assert stop is not None


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_field_is_named(major: int, name: str) -> None:
    """A JVM whose tables do not have a field that the unwinder needs is refused. The text names the field."""
    full = tables(major)
    owner, _, member = name.partition(".")
    fewer = {key: value for key, value in full.fields.items() if key != (owner, member)}
    assert len(fewer) == len(full.fields) - 1
    with pytest.raises(MissingTables, match=f"^{re.escape(name)}$"):
        build_layout(VmTables(fewer, full.sizes, full.constants))


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("name", ["CodeBlob", "nmethod", "PcDesc", "ConstMethod", "ConstantPool", "HeapBlock"])
def test_a_missing_size_is_named(major: int, name: str) -> None:
    """A JVM whose tables do not have the size of a type is refused. The text names the type."""
    full = tables(major)
    fewer = {key: value for key, value in full.sizes.items() if key != name}
    with pytest.raises(MissingTables, match=re.escape(f"sizeof({name})")):
        build_layout(VmTables(full.fields, fewer, full.constants))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    major=st.sampled_from(MAJORS),
    index=st.integers(0, 6),
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.001, 0.01, 0.1, 0.5]),
    invents=st.booleans(),
)
def test_a_jvm_that_lies_costs_a_note(major: int, index: int, seed: int, rate: float, invents: bool) -> None:
    """Wrong bytes after the JVM was opened give a stack and a reason: no exception, no endless work."""
    jvm = recorded(major)
    opened = open_jvm(jvm.memory, jvm.libjvm)
    assert opened is not None
    source = LyingSource(jvm.memory, seed, rate, invents)
    for part in (opened.code, opened.nmethods, opened.methods):
        part._reader = Reader(source)
    java_frames(HotSpotUnwinder(opened, bool), jvm.threads[index])
    assert source.reads < 100_000
    assert source.bytes < 1 << 30


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    major=st.sampled_from(MAJORS),
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.0001, 0.001, 0.01]),
    invents=st.booleans(),
)
@example(major=17, seed=4570, rate=0.01, invents=True)  # a member of PcDesc that lies outside of it
def test_tables_that_lie_are_refused_or_bounded(major: int, seed: int, rate: float, invents: bool) -> None:
    """Wrong bytes in the JVM's tables give an unwinder, or one of the three errors that become a note."""
    jvm = recorded(major)
    hotspot_jvm._layouts.clear()
    source = LyingSource(jvm.memory, seed, rate, invents)
    try:
        opened = open_jvm(source, jvm.libjvm)
    except (MemoryUnreadable, Nonsense, MissingTables):
        opened = None
    if opened is not None:
        for thread in jvm.threads:
            java_frames(HotSpotUnwinder(opened, bool), thread)
    assert source.reads < 1_000_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(major=st.sampled_from(MAJORS), index=st.integers(0, 6), data=st.data())
def test_a_damaged_stack_costs_a_note(major: int, index: int, data: st.DataObject) -> None:
    """Words of the copied stack are random. The walk still ends, and each caller is higher on the stack."""
    thread = recorded(major).threads[index]
    stack = bytearray(thread.memory._data)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(stack) // 8 - 1)) * 8
        other = data.draw(st.integers(0, len(stack) // 8 - 1)) * 8
        word = data.draw(st.one_of(st.binary(min_size=8, max_size=8), st.just(bytes(stack[other : other + 8]))))
        stack[at : at + 8] = word
    damaged = RecordedThread(thread.name, thread.cursor, RecordedStack(thread.cursor.sp, bytes(stack)), [])
    frames, _ = java_frames(unwinder(major), damaged)
    assert len(frames) <= 2000
