"""Network namespaces of the tests' own, so that ports and sysctls disturb nobody."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def network_namespace_named(suffix: str) -> Iterator[str]:
    """A network namespace with loopback up, deleted afterwards."""
    name = f"closetrace-{suffix}-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def inside(netns: str) -> tuple[str, ...]:
    """The words that run a command in that namespace."""
    return ("ip", "netns", "exec", netns)
