"""The ctypes mirror against bpf/record.h, as a C compiler lays it out."""

from __future__ import annotations

import ctypes as ct
import re

import pytest

from tests.unit.cc import output
from tracer.flight import boxes, decode, layout
from tracer.kernel.headers import bpf_directory
from tracer.kernel.source import DEEP_STACK, FAR_SHARE, SMALL_STACK, STASHED
from tracer.model.frame import WordsEnd
from tracer.model.states import Op

RECORD_H = bpf_directory() / "record.h"

TYPES = """
#include <stddef.h>
#include <stdio.h>
typedef signed char s8; typedef unsigned char u8; typedef short s16; typedef unsigned short u16;
typedef int s32; typedef unsigned int u32; typedef long long s64; typedef unsigned long long u64;
enum { BPF_FUNC_probe_read_user = 112, BPF_FUNC_probe_read_kernel = 113 };
#define CT_STACK_BYTES 16384
#define CT_DEEP_STACK 65536
"""

MIRRORS = {
    "ct_touch": layout.Touch,
    "ct_transition": layout.Transition,
    "ct_record": layout.Record,
    "ct_bucket": layout.Bucket,
    "ct_marks": layout.Marks,
    "ct_event": layout.Event,
    "ct_box_head": layout.BoxHead,
    "ct_interpreter": layout.Interpreter,
}


def c_fields(struct: str) -> list[str]:
    body = re.search(rf"struct {struct} {{(.*?)\n}};", RECORD_H.read_text(), re.DOTALL)
    assert body is not None
    text = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    return re.findall(r"(\w+)(?:\[\w+\])?;", text)


@pytest.fixture(scope="module")
def c_layout() -> dict[str, tuple[int, int]]:
    """(offset, size) of "struct.field" and (0, size) of "struct", as the compiler has them."""
    lines = []
    for struct in (*MIRRORS, "ct_box", "ct_small_box", "ct_deep_box"):
        lines.append(f'printf("{struct} 0 %zu\\n", sizeof(struct {struct}));')
        lines += [
            f'printf("{struct}.{name} %zu %zu\\n", offsetof(struct {struct}, {name}), '
            f"sizeof(((struct {struct} *)0)->{name}));"
            for name in c_fields(struct)
        ]
    source = f'{TYPES}#include "{RECORD_H}"\nint main(void) {{ {" ".join(lines)} return 0; }}'
    table = (line.split() for line in output(source).splitlines())
    return {name: (int(offset), int(size)) for name, offset, size in table}


@pytest.mark.parametrize("struct", MIRRORS)
def test_every_field_lies_where_the_compiler_puts_it(struct: str, c_layout: dict[str, tuple[int, int]]) -> None:
    """Names, order, offsets and sizes of the mirror are those of the C structure."""
    mirror = MIRRORS[struct]
    names = [name for name, *_ in mirror._fields_]
    assert names == c_fields(struct)
    ours = {name: (getattr(mirror, name).offset, getattr(mirror, name).size) for name in names}
    assert ours == {name: c_layout[f"{struct}.{name}"] for name in names}


@pytest.mark.parametrize("struct", MIRRORS)
def test_whole_structures_have_the_compilers_size(struct: str, c_layout: dict[str, tuple[int, int]]) -> None:
    """The mirror has no padding that the C structure lacks, and the other way round."""
    assert (0, ct.sizeof(MIRRORS[struct])) == c_layout[struct]


def test_the_stack_of_a_box_follows_its_header(c_layout: dict[str, tuple[int, int]]) -> None:
    """The reader takes the stack from right after the header."""
    for box, stack_bytes in (("ct_box", 16384), ("ct_small_box", SMALL_STACK), ("ct_deep_box", DEEP_STACK)):
        assert c_layout[f"{box}.stack"] == (ct.sizeof(layout.BoxHead), stack_bytes)
        assert c_layout[box][1] == ct.sizeof(layout.BoxHead) + stack_bytes


def test_stacks_begin_on_word_boundaries(c_layout: dict[str, tuple[int, int]]) -> None:
    """Boxes lie one after another in the array map, whose elements the kernel rounds up to 8 bytes."""
    assert c_layout["ct_box"][1] % 8 == 0
    assert c_layout["ct_small_box"][1] % 8 == 0
    assert c_layout["ct_deep_box"][1] % 8 == 0
    assert c_layout["ct_record"][1] % 8 == 0


