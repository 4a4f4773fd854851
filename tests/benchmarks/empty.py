"""The least that a tracer can cost: a program that does nothing on every hook that closetrace uses here."""

from __future__ import annotations

import signal
import sys

from tracer.kernel import syscalls
from tracer.kernel.features import TRACEPOINTS


def main() -> None:
    program = syscalls.load_empty(syscalls.PROG_RAW_TRACEPOINT)
    for name in TRACEPOINTS:
        if name != "sched_process_fork":
            syscalls.open_raw_tracepoint(program, name)
    print("attached", file=sys.stderr, flush=True)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    signal.pause()


if __name__ == "__main__":
    main()
