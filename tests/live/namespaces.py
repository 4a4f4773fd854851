"""The tests' own namespaces: network namespaces, where ports and sysctls disturb nobody, and whole containers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def container(script: str) -> tuple[str, ...]:
    """The words that run a shell command in user, mount, pid and network namespaces of its own, loopback up."""
    spaces = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--net", "--kill-child")
    return ("unshare", *spaces, "sh", "-c", f"ip link set lo up && {script}")


def only_child(pid: int) -> int:
    """The host's pid of the one child of a single-threaded process, e.g. of a container's ``unshare``."""
    (child,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return child
