"""The peers of `make bench-vm`: a distribution's kernel with kprobes, fentry and installed headers."""

from __future__ import annotations

import dataclasses

from tests.benchmarks import tracers
from tests.benchmarks.tracers import Tracer

WAYS = ("kprobe", "fentry")
_COMPILE_S = 300.0
"""bcc's tools compile with all kernel headers. That takes minutes on an emulated CPU of a busy machine."""

_SETTLE_S = 4.0
"""bcc's tools load a program before everything is attached, and all that they print is buffered."""


def stacks() -> list[Tracer]:
    """The peers that take user stacks, and the empty program on the same hooks."""
    empty = [Tracer(f"empty program, {way}", (*tracers.EMPTY.command, way)) for way in WAYS]
    naive = Tracer("naive bcc", (*tracers.NAIVE.command, "--kprobes"))
    bpftrace = tracers.bpftrace("kprobe:tcp_recvmsg", "kprobe:tcp_sendmsg", "tracepoint:sock:inet_sock_set_state")
    ours = [
        dataclasses.replace(tracers.closetrace("--probes", way, name=f"closetrace, {way}"), start_limit_s=_COMPILE_S)
        for way in WAYS
    ]
    return [*ours, *empty, naive, dataclasses.replace(bpftrace, settle_s=_SETTLE_S)]


def states() -> list[Tracer]:
    """The peers that see connections and take no stacks: tools of bcc and of libbpf-tools, as Debian names them."""
    return [
        Tracer(
            f"{suite} {name}",
            (f"{name}{suffix}",),
            ready="",
            surroundings=tracers.TRACEFS,
            settle_s=_SETTLE_S,
            start_limit_s=_COMPILE_S,
        )
        for suite, suffix in (("bcc", "-bpfcc"), ("libbpf", ""))
        for name in ("tcpstates", "tcplife")
    ]


def empty_for(tracer: str) -> str:
    """The empty program on the hooks of this tracer."""
    return f"empty program, {'fentry' if tracer.endswith('fentry') else 'kprobe'}"
