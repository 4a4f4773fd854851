"""The least that a tracer can cost: an empty program on every hook that closetrace uses on this host.

``python -m tests.benchmarks.empty [WAY]``: WAY as for closetrace's ``--probes``.
"""

from __future__ import annotations

import signal
import sys

from tracer.kernel import bpf
from tracer.kernel.btf import Btf
from tracer.kernel.features import discover
from tracer.kernel.hooks import hooks_in
from tracer.kernel.kprobes import Kprobe
from tracer.kernel.plan import Attachment, make_plan

# r0 = 0; exit
_CODE = bytes.fromhex("b700000000000000 9500000000000000")


def _attach(hook: Attachment, btf_ids: dict[str, int]) -> object:
    """Attach an empty program. The result keeps it attached."""
    name = "empty"
    if hook.kind == "raw_tp":
        program = bpf.load_program(_CODE, bpf.PROG_RAW_TRACEPOINT, name, exits=False)
        return bpf.open_raw_tracepoint(program, hook.target)
    if hook.kind in ("fentry", "fexit"):
        exits, number = hook.kind == "fexit", btf_ids[hook.target]
        return bpf.open_trampoline(bpf.load_program(_CODE, bpf.PROG_TRACING, name, number, exits=exits))
    program = bpf.load_program(_CODE, bpf.PROG_KPROBE, name, exits=False)
    return Kprobe(program, hook.target, returns=hook.kind == "kretprobe")


def main() -> None:
    btf = Btf()
    plan = make_plan(discover(hooks_in(btf)), sys.argv[1] if len(sys.argv) > 1 else "auto")
    btf.close()
    attached = [_attach(hook, plan.features.btf_ids) for hook in plan.attachments()]
    print(f"attached {len(attached)}", file=sys.stderr, flush=True)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    signal.pause()


if __name__ == "__main__":
    main()
