"""The kernel structures that bpf/ reads, as C with exactly the fields that it reads, each at its offset in this kernel.

libbpf's dumper would give the structures whole, but a release that is older than the kernel gets newer ones wrong:
libbpf 1.1 leaves out members that are a tagged struct without a name (``socket_lock_t`` since Linux 7.1), and lays
7.2's ``task_struct`` out with ``thread`` in another place. Here every field is a union member behind padding of its
own, so no field's place can depend on another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer.errors import HostUnsupported
from tracer.kernel.btf import Btf

FIELDS: Mapping[str, tuple[str, ...]] = {
    "struct bpf_raw_tracepoint_args": (),
    "struct ns_common": ("inum",),
    "struct net": ("ns",),
    "possible_net_t": ("net",),
    "struct inode": ("i_ino",),
    "struct file": ("f_inode",),
    "struct sock_common": (
        "skc_family",
        "skc_state",
        "skc_net",
        "skc_cookie",
        "skc_daddr",
        "skc_rcv_saddr",
        "skc_v6_daddr",
        "skc_v6_rcv_saddr",
        "skc_dport",
        "skc_num",
    ),
    "socket_lock_t": ("owned",),
    "struct sock": ("__sk_common", "sk_protocol", "sk_socket", "sk_lock"),
    "struct socket": ("sk", "file"),
    "struct inet_sock": ("inet_sport",),
    "struct tcp_sock": ("rcv_nxt", "copied_seq"),
    "struct mm_struct": ("start_stack",),
    "struct signal_struct": ("live",),
    "struct thread_struct": ("fsbase",),
    "struct task_struct": ("flags", "stack", "mm", "thread", "pid", "tgid", "comm", "signal"),
    "struct pt_regs": (),
}
"""By type, what is contained before what contains it. A type without fields is given whole: its layout is ABI."""

_WHOLE = {
    "struct bpf_raw_tracepoint_args": "struct bpf_raw_tracepoint_args { u64 args[0]; };\n",
    "struct pt_regs": (
        "struct pt_regs { unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, "
        "ip, cs, flags, sp, ss; };\n"
    ),
}


@dataclass(frozen=True)
class Member:
    """A field: ``offset`` and ``size`` in bytes, ``type`` as it is spelled in C, or "" for bytes without meaning."""

    name: str
    offset: int
    size: int
    type: str


def declarations(btf: Btf) -> str:
    """All of FIELDS as C. Raises HostUnsupported naming the first field that this kernel does not have."""
    names = [name.split()[-1] for name in FIELDS if name.startswith("struct ")]
    forward = "".join(f"struct {name};\n" for name in names)
    return forward + "".join(_WHOLE.get(name) or _declare(btf, name) for name in FIELDS)


def _declare(btf: Btf, name: str) -> str:
    members = [_member(btf, name, field) for field in FIELDS[name]]
    lines = "".join(f"\t\t{_placed(index, member)}\n" for index, member in enumerate(members))
    body = f"{{\n\tunion {{\n{lines}\t}};\n}}"
    declared = f"{name} {body};\n" if name.startswith("struct ") else f"typedef struct {body} {name};\n"
    return declared + "".join(
        f'_Static_assert(__builtin_offsetof({name}, {m.name}) == {m.offset}, "{m.name}");\n' for m in members
    )


def _placed(index: int, member: Member) -> str:
    kind = f"{member.type} {member.name}" if member.type else f"char {member.name}[{member.size}]"
    padding = f"char __before{index}[{member.offset}]; " if member.offset else ""
    return f"struct {{ {padding}{kind}; }};"


def _member(btf: Btf, name: str, field: str) -> Member:
    found = btf.member(name.split()[-1], field, typedef=not name.startswith("struct "))
    if found is None:
        raise HostUnsupported(f"this kernel's {name} has no field {field}: closetrace does not know this kernel")
    offset, size, kind = found
    known = kind in FIELDS or kind.endswith("*") or kind in ("u8", "u16", "u32", "u64")
    return Member(field, offset, size, kind if known else "")
