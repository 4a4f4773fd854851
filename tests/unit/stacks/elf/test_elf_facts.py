"""Facts read directly from ELF files, compared with readelf."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.present import present
from tests.unit.stacks.stackbox import compile_c
from tracer.stacks.elf.facts import ElfFacts, read_facts

SOURCE = "int main(void) { return 0; }"


def facts_of(path: Path) -> ElfFacts:
    with open(path, "rb") as file:
        return present(read_facts(file.fileno()))


def readelf(path: Path, flag: str) -> str:
    return subprocess.run(["readelf", "-W", flag, path], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("flags", "is_static", "is_program"),
    [
        (("-no-pie",), False, True),
        (("-pie",), False, True),
        (("-static",), True, True),
        (("-static-pie",), True, True),
        (("-shared", "-fPIC"), False, False),
        (("-shared", "-fPIC", "-Wl,-e,main", "-Wl,-soname,libx.so"), False, False),
    ],
)
def test_kinds_of_files(tmp_path: Path, flags: tuple[str, ...], is_static: bool, is_program: bool) -> None:
    """Static programs, dynamic programs and libraries are told apart, even if a library has an entry."""
    path = compile_c(tmp_path, "x", SOURCE, "-Wl,--build-id", *flags)
    facts = facts_of(path)
    assert facts.is_static == is_static
    header = readelf(path, "-h")
    assert facts.entry == (
        int(present(re.search(r"Entry point address:\s+(\S+)", header)).group(1), 16) if is_program else 0
    )
    assert facts.build_id.hex() == present(re.search(r"Build ID: (\w+)", readelf(path, "-n"))).group(1)
    assert facts.has_symtab


def test_segments_and_bias(tmp_path: Path) -> None:
    """Every byte of code gets the address that is in the program headers."""
    path = compile_c(tmp_path, "x", SOURCE)
    facts = facts_of(path)
    loads = re.findall(r"LOAD\s+(\S+) (\S+) \S+ (\S+) (\S+) (...)", readelf(path, "-l"))
    assert [(s.offset, s.vaddr, s.file_size, s.memory_size) for s in facts.segments] == [
        tuple(int(word, 16) for word in load[:4]) for load in loads
    ]
    (code,) = (load for load in loads if "E" in load[4])
    offset, address = int(code[0], 16), int(code[1], 16)
    assert facts.bias(offset & -4096) == address - offset
    assert facts.bias(1 << 40) is None


def test_other_classes_and_no_elf(tmp_path: Path) -> None:
    """A 32-bit file is recognised, a text file is not an ELF file, a stripped file has no .symtab."""
    (tmp_path / "e").write_bytes(b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack("<HH", 2, 3) + bytes(32))
    assert (facts_of(tmp_path / "e").bits, facts_of(tmp_path / "e").machine) == (32, 3)
    (tmp_path / "t").write_text("#!/bin/sh\n")
    with (tmp_path / "t").open("rb") as file:
        assert read_facts(file.fileno()) is None
    path = compile_c(tmp_path, "x", SOURCE, "-s")
    assert not facts_of(path).has_symtab


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_headers(data: st.DataObject) -> None:
    """Headers with overwritten bytes give facts or None."""
    with open("/bin/true", "rb") as file:
        contents = bytearray(file.read())
    for _ in range(data.draw(st.integers(1, 30))):
        contents[data.draw(st.integers(0, 1000))] = data.draw(st.integers(0, 255))
    descriptor = os.memfd_create("damaged")
    try:
        os.write(descriptor, contents)
        facts = read_facts(descriptor)
        assert facts is None or facts.bits in (32, 64)
    finally:
        os.close(descriptor)
