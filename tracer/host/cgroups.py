"""The cgroup v2 hierarchy of this host (cgroups(7))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tracer.errors import ClosetraceError


class NoCgroup(ClosetraceError):
    """There is no such cgroup, or no cgroup v2 hierarchy."""


def _root() -> str:
    with open("/proc/self/mounts", encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    raise NoCgroup("no cgroup v2 hierarchy is mounted here")


def directories() -> Iterator[str]:
    """The paths of all cgroups of version 2, from the root of the hierarchy, parents first. Raises NoCgroup."""
    root = _root()
    for directory, below, _files in os.walk(root):
        yield directory[len(root) :] or "/"
        below.sort()


def pids(path: str) -> frozenset[int]:
    """The processes in a cgroup, whose ``path`` starts at the root of the hierarchy, or below it. Raises NoCgroup.

    /proc/PID/cgroup does not tell that in a container: paths there begin at the container's own cgroup
    (cgroup_namespaces(7)), and ``/../nginx.service`` may be anywhere.
    """
    found: set[int] = set()
    for directory, _below, _files in os.walk(_root() + path):
        # It has ended meanwhile, or is of threads, whose processes are in the one above.
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs", encoding="ascii") as file:
            found.update(map(int, file.read().split()))
    return frozenset(found)


def find(path: str) -> tuple[tuple[int, int], str]:
    """Give ((id, level), path) of a cgroup v2 directory. The returned path starts at the root of the hierarchy.

    ``path`` starts at the root of the file system or at the root of the hierarchy. The id of a cgroup is the inode of
    its directory (kernfs). The root has level 0. Raises NoCgroup.
    """
    root = _root()
    inside = os.path.normpath(path)
    if inside == root or inside.startswith(root + "/"):
        inside = inside[len(root) :]
    inside = "/" + inside.strip("/")
    try:
        inode = os.stat(root + inside).st_ino
    except (OSError, ValueError):
        raise NoCgroup(f"there is no such cgroup under {root}") from None
    level = len([part for part in inside.split("/") if part])
    return (inode, level), inside
