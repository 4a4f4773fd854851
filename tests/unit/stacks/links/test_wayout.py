"""The way out found in the code of functions, compared with the unwind tables of the same library."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.present import present
from tracer.machine import registers as arch
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.elf.cfi import RegisterPlus
from tracer.stacks.elf.debugfiles import Places
from tracer.stacks.elf.image import Image
from tracer.stacks.links import wayout

NEVER_RETURNS = re.compile("fail|abort|assert|fatal|exit|throw|terminate|longjmp|error|Unwind_Resume")
LIBRARIES = ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"]


class Text:
    """Reads the text section of a file, by address."""

    def __init__(self, path: str) -> None:
        sections = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True).stdout
        address, offset, size = present(re.search(r" \.text\s+PROGBITS\s+(\w+) (\w+) (\w+)", sections)).groups()
        self.start = int(address, 16)
        with open(path, "rb") as file:
            file.seek(int(offset, 16))
            self.code = file.read(int(size, 16))

    def read(self, address: int, size: int) -> bytes:
        begin = address - self.start
        if begin < 0 or begin + size > len(self.code):
            raise MemoryUnreadable("not in the text")
        return self.code[begin : begin + size]


@pytest.mark.parametrize("library", LIBRARIES)
def test_as_the_unwind_tables_say(library: str) -> None:
    """After each call where the CFA is rsp plus a number: the number and the saved registers are the same."""
    text = Text(library)
    image = present(Image.open(os.open(library, os.O_RDONLY), library, Places(lambda path: None)))
    command = ["objdump", "-d", "-j", ".text", library]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    calls = re.findall(r"\tcall +(.*)\n +([0-9a-f]+):", listing)[::7]
    wrong, right = [], 0
    for target, after in calls:
        address = int(after, 16)
        rule = image.rule(address - 1)
        if NEVER_RETURNS.search(target) or image.rule(address) is None or rule is None or rule.outermost:
            continue
        found = wayout.find(address, text.read)
        by_rsp = isinstance(rule.cfa, RegisterPlus) and rule.cfa.register == arch.RSP
        if not by_rsp or found is None or found.calls:
            continue
        if found.rule.cfa == rule.cfa and dict(found.rule.saved) == dict(rule.saved):
            right += 1
        else:
            wrong.append(hex(address))
    assert right > 500
    assert len(wrong) <= right / 50, (len(wrong), right, wrong)


@given(st.binary(max_size=300))
def test_any_code(code: bytes) -> None:
    """Random code gives no way out, or one with a plausible rule."""

    def read(address: int, size: int) -> bytes:
        if address < 0x1000 or address + size > 0x1000 + len(code):
            raise MemoryUnreadable("outside")
        return code[address - 0x1000 : address - 0x1000 + size]

    found = wayout.find(0x1000, read)
    assert found is None or isinstance(found.rule.cfa, RegisterPlus)
