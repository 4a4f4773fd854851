"""leaks.py RATE SITES EVERY HOLD: as tests/benchmarks/programs/leaks.c, in Python, with a function for each site.

Opens RATE connections per second. Each EVERY-th is kept for HOLD seconds after its peer closed. Ends with its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections import deque
from typing import Callable

Address = tuple[str, int]
_PR_SET_PDEATHSIG = 1
_NAP_S = 0.002


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(listener: socket.socket) -> None:
    while True:
        line, _ = listener.accept()
        line.sendall(b"x")
        line.close()


def _sites(count: int) -> list[Callable[[Address], socket.socket]]:
    text = "\n".join(
        f"def fetch_{number}(address):\n"
        f"    line = create_connection(address)\n    line.recv(1)\n    line.recv(1)\n    return line"
        for number in range(count)
    )
    names: dict[str, Callable[[Address], socket.socket]] = {}
    exec(compile(text, "sites.py", "exec"), {"create_connection": socket.create_connection}, names)
    return list(names.values())


def main() -> None:
    """Connect until the parent ends."""
    rate, count, every, hold_s = (float(word) for word in sys.argv[1:])
    _end_with_parent()
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    if os.fork() == 0:
        _end_with_parent()
        _serve(listener)
    sites, kept = _sites(int(count)), deque[tuple[float, socket.socket]]()
    begun, made = time.monotonic(), 0
    while True:
        now = time.monotonic()
        while kept and kept[0][0] <= now:
            kept.popleft()[1].close()
        if made >= (now - begun) * rate:
            time.sleep(_NAP_S)
            continue
        line = sites[made % len(sites)](listener.getsockname())
        made += 1
        if made % every:
            line.close()
        else:
            kept.append((now + hold_s, line))


main()
