"""Finds the cgroup of a systemd unit or container that a person names, or its processes where version 2 has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from tracer.host import belonging, cgroups
from tracer.host.podnames import LogFolders, PodNames
from tracer.host.processes import pids
from tracer.model.identity import Identity

Matches = Callable[[Identity], bool]


@dataclass(frozen=True)
class Found:
    """``paths`` of cgroups of version 2, from the root of the hierarchy; without any, ``pids`` of processes."""

    paths: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()


def of_unit(name: str) -> Matches:
    """Whether something belongs to this unit. ``nginx`` is ``nginx.service``."""
    whole = name if "." in name else f"{name}.service"
    return lambda identity: identity.unit == whole


def of_container(prefix: str) -> Matches:
    """Whether something belongs to a container whose id begins so."""
    return lambda identity: identity.container.startswith(prefix)


def of_named_container(name: str, pods: PodNames) -> Matches:
    """Whether something belongs to a container that Kubernetes calls so: [[NAMESPACE/]POD/]CONTAINER."""
    wanted = name.split("/")

    def matches(identity: Identity) -> bool:
        known = pods.named(identity)
        whole = [known.namespace, known.pod_name, known.container_name]
        return bool(known.container_name) and whole[-len(wanted) :] == wanted

    return matches


def find(unit: Optional[str], container: Optional[str]) -> Found:
    """Find a unit; else a container, by its id, or if none begins so by its name in Kubernetes."""
    if unit:
        return look_for(of_unit(unit))
    if not container:
        return Found()
    found = look_for(of_container(container))
    if found.paths or found.pids:
        return found
    return look_for(of_named_container(container, PodNames(LogFolders())))


def look_for(matches: Matches) -> Found:
    """Find what matches: the outermost cgroups; where systemd and the runtimes use version 1, the processes."""
    paths: list[str] = []
    try:
        for path in cgroups.directories():
            below = any(path.startswith(f"{known}/") for known in paths)
            if not below and matches(belonging.parse(b"0::" + path.encode(errors="surrogateescape"))):
                paths.append(path)
    except cgroups.NoCgroup:
        pass
    if paths:
        return Found(tuple(paths))
    return Found(pids=tuple(pid for pid in sorted(pids()) if matches(belonging.identity_of(pid))))
