"""Hosts as the attach plan sees them, frozen from real kernels."""

from __future__ import annotations

from dataclasses import replace

from tracer.kernel.features import Features
from tracer.kernel.hooks import FUNCTIONS, HELPERS, TRACEPOINTS

ARGUMENTS = {
    name: {"inet_csk_accept": 2, "tcp_v4_destroy_sock": 1, "tcp_set_state": 2}.get(name, 4) for name in FUNCTIONS
}

MODERN = Features(
    release="6.12.30",
    functions=ARGUMENTS,
    tracepoints=frozenset(TRACEPOINTS),
    helpers=frozenset(HELPERS),
    trampolines=True,
    kprobes=frozenset(FUNCTIONS),
)

HARDENED = replace(
    MODERN,
    release="6.18.44",
    trampolines=False,
    kprobes=frozenset(),
    refused={
        "fentry": "the kernel refuses them (Operation not permitted)",
        "kprobe": "this kernel is built without kprobes",
    },
)
"""No kprobes, and programs of type tracing are refused: only raw tracepoints attach."""

BULLSEYE = replace(
    MODERN,
    release="5.10.0-35-amd64",
    functions={**ARGUMENTS, "inet_csk_accept": 4},
    tracepoints=frozenset(TRACEPOINTS) - {"sock_recv_length", "sock_send_length"},
    helpers=frozenset({"get_current_ancestor_cgroup_id"}),
)

NOTHING = Features("4.4.0")
