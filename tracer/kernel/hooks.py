"""What the kernel's BTF says about the places that we might hook, and about the helpers that we might call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tracer.kernel.btf import KIND_FUNC, Btf

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
)
HELPERS = ("task_pt_regs", "get_current_task_btf", "get_current_ancestor_cgroup_id")


@dataclass(frozen=True)
class Hooks:
    """Those of FUNCTIONS (with their number of parameters, and their BTF type number), TRACEPOINTS and HELPERS that
    this kernel has.
    """

    functions: dict[str, int]
    btf_ids: dict[str, int]
    tracepoints: tuple[str, ...]
    helpers: tuple[str, ...]

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def from_text(text: str) -> Hooks:
    """What ``to_text`` wrote; ValueError, KeyError or TypeError for anything else."""
    data = json.loads(text)
    return Hooks(dict(data["functions"]), dict(data["btf_ids"]), tuple(data["tracepoints"]), tuple(data["helpers"]))


def hooks_in(btf: Btf) -> Hooks:
    """Look all of them up."""
    functions = {name: count for name in FUNCTIONS if (count := btf.parameters(name)) is not None}
    return Hooks(
        functions=functions,
        btf_ids={name: btf.find(name, KIND_FUNC) or 0 for name in functions},
        tracepoints=tuple(name for name in TRACEPOINTS if btf.has_tracepoint(name)),
        helpers=tuple(name for name in HELPERS if btf.has_helper(name)),
    )


def read_hooks(read: Callable[[], Btf] = Btf) -> Hooks:
    """The same from BTF itself, opened by ``read``."""
    btf = read()
    try:
        return hooks_in(btf)
    finally:
        btf.close()
