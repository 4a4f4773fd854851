"""``closetrace census``: connections by state, remote endpoint and process. It needs no BPF."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import shutil
import sys
import time
from typing import Optional

import click

from tracer.diagnose.census import Census, Namespace, Network, Scope, take
from tracer.errors import ClosetraceError, UsageError
from tracer.flight import holders as processes
from tracer.flight.netns import NetnsUnreachable, current
from tracer.flight.sockdiag import DiagSocket, dump
from tracer.flight.tcp_settings import TcpSettings, tcp_settings
from tracer.model.states import TcpState
from tracer.reports import census as text
from tracer.reports import census_json

_STATES = tuple(state for state in TcpState if state not in (TcpState.CLOSE, TcpState.NEW_SYN_RECV))
_CLEAR = "\x1b[H\x1b[2J"

Place = tuple[str, Optional[str]]
"""A network namespace: its name for people, and the path to enter it by (None: this process is in it)."""


class _Remote(click.ParamType):
    name = "ADDR[/BITS]"

    def convert(self, value: object, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Network:
        if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            return value
        try:
            return ipaddress.ip_network(str(value).strip("[]"), strict=False)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@click.command("census")
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, help="Only sockets of this process; repeatable.")
@click.option("--comm", help="Only sockets of processes with this command name.")
@click.option("--local-port", type=click.IntRange(1, 65535), help="Only connections with this local port.")
@click.option("--remote-port", type=click.IntRange(1, 65535), help="Only connections to this remote port.")
@click.option("--remote", type=_Remote(), help="Only connections to this address or network (10.0.0.0/8).")
@click.option("--netns", metavar="PATH|PID", help="The network namespace to count in, by path, name or process.")
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
def census(
    pids: tuple[int, ...],
    comm: Optional[str],
    local_port: Optional[int],
    remote_port: Optional[int],
    remote: Optional[Network],
    netns: Optional[str],
    rows: int,
    watch: Optional[float],
    as_json: bool,
) -> None:
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
    scope = Scope(frozenset(pids), comm, local_port, remote_port, remote)
    now = _count(scope, netns)
    _print(now, None, rows, watch is not None, as_json)
    with contextlib.suppress(KeyboardInterrupt):
        while watch is not None:
            time.sleep(watch)
            before, now = now, _count(scope, netns)
            _print(now, before, rows, True, as_json)


def _count(scope: Scope, netns: Optional[str]) -> Census:
    taken = time.time()
    sockets: list[DiagSocket] = []
    spaces: list[Namespace] = []
    for inode, (name, path) in _places(scope, netns).items():
        sockets += dump(_STATES, path)
        spaces.append(Namespace(inode, name, _settings(path)))
    inodes = {one.inode for one in sockets if one.inode}
    wanted = _wanted(scope) if scope.by_process else None
    return take(sockets, processes.holders(inodes, wanted), spaces, scope, taken)


def _wanted(scope: Scope) -> list[int]:
    """List the processes that a scope by process names, of those that run. Raises UsageError if there are none."""
    running = sorted(scope.pids) if scope.pids else processes.pids()
    infos = [info for info in map(processes.process_info, running) if info is not None]
    gone = scope.pids - {info.pid for info in infos}
    if gone:
        raise UsageError(f"no process with pid {', '.join(map(str, sorted(gone)))}")
    found = [it.pid for it in infos if scope.comm is None or scope.has_comm(it.comm)]
    if not found:
        raise UsageError(f"no process with command name {scope.comm}")
    return found


def _places(scope: Scope, netns: Optional[str]) -> dict[int, Place]:
    """Find the network namespaces to count in, by inode: the given one, those of the wanted processes, or this one."""
    here = current()
    if netns is not None:
        path = _path(netns)
        return {_inode(path): (f"network namespace {netns}", path)}
    if not scope.by_process:
        return {here: ("this network namespace", None)}
    found: dict[int, Place] = {}
    for pid in _wanted(scope):
        inode, path = processes.netns_of(pid)
        own = inode == here
        found.setdefault(inode, ("this network namespace", None) if own else (f"network namespace of {pid}", path))
    return found


def _path(netns: str) -> str:
    if netns.isdigit():
        return processes.netns_of(int(netns))[1]
    return netns if "/" in netns else f"/run/netns/{netns}"


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except (OSError, ValueError) as error:
        raise NetnsUnreachable(f"cannot open the network namespace {path}: {error}") from None


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
    width = shutil.get_terminal_size((80, 24)).columns
    screen = watching and sys.stdout.isatty()
    click.echo((_CLEAR if screen else "") + text.render(now, width, rows, before), nl=False)
