"""How a cell's program is led: it says ``ready``, works after a line on stdin, says ``done``, and ends with stdin."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

COUNT = 3
"""Requests, or connections, of every program."""


def _begin() -> tuple[str, str, str]:
    print("ready", flush=True)
    sys.stdin.readline()
    mode, port, value = sys.argv[1:4]
    return mode, f"http://127.0.0.1:{port}", value


def lead(modes: dict[str, Callable[[str, str], Any]], end: Callable[[Any], None] = lambda _: None) -> None:
    """Runs the mode that the command line names, with the peer's base URL and the value to set."""
    mode, base, value = _begin()
    kept = modes[mode](base, value)
    print("done", flush=True)
    sys.stdin.read()
    end(kept)


def lead_async(modes: dict[str, Callable[[str, str], Awaitable[Any]]]) -> None:
    """The same in an event loop, which goes on turning."""

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        mode, base, value = await loop.run_in_executor(None, _begin)
        kept = await modes[mode](base, value)
        print("done", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        del kept

    asyncio.run(whole())


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def at_once(call: Callable[[], Any]) -> None:
    """The call COUNT times at the same time; each must come back."""
    came_back = []
    threads = [threading.Thread(target=lambda: came_back.append(call())) for _ in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(came_back) == COUNT
