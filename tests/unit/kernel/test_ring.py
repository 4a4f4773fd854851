"""The ring buffer's reader on a real ring of this kernel, filled by a program that the kernel runs on request."""

from __future__ import annotations

import ctypes as ct
import os
import struct
from collections.abc import Iterator

import pytest

from tracer.kernel import bpf
from tracer.kernel.ring import Ring

RINGBUF, SIZE = 27, 4096

pytestmark = pytest.mark.root

PROG_LOAD = 5
_libc = ct.CDLL(None, use_errno=True)


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


def writer(ring: int) -> int:
    """A raw tracepoint program: bpf_ringbuf_output(ring, &ctx->args[0], 24, 0), its result returned."""
    code = b"".join(
        (
            insn(0x79, 2, 1, 0),  # r2 = args[0]
            insn(0x7B, 10, 2, -24),
            insn(0x7B, 10, 2, -16),
            insn(0x7B, 10, 2, -8),
            insn(0x18, 1, 1, 0, ring),
            insn(0),
            insn(0xBF, 2, 10),
            insn(0x07, 2, 0, 0, -24),
            insn(0xB7, 3, 0, 0, 24),
            insn(0xB7, 4, 0, 0, 0),
            insn(0x85, 0, 0, 0, 130),
            insn(0x95),
        )
    )
    text, licence = ct.create_string_buffer(code, len(code)), ct.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "<IIQQ", bpf.PROG_RAW_TRACEPOINT, len(code) // 8, ct.addressof(text), ct.addressof(licence)
    )
    buffer = ct.create_string_buffer(attributes, 128)
    descriptor = int(_libc.syscall(321, PROG_LOAD, buffer, len(buffer)))
    assert descriptor >= 0, os.strerror(ct.get_errno())
    return descriptor


@pytest.fixture
def ring() -> Iterator[tuple[Ring, int]]:
    attributes = ct.create_string_buffer(struct.pack("<IIIII", RINGBUF, 0, 0, SIZE, 0), 72)
    descriptor = int(_libc.syscall(321, 0, attributes, len(attributes)))
    assert descriptor >= 0, os.strerror(ct.get_errno())
    program = writer(descriptor)
    reader = Ring(descriptor, SIZE)
    yield reader, program
    reader.close()
    os.close(program)
    os.close(descriptor)


def test_all_that_was_taken_in_comes_out_in_order(ring: tuple[Ring, int]) -> None:
    """Through many wraps: what the kernel accepted is read once, in order; what it refused was refused for room."""
    reader, program = ring
    accepted: list[int] = []
    found: list[bytes] = []
    for number in range(1, 2001):
        if bpf.run_raw_tracepoint(program, (number,)) == 0:
            accepted.append(number)
        if number % 300 == 0:
            reader.wait(1000)
            found += reader.read()
    found += reader.read()
    assert found == [struct.pack("<QQQ", number, number, number) for number in accepted]
    assert 7 * 100 < len(accepted) < 2000
    assert reader.read() == []


def test_records_of_one_size_are_unpacked(ring: tuple[Ring, int]) -> None:
    """The same records as read() gives, through many turns of the buffer, and the kernel's count of what it put in."""
    reader, program = ring
    layout = struct.Struct("<8x3Q")
    sent = 0
    for many in (1, 100, 127, 3, 60, 127):
        assert [bpf.run_raw_tracepoint(program, (sent + n,)) for n in range(many)] == [0] * many
        assert reader.unpack(layout) == [(sent + n,) * 3 for n in range(many)]
        sent += many
        assert reader.produced == sent * layout.size
    assert reader.unpack(layout) == []


def test_a_record_of_another_size_is_told(ring: tuple[Ring, int]) -> None:
    """What does not fit the layout is an error, never a wrong value."""
    reader, program = ring
    bpf.run_raw_tracepoint(program, (1,))
    bpf.run_raw_tracepoint(program, (2,))
    with pytest.raises(ValueError, match="24"):
        reader.unpack(struct.Struct("<8x4Q"))
