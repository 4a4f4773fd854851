"""Finding CPython in a process, and what the kernel side is told of it; from damaged memory nothing is told."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional

import pytest

from tracer.kernel.headers import bpf_directory
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import ENTRY_BYTES, Target
from tracer.stacks.languages.cpython import process as module
from tracer.stacks.languages.cpython.layouts import LAYOUTS
from tracer.stacks.languages.cpython.process import Unfit, find, kernel_entry, kernel_entry_of_all, layout_of
from tracer.stacks.languages.cpython.slot import Slot, find_local, find_slot
from tracer.stacks.links.native import NativeUnwinder
from tracer.stacks.registry import language
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Reader

pytestmark = pytest.mark.root

PYTHON = "/usr/bin/python3"
PROGRAM = "import sys; print(sys.version_info[1], id(sys._getframe()), flush=True); sys.stdin.read()"


class Changed(Process):
    """A process in whose memory ``changes`` replace what is there, by address."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.identity, -1, process.memory)
        self._mappings = list(process.mappings)
        self.changes: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        data = bytearray(super().read(address, size))
        for at, changed in self.changes.items():
            for offset, byte in enumerate(changed):
                if address <= at + offset < address + size:
                    data[at + offset - address] = byte
        return bytes(data)


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """Of this system's Python, which waits."""
    with subprocess.Popen([PYTHON, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = Process.open(child.pid)
        yield process
        process.close()


def target(process: Process) -> Target:
    native: Optional[NativeUnwinder] = None
    return Target(process, native, lambda _cursor: (), lambda _symbol: None)  # type: ignore[arg-type]


def words(entry: Optional[bytes]) -> dict[str, int]:
    """The words of an entry by the names that the kernel side has for them."""
    assert entry is not None
    assert len(entry) == ENTRY_BYTES
    text = (bpf_directory() / "languages/cpython.bpf.c").read_text()
    enum = re.search(r"enum \{(.*?)\n\};", text, re.DOTALL)
    assert enum is not None
    names = re.findall(r"^\s+PY_(\w+),", enum[1], re.MULTILINE)
    assert len(names) == ENTRY_BYTES // 8
    return dict(zip(names, struct.unpack("<15Q", entry)))


def test_this_systems_python(process: Process) -> None:
    """The slot leads from the thread pointer, which is the thread's id, to the first thread's state."""
    told = words(kernel_entry(target(process)))
    state = told["MAIN_STATE"]
    thread = int.from_bytes(process.read(state + told["STATE_THREAD"], 8), "little")
    assert int.from_bytes(process.read(thread, 8), "little") == thread  # the control block begins with its own address
    assert int.from_bytes(process.read(thread + told["SLOT"], 8), "little") == state
    newest = int.from_bytes(process.read(state + told["STATE_FRAME"], 8), "little")
    assert process.mapping(newest) is not None


def test_what_holds_for_all_processes_of_the_program(process: Process) -> None:
    """All but where the first thread's state lies; by an address in the file that has the interpreter."""
    entry = kernel_entry(target(process))
    assert entry is not None
    common = kernel_entry_of_all(target(process), entry)
    found = find(process)
    assert common is not None
    assert found is not None
    mapping = process.mapping(common[0])
    assert mapping is not None
    assert mapping.path == found.module
    assert words(common[1]) == {**words(entry), "MAIN_STATE": 0}


def test_nothing_holds_for_all_where_only_the_first_thread_is_told(process: Process) -> None:
    """Its state lies somewhere else in each."""
    assert kernel_entry_of_all(target(process), bytes(ENTRY_BYTES - 8) + b"12345678") is None


def test_where_no_thread_has_its_state_the_first_one_is_told(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.15 has no key, and its variable may not be found: in a library that was loaded late."""
    told = words(kernel_entry(target(process)))
    found = find(process)
    assert found is not None
    minor = found.minor
    runtime = replace(LAYOUTS[minor].runtime, key=None, status=None)
    monkeypatch.setitem(LAYOUTS, minor, replace(LAYOUTS[minor], runtime=runtime, told={}))
    without = words(kernel_entry(target(process)))
    assert (without["SLOT"], without["MAIN_STATE"]) == (0, told["MAIN_STATE"])


class Words:
    """Memory of single words."""

    def __init__(self, words: dict[int, int]) -> None:
        self.words = words

    def read(self, address: int, size: int) -> bytes:
        if size != 8 or address not in self.words:
            raise MemoryUnreadable(f"{address:#x}")
        return struct.pack("<Q", self.words[address])


@pytest.mark.parametrize(
    ("key", "words", "slot"),
    [
        (0, {0x318: 77}, Slot(0x318)),
        (31, {0x508: 77}, Slot(0x508)),
        (33, {0x518: 0x8000, 0x8018: 77}, Slot(0x518, 0x18)),  # glibc's second block
        (3, {0x80: 0x8000, 0x8018: 77}, Slot(0x80, 0x18)),  # musl's array
        (3, {0x348: 78, 0x80: 0x8000, 0x8018: 78}, None),
        (3, {}, None),
    ],
)
def test_where_c_libraries_keep_values(key: int, words: dict[int, int], slot: Optional[Slot]) -> None:
    """In the thread's own block, in a further one, in an array."""
    memory = Words({0x10000 + at if at < 0x8000 else at: word for at, word in words.items()})
    assert find_slot(Reader(memory), 0x10000, key, 77) == slot


@pytest.mark.parametrize(
    ("words", "slot"),
    [
        ({-0x28: 77, -0x20: 78}, Slot(-0x28)),
        ({-0x28: 77, -0x20: 77}, None),  # that of a thread that runs is there twice
        ({-0x28: 78, 0x28: 77}, None),
    ],
)
def test_where_a_variable_of_the_thread_is(words: dict[int, int], slot: Optional[Slot]) -> None:
    """Below the thread pointer, once."""
    memory = Words({0x10000 + at: word for at, word in words.items()})
    assert find_local(Reader(memory), 0x10000, 77) == slot


def test_packed_slots() -> None:
    """As the kernel side takes them apart."""
    assert Slot(0x318).packed() == 0x318
    assert Slot(-40).packed() == 0xFFFFFFD8
    assert Slot(0x80, 0).packed() == 1 << 32 | 0x80


def test_each_layout_fits_into_what_the_kernel_side_reads() -> None:
    """Offsets are cut to a few bits there."""
    for layout in LAYOUTS.values():
        told = words(layout.values(Slot(792), 1 << 47))
        assert told["STATE_BYTES"] <= 320
        assert max(told["STATE_FRAME"], told["STATE_THREAD"], told["STATE_CHUNK"] + 8) + 8 <= told["STATE_BYTES"]
        assert told["FRAME_BYTES"] <= 127
        for name in ("FRAME_CODE", "FRAME_PREVIOUS", "FRAME_INSTRUCTION"):
            assert told[name] + 8 <= told["FRAME_BYTES"]
        assert told["FRAME_OWNER"] < told["FRAME_BYTES"]
        assert told["OWNERS"] < 1 << 32


@pytest.mark.parametrize(
    "damage",
    [
        lambda found, _layout: {found.runtime: b"\xff" * 4096},
        lambda found, _layout: {found.runtime: bytes(4096)},
        lambda found, layout: {found.runtime + layout.runtime.key: bytes(4)},
        lambda found, layout: {found.runtime + layout.runtime.key + 4: struct.pack("<I", 1024)},
        lambda found, layout: {found.runtime + layout.runtime.key + 4: struct.pack("<I", 9)},
        lambda found, layout: {found.runtime + layout.runtime.interpreters: struct.pack("<Q", 8)},
        lambda found, layout: {found.runtime + layout.runtime.interpreters: bytes(8)},
        lambda found, layout: {found.runtime + layout.runtime.interpreters: struct.pack("<Q", found.runtime)},
    ],
)
def test_a_damaged_runtime_is_refused(process: Process, damage: Callable[..., dict[int, bytes]]) -> None:
    """Whatever the words say: nothing is told of it, and the reading ends."""
    changed = Changed(process)
    found = find(changed)
    assert found is not None
    changed.changes = damage(found, LAYOUTS[found.minor])
    assert kernel_entry(target(changed)) is None


def test_threads_in_a_ring_end(process: Process) -> None:
    """A list that leads back to its begin is read to its limit."""
    changed = Changed(process)
    found = find(changed)
    assert found is not None
    state = words(kernel_entry(target(changed)))["MAIN_STATE"]
    changed.changes = {state + LAYOUTS[found.minor].runtime.thread_next: struct.pack("<Q", state)}
    assert words(kernel_entry(target(changed)))["MAIN_STATE"] == state


def test_other_builds_are_refused_in_words(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A debug or a free-threaded build, by a symbol that only it has; an unknown version."""
    found = find(process)
    assert found is not None
    for name, words in (("_ONLY_DEBUG", "a debug build"), ("_ONLY_FREE_THREADED", "a free-threaded build")):
        with monkeypatch.context() as changed:
            changed.setattr(module, name, ("Py_Initialize",))
            with pytest.raises(Unfit, match=words):
                layout_of(found, process)
    monkeypatch.delitem(LAYOUTS, found.minor)
    with pytest.raises(Unfit, match=f"Python 3.{found.minor} is not known"):
        layout_of(found, process)


@pytest.mark.parametrize("minor", [13, 14, 15])
def test_the_runtimes_own_table_is_held_against_the_layout(minor: int) -> None:
    """Each word that tells an offset must tell the same."""
    layout = LAYOUTS[minor]
    fields = {**vars(layout.runtime), **vars(layout.frame)}
    table = [0] * 48
    for name, at in layout.told.items():
        table[at] = fields[name]
    assert layout.contradiction(tuple(table)) == ""
    for name, at in layout.told.items():
        table[at] += 8
        assert layout.contradiction(tuple(table)) == name
        table[at] -= 8


def test_what_is_only_called_python(tmp_path: Path) -> None:
    """A program of that name without Python's symbols."""
    program = tmp_path / "python3.11"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as child:
        process = Process.open(child.pid)
        assert find(process) is None
        assert kernel_entry(target(process)) is None
        child.kill()
        process.close()


def test_a_process_that_has_gone() -> None:
    """It is told nothing of."""
    with subprocess.Popen([PYTHON, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = Process.open(child.pid)
        child.kill()
        child.wait()
        with pytest.raises(MemoryUnreadable):
            process.read(process.mappings[0].start, 8)
        assert kernel_entry(target(process)) is None
        process.close()


@pytest.mark.parametrize(("imported", "expected"), [("asyncio", True), ("socket, selectors", False)])
def test_a_process_with_asyncio_has_an_event_loop(imported: str, expected: bool) -> None:
    """By the name of what asyncio loads."""
    words = [PYTHON, "-c", f"import sys, {imported}; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        process = Process.open(program.pid)
        assert language("python").has_loop(process) is expected
        process.close()
        program.communicate()
