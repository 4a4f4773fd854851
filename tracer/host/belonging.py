"""Where a process belongs, by the names of its cgroups: systemd unit, container, pod.

Names are those that systemd (systemd.unit(5)), Docker, containerd, CRI-O, podman and the kubelet give, on cgroup v1 and
v2, with the cgroupfs and with the systemd driver. Whoever owns a part of the hierarchy names what is below it: so names
are only taken in the form that they must have, and prove nothing about a process of another user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracer.model.identity import NOBODY, Identity

_MOST_BYTES = 65_536
_LONGEST_UNIT = 255  # UNIT_NAME_MAX of systemd
_CONTAINER = re.compile(
    r"(?:(?:docker|cri-containerd|crio|libpod|containerd|nerdctl|buildkit)-|[\w.-]*:cri-containerd:)?"
    r"([0-9a-f]{64})(?:\.scope)?"
)
UID = r"(?:[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})"
"""Of a pod. A pod that the kubelet has from a file has 32 digits."""
_POD = re.compile(
    r"(?:kubepods-(?:besteffort-|burstable-)?)?pod" rf"({UID})(?:\.slice)?" r"(?::cri-containerd:[0-9a-f]{64})?"
)
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|scope|socket|mount|swap|slice)")
_MANAGER = re.compile(r"user@\d+\.service")
_USER_SLICE = re.compile(r"user-\d+\.slice")


def identity_of(pid: int) -> Identity:
    """What ``/proc/PID/cgroup`` tells of a process now; nothing if it cannot be read."""
    try:
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            return parse(file.read(_MOST_BYTES))
    except OSError:
        return NOBODY


def parse(text: bytes) -> Identity:
    """Read the text of ``/proc/PID/cgroup`` (cgroups(7)): ``hierarchy:controllers:path`` in each line.

    The unified hierarchy is asked first, then systemd's own of version 1, then the others: what one leaves open, the
    next may tell.
    """
    found = NOBODY
    for path in _paths(text):
        names = [name for name in path.split("/") if name not in ("", "..", ".")]
        found = Identity(
            found.unit or _unit(names),
            found.container or _last(_CONTAINER, names),
            found.pod or _last(_POD, names).replace("_", "-"),
        )
    return found


def _paths(text: bytes) -> list[str]:
    ranked = []
    # The kernel allows all but a newline in a name. What else ends a line elsewhere (str.splitlines) would let whoever
    # names a cgroup write lines of his own.
    for line in text.decode(errors="replace").split("\n"):
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        rank = 0 if number == "0" else 1 if controllers == "name=systemd" else 2
        ranked.append((rank, path))
    return [path for _, path in sorted(ranked, key=lambda one: one[0])]


def _last(pattern: re.Pattern[str], names: Iterable[str]) -> str:
    """The innermost one: containers may run in containers. A container's monitor is not in it."""
    found = ""
    for name in names:
        match = pattern.fullmatch(name)
        if match is not None:
            found = match.group(1)
    return found


def _unit(names: list[str]) -> str:
    """The unit as systemd itself finds it: the first that is no slice; below a user's manager, that user's own unit.

    A container's scope says no more than the container's id, and is left out. A process in a user's slice alone has
    that one.
    """
    found = ""
    for name in names:
        plain = name[1:] if name.startswith("_") else name  # systemd escapes names that could be the kernel's
        if _UNIT.fullmatch(plain) is None or len(plain) > _LONGEST_UNIT or _CONTAINER.fullmatch(plain):
            break
        if plain.endswith(".slice"):
            found = plain if _USER_SLICE.fullmatch(plain) else found
            continue
        found = plain
        if _MANAGER.fullmatch(plain) is None:
            break
    return found
