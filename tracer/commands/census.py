"""``closetrace census``: connections by state, remote endpoint and process. It needs no BPF."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from typing import Any, Optional

import click

from tracer.commands.options import filters, make_scope
from tracer.diagnose.census.counts import Census, Namespace, Selection, take
from tracer.errors import ClosetraceError, UsageError
from tracer.host import processes
from tracer.host.descriptors import holders
from tracer.host.matching import process_matches
from tracer.host.netns import current, inode_of
from tracer.host.netns import path_of as netns_path
from tracer.host.sockdiag import DiagSocket, dump
from tracer.host.tcp_settings import TcpSettings, tcp_settings
from tracer.model.scope import Scope
from tracer.model.states import TcpState
from tracer.reports.json import census as census_json
from tracer.reports.text import census as text
from tracer.reports.text.terminal import width

_STATES = tuple(state for state in TcpState if state not in (TcpState.CLOSE, TcpState.NEW_SYN_RECV))
_CLEAR = "\x1b[H\x1b[2J"

Place = tuple[str, Optional[str]]
"""A network namespace: its name for people, and the path to enter it by (None: this process is in it)."""


@click.command("census")
@filters
@click.option("--rows", type=click.IntRange(0), default=20, show_default=True, help="Most groups to show; 0 is all.")
@click.option(
    "--watch",
    type=click.FloatRange(0.1, 86400),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Count again every SECONDS (2), until Ctrl-C.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON; with --watch one document a line.")
def census(rows: int, watch: Optional[float], as_json: bool, **chosen: Any) -> None:
    r"""Count TCP connections by state, remote endpoint and process, and say what the states mean.

    CLOSE_WAIT is a program that has not closed; TIME_WAIT is harmless until ephemeral ports run short, which is
    worked out for each destination. The figures come from the kernel's sock_diag: no BPF and, for your own
    processes, no root is needed.

    \b
    closetrace census                        this network namespace
    closetrace census --pid 4121 --watch     one process, every 2 seconds
    closetrace census --remote 10.1.0.0/16   what goes to a network
    closetrace census --netns 4121           the namespace of a container
    """
    if watch is not None and math.isnan(watch):
        raise UsageError("--watch takes a number of seconds")
    scope, netns = make_scope(**chosen), chosen["netns"]
    now = _count(scope, netns)
    _print(now, None, rows, watch is not None, as_json)
    with contextlib.suppress(KeyboardInterrupt, _NoProcess):
        while watch is not None:
            time.sleep(watch)
            before, now = now, _count(scope, netns)
            _print(now, before, rows, True, as_json)


class _NoProcess(UsageError):
    """No process meets the filters: a mistake at first, the natural end of a watch."""


def _count(asked: Scope, netns: Optional[str]) -> Census:
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


def _wanted(asked: Scope) -> list[int]:
    """List the processes that run and meet the filters. Raises UsageError if there are none."""
    infos = map(processes.process_info, asked.pids or processes.pids())
    found = [info.pid for info in infos if info is not None and process_matches(asked, info)]
    if not found:
        raise _NoProcess("no process meets the filters")
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
    """Read the settings, None where /proc/sys is hidden or masked: then ports are not worked out."""
    try:
        return tcp_settings(path)
    except (OSError, ValueError, ClosetraceError):
        return None


def _print(now: Census, before: Optional[Census], rows: int, watching: bool, as_json: bool) -> None:
    if as_json:
        click.echo(census_json.render(now, indent=None if watching else 2))
        return
    screen = watching and sys.stdout.isatty()
    click.echo((_CLEAR if screen else "") + text.render(now, width(), rows, before), nl=False)
