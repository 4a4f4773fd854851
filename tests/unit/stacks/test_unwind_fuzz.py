"""Damaged and hostile targets. There is an answer for all contents of registers, stack, maps and files."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.present import present
from tests.unit.stacks.links.test_native import HEAD, PLAIN
from tests.unit.stacks.stackbox import capture, compile_c, names, running
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.chain import Unwinder
from tracer.stacks.elf.debugfiles import Places
from tracer.stacks.elf.image import Image
from tracer.stacks.links.native import NativeUnwinder
from tracer.stacks.links.nocfi import NoCfiUnwinder
from tracer.stacks.naming import Naming
from tracer.stacks.registry import all_languages
from tracer.stacks.service import StackService
from tracer.stacks.target.maps import parse_maps
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.target.modules import ImageCache, Modules
from tracer.stacks.target.process import Process
from tracer.stacks.walk import MAX_FRAMES, walk
from tracer.stacks.walker import LocalWalker

NAMING = Naming(all_languages())
WORD = st.integers(0, (1 << 64) - 1)
# All examples use the same file, because only the maps are damaged here.
IMAGES = ImageCache()
WALKER = LocalWalker()
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StackService, BlackBox]]:
    """Give a box of a real blocked process, which stays alive, and the service that has unwound it."""
    program = compile_c(tmp_path_factory.mktemp("fuzz"), "plain", PLAIN)
    service = StackService()
    with running(program) as child:
        yield service, capture(child.pid)
    service.close()


def checked(stack: Stack) -> Stack:
    assert len(stack.frames) <= 8 * MAX_FRAMES
    assert stack.complete or stack.note
    return stack


@MANY
@given(registers=st.lists(WORD, min_size=17, max_size=17), stack=st.binary(max_size=512), cut=st.booleans())
def test_random_registers_and_stack(
    target: tuple[StackService, BlackBox], registers: list[int], stack: bytes, cut: bool
) -> None:
    """Random input gives no frames. Frames are never invented."""
    service, box = target
    noise = BlackBox(box.pid, box.tid, tuple(registers), stack, cut)
    assert checked(service.unwind(noise)).frames == ()


@MANY
@given(data=st.data())
def test_damaged_stack(target: tuple[StackService, BlackBox], data: st.DataObject) -> None:
    """Words of a real stack are overwritten. Every frame is still in executable code."""
    service, box = target
    words = bytearray(box.stack)
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(0, min(len(words), 512) // 8 - 1)) * 8
        near = st.sampled_from([box.pc, box.sp, box.sp + place, box.sp + place + 8, *struct.unpack_from("<40Q", words)])
        words[place : place + 8] = struct.pack("<Q", data.draw(st.one_of(WORD, near)))
    process = Process.open(box.pid)
    damaged = replace(box, stack=bytes(words))
    stack = checked(service.unwind(damaged))
    assert all(present(process.mapping(frame.pc - 1)).executable for frame in stack.frames)
    assert stack == WALKER.walk(process, damaged).stack  # however it was found
    WALKER.forget(process)
    process.close()


@MANY
@given(size=st.integers(0, 600), cut=st.booleans())
def test_any_length_of_copy(target: tuple[StackService, BlackBox], size: int, cut: bool) -> None:
    """A shorter copy gives the first frames of the whole stack, and a note says so."""
    service, box = target
    whole = service.unwind(box)
    part = service.unwind(replace(box, stack=box.stack[:size], cut=cut))
    assert part.frames == whole.frames[: len(part.frames)]
    assert part.complete == (part.frames == whole.frames)
    if not part.complete:
        assert ("--stack-bytes" in present(part.note)) == cut


def test_frames_that_point_at_each_other(target: tuple[StackService, BlackBox]) -> None:
    """A stack with a loop ends, because a caller must be higher on the stack."""
    service, box = target
    words = bytearray(box.stack)
    for place in range(0, len(words) - 8, 8):
        words[place : place + 8] = struct.pack("<Q", box.sp)
    assert len(checked(service.unwind(replace(box, stack=bytes(words)))).frames) == 1


@MANY
@given(text=st.binary(max_size=300), data=st.data())
def test_corrupt_maps(target: tuple[StackService, BlackBox], text: bytes, data: st.DataObject) -> None:
    """Maps with random lines, or with files at wrong addresses, cause no error."""
    _, box = target
    process = Process.open(box.pid)
    lines = process.read_proc("maps").splitlines()
    for _ in range(data.draw(st.integers(1, 5))):
        lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(
            st.one_of(st.just(text), st.sampled_from(lines).map(lambda line: line.replace(b"0", b"1", 3)))
        )
    process._mappings = parse_maps(b"\n".join(lines))
    process._starts = [mapping.start for mapping in process._mappings]
    modules = Modules(process, IMAGES)
    chain: list[Unwinder] = [NativeUnwinder(modules, NAMING), NoCfiUnwinder(process, modules, NAMING)]
    checked(walk(box, BoxMemory(box, process), chain))
    process.close()


@MANY
@given(data=st.data())
def test_corrupt_files(tmp_path: Path, data: st.DataObject) -> None:
    """An ELF file with overwritten bytes gives rules and names, or None. It raises nothing."""
    with open("/bin/true", "rb") as file:
        contents = bytearray(file.read())
    for _ in range(data.draw(st.integers(1, 20))):
        place = data.draw(st.one_of(st.integers(0, 1200), st.integers(0, len(contents) - 1)))
        contents[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "true"
    path.write_bytes(contents[: data.draw(st.integers(0, len(contents)))])
    image = Image.open(os.open(path, os.O_RDONLY), str(path), Places(lambda name: None))
    if image is not None:
        for address in range(0x1000, 0x6000, 0x333):
            image.rule(address)
            assert image.names(address)


def test_library_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    """A file is truncated while it is read. The tracer gets no more data, and SIGBUS does not kill it."""
    path = tmp_path / "lib.so"
    path.write_bytes(open("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "rb").read())  # noqa: SIM115
    image = present(Image.open(os.open(path, os.O_RDONLY), str(path), Places(lambda name: None)))
    os.truncate(path, 4096)
    assert image.rule(0x120000) is None
    assert [name.function for name in image.names(0x120000)] == [None]


def test_pid_that_never_was() -> None:
    """The stack of an unknown process has no frames, and a note with the reason."""
    service = StackService()
    stack = service.unwind(BlackBox(1 << 30, 1 << 30, (0,) * 17, b"", False))
    assert (stack.frames, stack.complete, stack.note) == ((), False, "process exited before its stack could be read")


def test_deep_recursion_is_bounded(tmp_path: Path) -> None:
    """A stack with too many frames ends with that reason."""
    source = (
        HEAD
        + """
    CALLED int deep(int n) { volatile int one = 1; return (n ? deep(n - 1) : block()) + one; }
    int main(void) { return deep(3000) + 1; }
    """
    )
    service = StackService()
    with running(compile_c(tmp_path, "deep", source)) as child:
        stack = service.unwind(capture(child.pid, size=1 << 20))
    assert len(stack.frames) == MAX_FRAMES
    assert names(stack)[:3] == ["read", "block", "deep"]
    assert stack.note == f"more than {MAX_FRAMES} frames"
    service.close()
