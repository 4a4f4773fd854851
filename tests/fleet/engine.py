"""Starts an engine on loopback, waits until it answers, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from tests.systems.software import child

PROMETHEUS, VICTORIA = map(Path, os.environ.get("CLOSETRACE_ENGINES", "/:/").split(":"))
"""Root directories (engines.sh)."""
_PATIENCE_S = 60


def command(root: Path, program: str) -> list[str]:
    """How to run a program of another root directory: by that one's loader, with that one's libraries."""
    libraries = [root / place / "x86_64-linux-gnu" for place in ("usr/lib", "lib")]
    (loader, *_) = (found for place in libraries if (found := place / "ld-linux-x86-64.so.2").exists())
    return [str(loader), "--library-path", ":".join(map(str, libraries)), str(root / "usr/bin" / program)]


def command_inside(root: Path, folder: Path, program: str) -> list[str]:
    """How to run a program that reads files of its own package: with ``root`` as its root, and ``folder`` as /test."""
    mounted = 'mount --bind "$1" "$2/test" && root=$2 && shift 2 && exec chroot "$root" "$@"'
    return ["unshare", "--mount", "sh", "-c", mounted, "sh", str(folder), str(root), f"/usr/bin/{program}"]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(url: str, **query: str) -> Any:
    """The JSON that an engine answers."""
    words = f"?{urllib.parse.urlencode(query)}" if query else ""
    with urllib.request.urlopen(url + words, timeout=30) as answer:
        return json.load(answer)


def eventually(look: Callable[[], Any], what: str, patience_s: float = _PATIENCE_S) -> Any:
    """What ``look`` gives as soon as it is true. An engine has no event for what it has taken in."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            found = look()
            if found:
                return found
        time.sleep(0.05)
    raise TimeoutError(what)


def answers(url: str) -> bool:
    """Whether an engine answers at all."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


@contextlib.contextmanager
def running(words: list[str], ready: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The engine, from the moment at which it answers at the URL ``ready``."""
    with child(*words, log=log, cwd=log.parent) as process:

        def up() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(ready)

        eventually(up, f"no answer at {ready}")
        yield process