def test_records_and_buckets_keep_to_cache_lines(c_layout: dict[str, tuple[int, int]]) -> None:
    """What each hook needs of a record lies in its first lines."""
    assert c_layout["ct_record"][1] % 64 == 0
    assert c_layout["ct_bucket"][1] == 64
    assert c_layout["ct_record.last"][0] == 128
    assert c_layout["ct_record.transitions"][0] % 64 == 0


def test_the_first_box_of_each_pool_lies_at_index_0() -> None:
    """The handles that fill the free lists are those that the kernel side turns into places in the pools."""
    prints = "".join(
        f'printf("%u ", CT_BOX_INDEX({handle}u));'
        for handle in (layout.FIRST_BOX, layout.FIRST_SMALL_BOX, layout.FIRST_DEEP_BOX)
    )
    assert output(f'{TYPES}#include "{RECORD_H}"\nint main(void) {{ {prints} return 0; }}') == "0 0 0 "
    assert layout.FIRST_SMALL_BOX & layout.SMALL_BOX
    assert layout.FIRST_DEEP_BOX & layout.DEEP_BOX
    assert not layout.FIRST_BOX & (layout.SMALL_BOX | layout.DEEP_BOX)


def c_constants() -> dict[str, int]:
    text = re.sub(r"/\*.*?\*/", "", RECORD_H.read_text(), flags=re.DOTALL)
    names = re.findall(r"^\s+(CT_\w+) = \d+,", text, re.MULTILINE)
    names += re.findall(r"^#define (CT_\w+) (?!\(__builtin)[^\\\n]+$", text, re.MULTILINE)
    prints = " ".join(f'printf("{name} %u\\n", (unsigned){name});' for name in names)
    source = f'{TYPES}#include "{RECORD_H}"\nint main(void) {{ {prints} return 0; }}'
    return {name: int(value) for name, value in (line.split() for line in output(source).splitlines())}


def test_constants_are_those_of_the_header() -> None:
    """Every flag, operation, box kind and counter of record.h has its equal here, and none is left out."""
    ours = {f"CT_OP_{op.name}": int(op) for op in Op}
    ours |= {f"CT_{name}": getattr(layout, name) for name in vars(layout) if re.match(r"(TOUCH|TR|R)_", name)}
    ours |= {f"CT_WHICH_{name.upper()}": number for name, number in layout.WHICH.items()}
    ours |= {"CT_TRANSITIONS": layout.TRANSITIONS, "CT_COUNTERS": len(layout.COUNTERS)}
    ours |= {"CT_STASHED": STASHED, "CT_WAYS": layout.WAYS, "CT_PROBES": layout.PROBES}
    ours |= {"CT_SMALL_BOX": layout.SMALL_BOX, "CT_SMALL_STACK": SMALL_STACK, "CT_DEEP_BOX": layout.DEEP_BOX}
    ours |= {"CT_FAR_SHARE": FAR_SHARE, "CT_MOST_FRAMES": layout.MOST_FRAMES}
    ours |= {"CT_FRAMES_PENDING": layout.FRAMES_PENDING, "CT_WORDS_BYTES": layout.WORDS_BYTES}
    ours |= {"CT_INTERPRETER_VALUES": layout.INTERPRETER_VALUES}
    ours |= {f"CT_FRAMES_{end.name}": int(end) for end in WordsEnd}
    for index, name in enumerate(layout.COUNTERS):
        ours[f"CT_{name.upper()}" if name.startswith("lost") else f"CT_N_{name.upper()}"] = index
    theirs = c_constants()
    # Of no concern here: the page, the pt_regs that user space maps by kernel/arch.py, boxes that events own.
    kernel_only = {"CT_PAGE", "CT_REGISTERS", "CT_WHICH_EVENT"}
    assert ours == {name: value for name, value in theirs.items() if name not in kernel_only}
    assert theirs["CT_REGISTERS"] == len(layout.BoxHead().registers)


def test_formats_that_are_unpacked_at_once_are_the_same_layout() -> None:
    """What is read by format strings: whatever the bytes, the fields are the mirror's."""
    for format_, mirror in (
        (boxes._BOX, layout.BoxHead),
        (decode._TOUCH, layout.Touch),
        (decode._TRANSITION, layout.Transition),
    ):
        data = bytes(range(1, 252))[: ct.sizeof(mirror)].ljust(ct.sizeof(mirror), b"\x5a")
        fields = [getattr(mirror.from_buffer_copy(data), name) for name, *_ in mirror._fields_]
        flat = [part for field in fields for part in ([field] if isinstance(field, (int, bytes)) else list(field))]
        assert list(format_.unpack(data)) == flat
