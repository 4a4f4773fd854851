"""Debug files that are found, and what a file may name in their place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from tests.unit.present import present
from tracer.host.opening import open_own
from tracer.stacks.elf.debugfiles import Places
from tracer.stacks.elf.emptyfile import open_empty
from tracer.stacks.elf.facts import read_facts
from tracer.stacks.elf.image import Image

BUILD_ID = bytes(range(20))

# middle() with a call inlined into it whose name lies in the alternate file (DW_FORM_GNU_strp_alt).
PROGRAM = """
.text
.globl middle
.type middle, @function
middle: .cfi_startproc
nop
nop
ret
.cfi_endproc
end:
.size middle, . - middle
.section .debug_abbrev, "", @progbits
.uleb128 1, 0x11; .byte 1; .uleb128 0x11, 0x01, 0x12, 0x07, 0, 0
.uleb128 2, 0x2e; .byte 0; .uleb128 0x03, 0x1f21, 0, 0
.uleb128 3, 0x2e; .byte 1; .uleb128 0x11, 0x01, 0x12, 0x07, 0, 0
.uleb128 4, 0x1d; .byte 0; .uleb128 0x31, 0x13, 0x11, 0x01, 0x12, 0x07, 0, 0
.byte 0
.section .debug_info, "", @progbits
unit: .long last - first
first: .value 4; .long 0; .byte 8
.uleb128 1; .quad middle, end - middle
named: .uleb128 2; .long 1
.uleb128 3; .quad middle, end - middle
.uleb128 4; .long named - unit; .quad middle, end - middle
.byte 0, 0
last:
.section .gnu_debugaltlink, "", @progbits
.asciz "LINK"
.byte IDENTITY
"""
ALTERNATE = """
.section .debug_str, "", @progbits
.asciz ""
.asciz "named_by_the_alternate_file"
.section .debug_info, "", @progbits
.long 0
.section .note.identity, "a", @note
.long 4, 20, 3
.asciz "GNU"
.byte IDENTITY
"""


def assembled(directory: Path, name: str, text: str, link: str = "") -> Path:
    source, program = directory / f"{name}.S", directory / name
    source.write_text(text.replace("LINK", link).replace("IDENTITY", ", ".join(map(str, BUILD_ID))))
    subprocess.run(["gcc", "-shared", "-nostdlib", "-Wl,--build-id=none", "-o", program, source], check=True)
    return program


def inlined(program: Path) -> list[Optional[str]]:
    """The names for the first address of middle()."""
    image = present(Image.open(present(open_own(str(program))), str(program), Places(open_own)))
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    (address,) = (int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" middle"))
    return [name.function for name in image.names(address)]


@pytest.mark.parametrize("link", ["relative", "absolute"])
def test_names_in_the_alternate_file(tmp_path: Path, link: str) -> None:
    """What dwz moved to a file of its own is found there, beside the file or by its full path."""
    path = assembled(tmp_path, "common.debug", ALTERNATE)
    program = assembled(tmp_path, "lib.so", PROGRAM, str(path) if link == "absolute" else "./common.debug")
    assert inlined(program) == ["named_by_the_alternate_file", "middle"]


@pytest.mark.parametrize("what", ["missing", "fifo", "stranger", "kmsg"])
def test_an_alternate_file_that_is_none(tmp_path: Path, what: str) -> None:
    """libdw does not open the path by itself when it meets a reference; the symbol still names the function."""
    path = tmp_path / "common.debug"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "stranger":
        assembled(tmp_path, "common.debug", ALTERNATE.replace("IDENTITY", "IDENTITY, 1").replace("20, 3", "21, 3"))
    elif what == "kmsg":
        path.symlink_to("/proc/kmsg")
    assert inlined(assembled(tmp_path, "lib.so", PROGRAM, str(path))) == ["??", "middle"]


def test_debuglink_to_a_fifo(tmp_path: Path) -> None:
    """Beside the file and in .debug/: neither waits."""
    program = assembled(tmp_path, "lib.so", PROGRAM.partition(".section")[0])
    (tmp_path / "x.dbg").write_text("x")
    subprocess.run(["objcopy", f"--add-gnu-debuglink={tmp_path / 'x.dbg'}", program], check=True)
    (tmp_path / "x.dbg").unlink()
    os.mkfifo(tmp_path / "x.dbg")
    (tmp_path / ".debug").mkdir()
    os.mkfifo(tmp_path / ".debug/x.dbg")
    assert inlined(program) == ["middle"]


def test_the_empty_file_is_one_that_readelf_knows(tmp_path: Path) -> None:
    """It is an ELF file without a build-id, whose sections have names."""
    descriptor = open_empty()
    assert present(read_facts(descriptor)).build_id == b""
    said = subprocess.run(
        ["readelf", "-WS", f"/proc/self/fd/{descriptor}"],
        pass_fds=[descriptor], capture_output=True, text=True, check=True,
    )  # fmt: skip
    os.close(descriptor)
    assert ".debug_frame" in said.stdout
    assert ".shstrtab" in said.stdout
    assert said.stderr == ""
