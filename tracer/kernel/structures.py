"""Declares in C the kernel structures that bpf/ reads: only the fields that it reads, at their offsets in this kernel.

libbpf's dumper would write whole structures. But a libbpf that is older than the kernel gets some of them wrong: libbpf
1.1 leaves out members that are a tagged struct without a name (``socket_lock_t`` since Linux 7.1), and puts ``thread``
of 7.2's ``task_struct`` in another place. Here each field is a union member with its own padding before it, so the
place of one field cannot depend on another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from tracer.errors import HostUnsupported
from tracer.kernel.btf import Btf

FIELDS: Mapping[str, tuple[str, ...]] = {
    "struct bpf_raw_tracepoint_args": (),
    "struct ns_common": ("inum",),
    "struct net": ("ns",),
    "possible_net_t": ("net",),
    "struct super_block": ("s_dev",),
    "struct inode": ("i_ino", "i_size", "i_sb"),
    "struct file": ("f_inode",),
    "struct fdtable": (),
    "struct files_struct": (),
    "struct proc_inode": (),
    "struct pid": (),
    "struct rq": (),
    "struct cfs_rq": (),
    "struct sched_entity": (),
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
    "struct mm_struct": ("start_stack", "exe_file"),
    "struct signal_struct": ("live",),
    "struct thread_struct": ("fsbase",),
    "struct task_struct": ("flags", "stack", "mm", "thread", "pid", "tgid", "comm", "signal"),
    "struct pt_regs": (),
}
"""The fields that closetrace needs, by type. A type stands before the types that contain it. A type in _WHOLE is
declared whole, because its layout is ABI.
"""

OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "struct fdtable": ("fd",),
    "struct files_struct": ("fdt",),
    "struct proc_inode": ("pid", "vfs_inode"),
    "struct pid": ("tasks",),
    "struct rq": ("clock", "clock_task"),
    "struct cfs_rq": ("rq",),
    "struct sched_entity": ("exec_start", "cfs_rq"),
    "struct task_struct": ("files", "pid_links", "nvcsw", "nivcsw", "on_cpu", "__state", "state", "se"),
}
"""Fields that not every kernel has. bpf/ gets a macro for each one that is there, such as CT_HAVE_PROC_INODE_PID."""

_WHOLE = {
    "struct bpf_raw_tracepoint_args": "struct bpf_raw_tracepoint_args { u64 args[0]; };\n",
    "struct pt_regs": (
        "struct pt_regs { unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, "
        "ip, cs, flags, sp, ss; };\n"
    ),
}


@dataclass(frozen=True)
class Member:
    """A field. ``offset`` and ``size`` are in bytes. ``type`` is its C type; "" declares it as plain bytes."""

    name: str
    offset: int
    size: int
    type: str


def declarations(btf: Btf) -> str:
    """C declarations of all FIELDS, and of those OPTIONAL fields that this kernel has.

    Raises HostUnsupported that names the first field of FIELDS that this kernel does not have.
    """
    names = [name.split()[-1] for name in FIELDS if name.startswith("struct ")]
    text = "".join(f"struct {name};\n" for name in names)
    declared: set[str] = set()
    for name in FIELDS:
        whole = _WHOLE.get(name)
        members = () if whole else _members(btf, name, declared)
        if whole or members:
            text += whole or _declaration(name, members)
            declared.add(name)
    return text


def _members(btf: Btf, name: str, declared: Collection[str]) -> tuple[Member, ...]:
    needed = [_member(btf, name, field, declared) for field in FIELDS[name]]
    for field, member in zip(FIELDS[name], needed):
        if member is None:
            raise HostUnsupported(
                f"this kernel's {name} has no field {field}, so closetrace does not work on it. "
                "Please report this, with the files that `closetrace doctor --dump DIR` writes"
            )
    others = [_member(btf, name, field, declared) for field in OPTIONAL.get(name, ())]
    return tuple(member for member in (*needed, *others) if member is not None)


def _declaration(name: str, members: Sequence[Member]) -> str:
    lines = "".join(f"\t\t{_placed(index, member)}\n" for index, member in enumerate(members))
    body = f"{{\n\tunion {{\n{lines}\t}};\n}}"
    declared = f"{name} {body};\n" if name.startswith("struct ") else f"typedef struct {body} {name};\n"
    optional = OPTIONAL.get(name, ())
    return declared + "".join(
        f'_Static_assert(__builtin_offsetof({name}, {m.name}) == {m.offset}, "{m.name}");\n'
        + (f"#define CT_HAVE_{name.split()[-1].upper()}_{m.name.upper()} 1\n" if m.name in optional else "")
        for m in members
    )


def _placed(index: int, member: Member) -> str:
    kind = f"{member.type} {member.name}" if member.type else f"char {member.name}[{member.size}]"
    padding = f"char __before{index}[{member.offset}]; " if member.offset else ""
    return f"struct {{ {padding}{kind}; }};"


def _member(btf: Btf, name: str, field: str, declared: Collection[str]) -> Optional[Member]:
    found = btf.member(name.split()[-1], field, typedef=not name.startswith("struct "))
    if found is None:
        return None
    offset, size, kind = found
    known = kind in declared or kind.endswith("*") or kind in ("u8", "u16", "u32", "u64")
    return Member(field, offset, size, kind if known else "")
