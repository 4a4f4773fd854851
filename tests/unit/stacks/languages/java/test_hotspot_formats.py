"""The formats that the HotSpot unwinder reads: compressed numbers, line tables, segment maps, symbols, names."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stacks.languages.java.replay import MAJORS, recorded
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.codecache import CodeCache, CodeHeap
from tracer.stacks.languages.java.jvm import open_jvm
from tracer.stacks.languages.java.layout import Layout
from tracer.stacks.languages.java.lines import decode_lines, line_of
from tracer.stacks.languages.java.methods import JavaMethod, class_name
from tracer.stacks.languages.java.unsigned5 import Unsigned5
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader


def encode(value: int, biased: bool) -> bytes:
    """Encode UNSIGNED5 like write_uint in unsigned5.hpp: a digit below L ends the number; otherwise divide by 64."""
    bias = 1 if biased else 0
    last = 192 - bias
    digits: list[int] = []
    while value >= last and len(digits) < 4:
        value -= last
        digits.append(last + value % 64 + bias)
        value //= 64
    return bytes([*digits, value + bias])


@given(values=st.lists(st.integers(0, 2**32 - 1), max_size=20), biased=st.booleans())
def test_numbers_come_back_as_they_were_written(values: list[int], biased: bool) -> None:
    """A sequence of any 32-bit numbers, in both encodings, is decoded to the same numbers."""
    stream = Unsigned5(b"".join(encode(value, biased) for value in values), biased)
    assert [stream.unsigned() for _ in values] == values


@given(data=st.binary(max_size=64), biased=st.booleans(), code_size=st.integers(0, 65535))
def test_any_bytes_are_a_line_table_or_nonsense(data: bytes, biased: bool, code_size: int) -> None:
    """All decoded pairs are inside the method and in the range of a class file."""
    try:
        table = decode_lines(data, code_size, biased)
    except Nonsense:
        return
    assert all(0 <= bci <= code_size and 0 <= line <= 65535 for bci, line in table)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 65535), st.integers(1, 65535)), min_size=1, max_size=30),
    biased=st.booleans(),
)
def test_line_tables_come_back_as_they_were_written(pairs: list[tuple[int, int]], biased: bool) -> None:
    """Small steps have one byte. Others have an escape and two zigzag numbers (CompressedLineNumberWriteStream)."""
    data = b""
    bci = line = 0
    for next_bci, next_line in pairs:
        step, up = next_bci - bci, next_line - line
        if 0 <= step <= 31 and 0 <= up <= 7 and 0 < (step << 3 | up) < 255:
            data += bytes([step << 3 | up])
        else:
            data += b"\xff" + b"".join(
                encode(value * 2 if value >= 0 else -value * 2 - 1, biased) for value in (step, up)
            )
        bci, line = next_bci, next_line
    assert decode_lines(data + b"\0", 65535, biased) == tuple(pairs)


def test_the_line_is_that_of_the_last_entry_at_or_before() -> None:
    """Entries may be in any order of bytecodes. The nearest one before counts."""
    table = ((0, 10), (8, 12), (4, 11), (20, 13))
    assert [line_of(table, bci) for bci in (0, 3, 4, 7, 8, 19, 20, 99)] == [10, 10, 11, 11, 12, 12, 13, 13]
    assert line_of(((5, 1),), 4) is None


class _Segments:
    """A Source with a segment map at address 0x1000."""

    def __init__(self, segments: bytes) -> None:
        self._segments = segments

    def read(self, address: int, size: int) -> bytes:
        data = self._segments[address - 0x1000 : address - 0x1000 + size]
        if address < 0x1000 or len(data) != size:
            raise MemoryUnreadable(hex(address))
        return data


@given(blocks=st.lists(st.tuples(st.booleans(), st.integers(1, 1500)), min_size=1, max_size=12), merged=st.booleans())
def test_segment_maps_lead_to_the_start_of_each_block(blocks: list[tuple[bool, int]], merged: bool) -> None:
    """Used blocks as mark_segmap_as_used writes them, also after a merge, when one tag leads to another tag."""
    segments = bytearray()
    starts: list[int] = []
    for used, length in blocks:
        start = len(segments)
        starts += [start if used else -1] * length
        # 0, 1, ... 254, then again from 1: 255 means free.
        segments += bytes(0 if not i else (i - 1) % 254 + 1 for i in range(length)) if used else b"\xff" * length
        if used and merged and length > 3:
            segments[start + length // 2] = 1
    layout = open_layout()
    cache = CodeCache(Reader(_Segments(bytes(segments))), layout, 0)
    heap = CodeHeap(0x100000, 0x100000 + len(segments) * 128, 0x1000, 7)
    for index in range(0, len(segments), 7):
        if starts[index] < 0:
            with pytest.raises(Nonsense):
                cache._first_segment(heap, heap.low + index * 128 + 5)
        else:
            assert cache._first_segment(heap, heap.low + index * 128 + 5) == starts[index]


def open_layout() -> Layout:
    jvm = open_jvm(recorded(MAJORS[0]).memory, recorded(MAJORS[0]).libjvm)
    assert jvm is not None
    return jvm.layout


def test_symbols_are_where_the_dynamic_linker_finds_them() -> None:
    """Exported names of our own libc have the addresses that dlsym gives. Other names give None."""
    process = Process.open(os.getpid())
    libc = next(mapping for mapping in process.mappings if re.search(r"/libc\.so\.6$|/libc-", mapping.path))
    loaded = LoadedObject(Reader(process), libc.start)
    handle = ctypes.CDLL(libc.path)
    for name in ("environ", "stdout", "opterr", "in6addr_any", "malloc", "qsort"):
        expected = ctypes.c_char.in_dll(handle, name)
        assert loaded.symbol(name) == ctypes.addressof(expected)
    assert loaded.symbol("no_such_symbol") is None
    assert loaded.symbol("") is None
    process.close()


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_symbols_are_found_by_either_table(style: str, tmp_path: Path) -> None:
    """A library that the linker gives only one kind of table (Temurin 11.0.13's libjvm has only the older one)."""
    source, library = tmp_path / "names.c", tmp_path / "libnames.so"
    names = [f"name_{index}" for index in range(50)]
    source.write_text("".join(f"int {name} = {index};\n" for index, name in enumerate(names)))
    words = ["gcc", "-shared", "-fPIC", f"-Wl,--hash-style={style}", "-o", str(library), str(source)]
    subprocess.run(words, check=True)
    handle = ctypes.CDLL(str(library))
    process = Process.open(os.getpid())
    start = next(mapping.start for mapping in process.mappings if mapping.path == str(library))
    loaded = LoadedObject(Reader(process), start)
    for name in names:
        assert loaded.symbol(name) == ctypes.addressof(ctypes.c_int.in_dll(handle, name))
    assert loaded.symbol("no_such_symbol") is None
    process.close()


def test_the_build_id_is_that_of_the_file() -> None:
    """The build-id read from memory is equal to the note in the file."""
    process = Process.open(os.getpid())
    libc = next(mapping for mapping in process.mappings if re.search(r"/libc\.so\.6$|/libc-", mapping.path))
    found = LoadedObject(Reader(process), libc.start).build_id()
    assert len(found) == 20
    with open(libc.path, "rb") as file:
        assert struct.pack("<III", 4, 20, 3) + b"GNU\0" + found in file.read(8192)
    process.close()


@given(data=st.binary(min_size=0, max_size=400))
def test_any_bytes_are_no_elf_object(data: bytes) -> None:
    """Bytes that only start like an ELF object are refused."""
    memory = _Segments((b"\x7fELF\x02\x01" + data).ljust(64, b"\0"))
    with pytest.raises((Nonsense, MemoryUnreadable)):
        LoadedObject(Reader(memory), 0x1000)


@pytest.mark.parametrize(
    ("internal", "readable"),
    [
        ("org/apache/http/impl/Foo", "org.apache.http.impl.Foo"),
        ("Main$$Lambda+0x00007f3c14000a00", "Main$$Lambda"),
        ("Main$$Lambda$14+0x0000000800c03000", "Main$$Lambda"),
        ("a/b/Main$$Lambda/0x0000000800c03000", "a.b.Main$$Lambda"),
        ("Main$$Lambda$7", "Main$$Lambda"),
        ("java/lang/invoke/LambdaForm$DMH+0x0000000800c04400", "java.lang.invoke.LambdaForm$DMH"),
        ("a/Outer$1", "a.Outer$1"),
    ],
)
def test_class_names_are_readable(internal: str, readable: str) -> None:
    """Names have dots, not slashes, and no numbers that differ in each run."""
    assert class_name(internal) == readable


@pytest.mark.parametrize(
    ("name", "internal"),
    [
        ("java.net.Socket", True),
        ("jdk.internal.reflect.GeneratedMethodAccessor1", True),
        ("sun.nio.ch.SocketDispatcher", True),
        ("com.sun.proxy.$Proxy0", True),
        ("javax.net.ssl.SSLSocket", True),
        ("org.example.Main$$Lambda", True),
        ("javax.servlet.http.HttpServlet", False),
        ("javassist.Loader", False),
        ("org.apache.http.impl.Foo", False),
    ],
)
def test_the_jdk_is_told_from_the_application(name: str, internal: bool) -> None:
    """The JDK's packages and classes for lambda expressions are internal. Libraries with the same prefix are not."""
    assert JavaMethod(name, "run", None, 0, 0, ()).internal is internal
