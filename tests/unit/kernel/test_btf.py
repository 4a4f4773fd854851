"""What we read from BTF, against the kernel's own words and against a C compiler."""

from __future__ import annotations

import ctypes as ct
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Optional, cast

import pytest

from tests.unit.cc import output
from tests.unit.present import present
from tracer.errors import HostUnsupported
from tracer.kernel.btf import KIND_STRUCT, Btf
from tracer.kernel.hooks import FUNCTIONS
from tracer.kernel.structures import FIELDS, OPTIONAL, declarations


@pytest.fixture(scope="module")
def btf() -> Iterator[Btf]:
    opened = Btf()
    yield opened
    opened.close()


def own_numbers(btf: Btf, struct: str) -> tuple[int, dict[str, int]]:
    """Size and byte offsets of plain members as BTF records them (struct btf_member: name, type, bit offset)."""
    number = btf.find(struct, KIND_STRUCT)
    assert number is not None
    kind, at = btf._type(number)
    offsets = {}
    for index in range(kind.vlen):
        name, _, bits = (ct.c_uint32 * 3).from_address(at + 12 * index)
        if bits < 1 << 24 and bits % 8 == 0 and btf._name(name):  # the top byte holds a bit field's width
            offsets[btf._name(name)] = bits // 8
    return kind.size_or_type, offsets


def fields_of(struct: str) -> tuple[str, ...]:
    return FIELDS[f"struct {struct}"] + OPTIONAL.get(f"struct {struct}", ())


STRUCTS = [name.split()[1] for name in FIELDS if name.startswith("struct ") and fields_of(name.split()[1])]


@pytest.mark.parametrize("struct", STRUCTS)
def test_generated_c_has_the_kernels_offsets(btf: Btf, struct: str) -> None:
    """gcc lays the generated fields out where the kernel has them, as its BTF lists them plainly."""
    _, offsets = own_numbers(btf, struct)
    fields = [field for field in fields_of(struct) if field in offsets]
    prints = "".join(f'printf("{name} %zu\\n", __builtin_offsetof(struct {struct}, {name}));' for name in fields)
    types = "typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long u64;\n"
    main = f"int printf(const char *, ...);\nint main(void) {{ {prints} return 0; }}"
    lines = output(f"{types}{declarations(btf)}{main}", "-fno-builtin").splitlines()
    assert {name: int(offset) for name, offset in (line.split() for line in lines)} == {n: offsets[n] for n in fields}


class Lacking:
    """A kernel's BTF without some of its fields."""

    def __init__(self, btf: Btf, *fields: str) -> None:
        self._btf, self._fields = btf, fields

    def member(self, type_name: str, field: str, *, typedef: bool = False) -> Optional[tuple[int, int, str]]:
        return None if field in self._fields else self._btf.member(type_name, field, typedef=typedef)


def test_optional_fields_are_told_by_macros(btf: Btf) -> None:
    """bpf/ sees which there are; without all of a type's fields the rest still compiles."""
    assert "#define CT_HAVE_PROC_INODE_PID 1\n" in declarations(btf)
    assert ("#define CT_HAVE_TASK_STRUCT___STATE 1\n" in declarations(btf)) == bool(
        btf.member("task_struct", "__state")
    )
    text = declarations(cast(Btf, Lacking(btf, "on_cpu", "exec_start", "cfs_rq")))
    assert "ON_CPU" not in text
    assert "CT_HAVE_SCHED_ENTITY" not in text
    types = "typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long u64;\n"
    assert output(f"{types}{text}int main(void) {{ return 0; }}", "-fno-builtin") == ""


def test_a_field_that_is_needed_is_named(btf: Btf) -> None:
    """A kernel without a field that the C text reads is refused, by the field's name."""
    with pytest.raises(HostUnsupported, match="struct task_struct has no field tgid"):
        declarations(cast(Btf, Lacking(btf, "tgid")))


def test_fields_inside_members_without_a_name(btf: Btf) -> None:
    """skc_daddr lies in a union in a struct in a union: the ports' and addresses' places are ABI of the lookup code."""
    daddr, rcv_saddr = btf.member("sock_common", "skc_daddr"), btf.member("sock_common", "skc_rcv_saddr")
    assert daddr is not None
    assert rcv_saddr is not None
    # inet_ehashfn's callers compare both as one 64-bit word: INET_ADDR_COOKIE (include/net/inet_hashtables.h)
    assert rcv_saddr[0] == daddr[0] + 4
    assert daddr[1:] == (4, "u32")


def test_types_of_fields(btf: Btf) -> None:
    """Pointers name what they point to, typedefs keep their name, what is neither is left without a type."""
    assert present(btf.member("sock", "sk_socket"))[1:] == (8, "struct socket *")
    assert present(btf.member("sock", "sk_lock"))[2] == "socket_lock_t"
    assert present(btf.member("sock_common", "skc_v6_daddr"))[1] == 16
    assert btf.member("sock", "closetrace_does_not_exist") is None


def test_functions_are_those_of_the_running_kernel(btf: Btf) -> None:
    """A function that BTF knows is in kallsyms too; parameter counts are those of the kernel's source."""
    symbols = {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}
    for function in FUNCTIONS:
        if btf.parameters(function) is not None:
            assert function in symbols
    assert btf.parameters("tcp_set_state") == 2
    assert btf.parameters("inet_recvmsg") == 4
    assert btf.parameters("closetrace_does_not_exist") is None


def test_tracepoints_are_those_of_the_running_kernel(btf: Btf) -> None:
    """Each has the function that calls its probes in kallsyms."""
    symbols = {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}
    for name in ("inet_sock_set_state", "tcp_destroy_sock", "sched_process_fork", "sock_recv_length"):
        assert btf.has_tracepoint(name) == (f"__traceiter_{name}" in symbols)
    assert not btf.has_tracepoint("closetrace_does_not_exist")


def test_helpers(btf: Btf) -> None:
    """Helpers are told by their full name, not by a prefix."""
    assert btf.has_helper("get_current_task")
    assert not btf.has_helper("get_current_tas")
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release >= (5, 15):  # dd6e10fbd9fb
        assert btf.has_helper("task_pt_regs")


@pytest.mark.parametrize("content", [None, b"", b"no BTF at all", b"\x9f\xeb\x01\x00" + b"\xff" * 60])
def test_unreadable_type_information_is_one_clear_sentence(tmp_path: Path, content: object) -> None:
    """Missing, empty, foreign or damaged: the path is named."""
    path = tmp_path / "vmlinux"
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(HostUnsupported, match=str(path)):
        Btf(str(path))


def test_missing_libbpf_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """For apt and for dnf."""

    def no_library(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ct, "CDLL", no_library)
    with pytest.raises(HostUnsupported, match=r"libbpf1 \(apt\).*dnf"):
        Btf()


def test_closing_frees(btf: Btf) -> None:
    """Opening and closing again and again does not grow the process."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    Btf().close()
    before = resident()
    for _ in range(8):
        Btf().close()
    assert resident() - before < 32 << 20
