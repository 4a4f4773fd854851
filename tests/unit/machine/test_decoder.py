"""The little decoder against objdump, over every instruction of the C library and of libstdc++."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.machine.decoder import Kind, decode

PREFIXES = re.compile(r"^((bnd|notrack|lock|rep\w*|cs|ds|data16|rex\S*|addr32) )+")
LIBRARIES = ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"]


def disassembled(library: str) -> Iterator[tuple[bytes, str, str]]:
    """List (bytes, mnemonic, operands) of all instructions of a library's text, as objdump sees them."""
    command = ["objdump", "-d", "--insn-width=15", "--section=.text", library]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        match = re.match(r"\s+[0-9a-f]+:\t((?:[0-9a-f]{2} )+)\s*\t(.*)$", line)
        if match:
            words = re.sub(r"^((bnd|notrack|lock|rep\w*|cs|ds|data16|rex\S*|addr32) )+", "", match.group(2)).split(
                None, 1
            )
            yield bytes.fromhex(match.group(1)), words[0], words[1] if len(words) > 1 else ""


@pytest.mark.parametrize("library", LIBRARIES)
def test_lengths_and_kinds_are_those_of_objdump(library: str) -> None:
    """Every instruction has objdump's length; stack and control flow instructions are known as such."""
    counts = dict.fromkeys(Kind, 0)
    instructions = list(disassembled(library))
    times = Counter(code for code, _, _ in instructions)
    # Each one is decoded once: the same bytes are the same instruction, a jump's target in objdump's text apart.
    for code, mnemonic, operands in {one[0]: one for one in instructions}.values():
        if mnemonic == "(bad)" or "." in mnemonic:
            continue
        found = decode(code + b"\x90" * 15)
        assert found is not None, (code.hex(), mnemonic, operands)
        assert found.length == len(code), (code.hex(), mnemonic, operands)
        kind = expected_kind(mnemonic, operands)
        assert found.kind is kind or kind is None, (code.hex(), mnemonic, operands, found)
        counts[found.kind] += times[code]
    assert min(counts[kind] for kind in (Kind.PUSH, Kind.POP, Kind.ADJUST, Kind.RETURN, Kind.LOAD, Kind.BRANCH)) > 500


def expected_kind(mnemonic: str, operands: str) -> Optional[Kind]:
    """Tell what objdump's text means for the way out; None where either answer will do."""
    simple = {"push": Kind.PUSH, "pop": Kind.POP, "ret": Kind.RETURN, "leave": Kind.LEAVE, "call": Kind.CALL}
    simple.update({"hlt": Kind.DEAD_END, "ud2": Kind.DEAD_END, "int3": Kind.DEAD_END, "endbr64": Kind.DEAD_END})
    if mnemonic == "pop" and "(" in operands:
        return Kind.ADJUST
    if mnemonic in simple:
        return simple[mnemonic]
    if mnemonic == "jmp":
        return Kind.DEAD_END if operands.startswith("*") else Kind.JUMP
    if mnemonic.startswith(("j", "loop")):
        return Kind.BRANCH
    if re.fullmatch(r"(add|sub)", mnemonic) and re.fullmatch(r"\$.*,%rsp", operands):
        return Kind.ADJUST
    if operands.endswith(",%rsp"):
        return None
    if re.fullmatch(r"mov +(-?0x[0-9a-f]+)?\(%r[sb]p\),%r(\d\d?|[a-z]{2})", f"{mnemonic} {operands}"):
        return Kind.LOAD
    if f"{mnemonic} {operands}" == "mov %rsp,%rbp":
        return Kind.DEAD_END
    return Kind.OTHER


@given(st.binary(max_size=20))
def test_any_bytes(code: bytes) -> None:
    """Garbage is no instruction or one within its bytes."""
    found = decode(code)
    assert found is None or 0 < found.length <= len(code)
