"""Takes one census: finds the processes and namespaces in scope, and reads sock_diag and /proc. It needs no BPF."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Optional

from tracer.diagnose.census.counts import Census, Namespace, Selection, take
from tracer.errors import ClosetraceError, UsageError
from tracer.host import cgroups, processes
from tracer.host.descriptors import holders
from tracer.host.netns import current, inode_of
from tracer.host.netns import path_of as netns_path
from tracer.host.programs import is_called
from tracer.host.sockdiag import DiagSocket, dump
from tracer.host.tcp_settings import TcpSettings, tcp_settings
from tracer.model.scope import Scope
from tracer.model.states import TcpState

_STATES = tuple(state for state in TcpState if state not in (TcpState.CLOSE, TcpState.NEW_SYN_RECV))

Place = tuple[str, Optional[str]]
"""A network namespace: its name in the report, and the path to enter it (None: this process is in it)."""


class NoProcess(UsageError):
    """No process matches the filters. In the first count this is an error; later it ends --watch."""


def count(asked: Scope, netns: Optional[str]) -> Census:
    """Count the connections in scope now. ``netns`` names a network namespace; None means those of the scope.

    Raises NoProcess, NetnsUnreachable, SockDiagError.
    """
    taken = time.time()
    wanted = _wanted(asked) if asked.by_task else None
    sockets: list[DiagSocket] = []
    spaces: list[Namespace] = []
    for inode, (name, path) in _places(wanted, netns).items():
        sockets += dump(_STATES, path)
        spaces.append(Namespace(inode, name, _settings(path)))
    held = holders({one.inode for one in sockets}, wanted)
    chosen = Selection(
        None if wanted is None else frozenset(wanted), asked.local_ports, asked.remote_ports, asked.remotes
    )
    return take(sockets, held, spaces, chosen, taken)


def recorded_scope(asked: Scope) -> Scope:
    """What an agent is to be asked for, so that it tells of all sockets that :func:`count` counts and of few others."""
    return asked if asked.netns or asked.by_task else replace(asked, netns=(current(),))


def _wanted(asked: Scope) -> list[int]:
    """List the running processes that match the filters. Raises NoProcess if there are none."""
    living = (pid for pid in asked.pids or processes.pids() if processes.process_info(pid) is not None)
    inside = cgroups.pids(asked.cgroup_path) if asked.cgroup_path else None
    found = [
        pid for pid in living if (inside is None or pid in inside) and (not asked.comm or is_called(pid, asked.comm))
    ]
    if not found:
        raise NoProcess("no process matches the filters")
    return found


def _places(wanted: Optional[list[int]], netns: Optional[str]) -> dict[int, Place]:
    """Find the network namespaces to count in, by inode: the given one, those of the wanted processes, or this one."""
    here = current()
    if netns is not None:
        path = netns_path(netns)
        return {inode_of(path): (f"network namespace {netns}", path)}
    if wanted is None:
        return {here: ("this network namespace", None)}
    found: dict[int, Place] = {}
    for pid in wanted:
        inode, path = processes.netns_of(pid)
        own = inode == here
        found.setdefault(inode, ("this network namespace", None) if own else (f"network namespace of {pid}", path))
    return found


def _settings(path: Optional[str]) -> Optional[TcpSettings]:
    """Read the TCP settings. None if /proc/sys is hidden: then the census does not count ports."""
    try:
        return tcp_settings(path)
    except (OSError, ValueError, ClosetraceError):
        return None
