"""Whether what an agent records has all that is asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Optional

from tracer.host import cgroups
from tracer.host.processes import named
from tracer.model.scope import Network, Scope
from tracer.session.part import pids_in


def missing(asked: Scope, recorded: Scope, members: Optional[frozenset[int]]) -> str:
    """What is asked for and not recorded, as a clause; empty if nothing is.

    ``members`` are the processes in the ``recorded`` scope now, None if everybody is.
    """
    for name in ("local_ports", "remote_ports", "netns"):
        if not _within(getattr(asked, name), getattr(recorded, name)):
            return f"it records only some {name.replace('_', ' ').replace('netns', 'network namespaces')}"
    if recorded.remotes and not (asked.remotes and all(_is_within(one, recorded.remotes) for one in asked.remotes)):
        return "it records only some remote addresses"
    if asked.cgroup_path and not _sees(asked):
        return "it does not see that cgroup"
    if members is None:
        return ""
    wanted = pids_in(asked) if asked.by_task else None
    if wanted is None or (not wanted and asked.comm != recorded.comm):
        return "it records only some processes"
    others = sorted(wanted - members)
    return f"it does not record {named(others[0])}" if others else ""


def _sees(asked: Scope) -> bool:
    """Whether the cgroup is the same here: an agent in a container may see no others than its own."""
    try:
        return cgroups.find(asked.cgroup_path) == (asked.cgroup, asked.cgroup_path)
    except cgroups.NoCgroup:
        return False


def _within(asked: Collection[int], recorded: Collection[int]) -> bool:
    return not recorded or (bool(asked) and set(asked) <= set(recorded))


def _is_within(asked: Network, recorded: Collection[Network]) -> bool:
    return any(
        asked.version == one.version and asked.network_address in one and asked.prefixlen >= one.prefixlen
        for one in recorded
    )
