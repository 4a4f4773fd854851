"""The ELF file of a dump, as readelf and elfutils see it."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

from tracer.kernel.elfobject import elf_object
from tracer.kernel.objectcode import MapSpec, ObjectCode

EXIT = bytes.fromhex("9500000000000000")
MAPS = (MapSpec("sockets", 1, 4, 8, 16, 0), MapSpec("counters", 2, 4, 8, 1, 0))


def load_map(index: int) -> bytes:
    """r1 = map, a load of 64 bits with BPF_PSEUDO_MAP_FD (uapi/linux/bpf.h)."""
    return struct.pack("<BBhIBBhI", 0x18, 1 << 4 | 1, 0, index, 0, 0, 0, 0)


CODE = ObjectCode(MAPS, {"tp_state": EXIT + load_map(1) + load_map(0) + EXIT, "run_drain": EXIT})


def shown(tmp_path: Path, *command: str) -> str:
    path = tmp_path / "object.o"
    path.write_bytes(elf_object(CODE))
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True, env={"LC_ALL": "C"})
    assert done.stderr == ""
    return done.stdout


def test_programs_are_sections_and_functions(tmp_path: Path) -> None:
    """With their sizes in bytes."""
    text = shown(tmp_path, "/usr/bin/readelf", "-W", "-h", "-S", "-s")
    assert "Linux BPF" in text
    sections = re.findall(r"\] (\S+) +PROGBITS +0+ \w+ (\w+) 00 +AX", text)
    assert [(name, int(size, 16)) for name, size in sections] == [("tp_state", 48), ("run_drain", 8)]
    functions = re.findall(r"0+ +(\d+) FUNC +GLOBAL DEFAULT +(\d+) (\S+)", text)
    assert functions == [("48", "3", "tp_state"), ("8", "4", "run_drain")]


def test_a_map_is_named_where_it_is_loaded(tmp_path: Path) -> None:
    """By a relocation at the instruction."""
    text = shown(tmp_path, "/usr/bin/eu-readelf", "-r")
    assert re.findall(r"0x0*(\w+) +\S*64_64\S* +\S* *(\w+)", text) == [("8", "counters"), ("18", "sockets")]


def test_instructions_are_those_of_the_object_code(tmp_path: Path) -> None:
    """As elfutils disassembles them."""
    text = shown(tmp_path, "/usr/bin/eu-objdump", "-d")
    found = re.findall(r"^ +\w+:\s+((?:\w\w ){8,}) ", text, re.MULTILINE)
    assert [bytes.fromhex(line)[:1] for line in found] == [b"\x95", b"\x18", b"\x18", b"\x95", b"\x95"]
