"""Looks up in BTF which hooks and BPF helpers this kernel has, of those that closetrace can use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tracer.kernel.btf import KIND_FUNC, KIND_STRUCT, Btf

FUNCTIONS = (
    "tcp_set_state",
    "tcp_close",
    "tcp_shutdown",
    "inet_recvmsg",
    "inet6_recvmsg",
    "inet_sendmsg",
    "inet6_sendmsg",
    "inet_csk_accept",
    "tcp_v4_destroy_sock",
)
TRACEPOINTS = (
    "inet_sock_set_state",
    "sock_recv_length",
    "sock_send_length",
    "tcp_destroy_sock",
    "tcp_receive_reset",
    "tcp_send_reset",
    "sched_process_fork",
    "sched_process_exit",
    "sched_process_exec",
)
HELPERS = ("task_pt_regs", "get_current_task_btf", "get_current_ancestor_cgroup_id")
CAST, CAST_TO = "bpf_rdonly_cast", "tcp_sock"
"""A kernel function that makes a number an address of a structure, so that plain loads read it (since 6.2,
a35b9af4ec2c), and that structure.
"""


@dataclass(frozen=True)
class Hooks:
    """What this kernel has of FUNCTIONS, TRACEPOINTS and HELPERS.

    ``functions`` maps names to numbers of parameters, ``btf_ids`` maps the same names, and CAST and CAST_TO, to BTF
    type numbers.
    """

    functions: dict[str, int]
    btf_ids: dict[str, int]
    tracepoints: tuple[str, ...]
    helpers: tuple[str, ...]

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def from_text(text: str) -> Hooks:
    """Read what ``to_text`` wrote. Raises ValueError, KeyError or TypeError for any other text."""
    data = json.loads(text)
    return Hooks(dict(data["functions"]), dict(data["btf_ids"]), tuple(data["tracepoints"]), tuple(data["helpers"]))


def hooks_in(btf: Btf) -> Hooks:
    """Look them up in ``btf``."""
    functions = {name: count for name in FUNCTIONS if (count := btf.parameters(name)) is not None}
    numbers = {name: btf.find(name, KIND_FUNC) or 0 for name in functions}
    cast, to = btf.find(CAST, KIND_FUNC), btf.find(CAST_TO, KIND_STRUCT)
    if cast is not None and to is not None:
        numbers.update({CAST: cast, CAST_TO: to})
    return Hooks(
        functions=functions,
        btf_ids=numbers,
        tracepoints=tuple(name for name in TRACEPOINTS if btf.has_tracepoint(name)),
        helpers=tuple(name for name in HELPERS if btf.has_helper(name)),
    )


def read_hooks(read: Callable[[], Btf] = Btf) -> Hooks:
    """Look them up in the BTF that ``read`` opens."""
    btf = read()
    try:
        return hooks_in(btf)
    finally:
        btf.close()
