"""Attaches kprobes and kretprobes with bcc's library, which can set maxactive: perf_event_open(2) cannot."""

from __future__ import annotations

import os

from tracer.errors import HostUnsupported
from tracer.kernel.bcclib import quietly, require_bcc

# A blocked receive holds a kretprobe instance for as long as it waits; kernels with rethook allow 4096 at most.
_MAXACTIVE = 4096


class Kprobe:
    """One attached probe. close() detaches it."""

    def __init__(self, program: int, function: str, *, returns: bool) -> None:
        """Attach a loaded program to the entry of ``function``, or to its return. Raises HostUnsupported."""
        self._lib = require_bcc().lib
        self._name = f"{'r' if returns else 'p'}_{function}".encode()
        with quietly() as said:
            # bcc sets maxactive through tracefs, which may not be mounted
            for maxactive in (_MAXACTIVE, 0) if returns else (0,):
                self._event = int(
                    self._lib.bpf_attach_kprobe(program, int(returns), self._name, function.encode(), 0, maxactive)
                )
                if self._event >= 0:
                    return
            words = said().strip().splitlines()
        raise HostUnsupported(f"cannot attach to {function}: {words[-1] if words else 'no reason given'}")

    def close(self) -> None:
        """Detach the program from its hook."""
        os.close(self._event)
        self._lib.bpf_detach_kprobe(self._name)
