"""Options that several commands share. They give a scope and the sizes of the recorder."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import Any, Optional, TypeVar

import click

from tracer.agent import SOCKET
from tracer.commands.numbers import Number, Whole
from tracer.commands.targets import check_pid
from tracer.commands.times import TIME
from tracer.errors import UsageError
from tracer.host import cgroups, groups
from tracer.host.netns import NetnsUnreachable, inode_of
from tracer.host.netns import path_of as netns_path
from tracer.host.processes import named
from tracer.kernel.plan import WAYS
from tracer.kernel.source import DEEP_STACK, PAGE, Sizes
from tracer.model.scope import Network, Scope, network_of

DOCS = "Docs: man closetrace; in the source README.md and docs/ (docs/verdicts.md says what each verdict means)."
"""How the help of every command ends."""
F = TypeVar("F", bound=Callable[..., Any])
_MEGABYTE = 1 << 20


class NetworkType(click.ParamType):
    """An address or a network: ``10.0.0.0/8``, ``::1``."""

    name = "ADDR[/BITS]"

    def convert(self, value: object, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Network:
        """Return the network; fails with click's usage error."""
        if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            return value
        try:
            return network_of(str(value).strip("[]"))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


_PORT = Whole(1, 65535)

_FILTERS = (
    click.option(
        "-p",
        "--pid",
        "pids",
        metavar="PID",
        type=Whole(1),
        multiple=True,
        help="Only this process. Can be given more than once.",
    ),
    click.option(
        "--comm",
        metavar="NAME",
        help="Only programs (executable or script) and threads of this name. Its first 15 bytes count.",
    ),
    click.option(
        "--local-port",
        "local_ports",
        metavar="PORT",
        type=_PORT,
        multiple=True,
        help="Only this local port. Can be given more than once.",
    ),
    click.option(
        "--remote-port",
        "remote_ports",
        metavar="PORT",
        type=_PORT,
        multiple=True,
        help="Only this remote port. Can be given more than once.",
    ),
    click.option(
        "--remote",
        "remotes",
        type=NetworkType(),
        multiple=True,
        help="Only this remote address or network. Can be given more than once.",
    ),
    click.option("--netns", metavar="NAME|PATH|PID", help="Only this network namespace."),
    click.option("--cgroup", metavar="PATH", help="Only tasks in this cgroup v2 directory or below it."),
    click.option("--unit", metavar="NAME", help="Only this systemd unit: nginx, session-3.scope."),
    click.option(
        "--container",
        metavar="ID|NAME",
        help="Only this container, by the first digits of its id, or as NAMESPACE/POD/CONTAINER.",
    ),
)

_TUNING = (
    click.option(
        "--stack-bytes",
        metavar="BYTES",
        type=Whole(PAGE, 16 * PAGE),
        default=DEEP_STACK,
        show_default=True,
        help="Bytes to copy of each user stack, a multiple of 4096.",
    ),
    click.option(
        "--memory",
        "memory_mb",
        metavar="MB",
        type=Whole(4, 65536),
        default=None,
        help="Kernel memory for stacks and records, in MB.  [default: 1/64 of RAM, 16 to 128]",
    ),
    click.option(
        "--probes",
        type=click.Choice(WAYS),
        default="auto",
        show_default=True,
        help="Which kind of kernel hook to use; closetrace doctor shows which work here.",
    ),
)


linger_option = click.option(
    "--linger",
    type=TIME,
    default=10,
    show_default=True,
    help="Report sockets that have been in CLOSE_WAIT for longer than TIME: seconds, or 90s, 5m, 1h.",
)
duration_option = click.option(
    "--duration", type=TIME, help="End after TIME: seconds, or 90s, 5m, 1h.  [default: until Ctrl-C]"
)
interval_option = click.option(
    "--interval",
    type=TIME,
    default=1,
    show_default=True,
    help="Look at the sockets once in TIME: seconds, or 90s, 5m.",
)
all_frames_option = click.option(
    "--all-frames", is_flag=True, help="Show all frames, also those of libraries and runtimes."
)
fail_over_option = click.option(
    "--fail-over",
    metavar="N",
    type=Whole(0),
    help="End with exit code 3 if more than N sockets lingered.",
)
max_overhead_option = click.option(
    "--max-overhead",
    metavar="PCT",
    type=Number(0.1, 100),
    help="Take fewer stacks when tracing costs more than this percentage of one CPU.",
)


lineage_option = click.option(
    "--lineage/--no-lineage",
    default=None,
    help="Tell which objects hold the sockets, from the heap of a managed program.  [default: only of sockets "
    "older than the trace, and only in a heap of which less than 1 GB is used]",
)


def _agent_options(fresh: str, socket: str) -> tuple[Callable[[F], F], ...]:
    return (
        click.option("--fresh", is_flag=True, help=fresh),
        click.option(
            "--agent-socket",
            metavar="PATH",
            envvar="CLOSETRACE_AGENT_SOCKET",
            default=SOCKET,
            show_default=True,
            help=socket,
        ),
    )


def asking(command: F) -> F:
    """Add --fresh and --agent-socket to a command that traces where no agent answers."""
    fresh = "Trace anew, though an agent runs that has records."
    socket = "Ask the agent there. An option that says how to trace, such as --duration, traces anew."
    return _add(_agent_options(fresh, socket), command)


def asking_beside(command: F) -> F:
    """Add --fresh and --agent-socket to a command that counts by itself, and asks an agent what else it knows."""
    return _add(_agent_options("Do not ask the agent of this host.", "Ask the agent there."), command)


def agent_was_named() -> bool:
    """Whether the command line says where the agent is. Where it does not, there need not be one."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.get_parameter_source("agent_socket") is click.core.ParameterSource.COMMANDLINE


def _begin_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value and not ctx.resilient_parsing:
        from tracer.commands import verbose

        ctx.call_on_close(verbose.begin())


verbose_option = click.option(
    "--verbose",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_begin_verbose,
    help="Print on stderr what is probed, attached and read, and how long it took.",
)


children_option = click.option(
    "--children", is_flag=True, help="With --pid or --comm: their children, too, now and to come."
)


def _add(options: tuple[Callable[[F], F], ...], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def filters(command: F) -> F:
    """Add the filter options. The command gets them as keyword arguments for :func:`make_scope`."""
    return _add(_FILTERS, command)


def tuning(command: F) -> F:
    """Add --stack-bytes and --memory, see :func:`make_sizes`, and --probes."""
    return _add(_TUNING, command)


def default_memory() -> int:
    """Bytes of kernel memory to use without --memory: 1/64 of RAM, at least 16 MB, at most 128 MB."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(128 * _MEGABYTE, max(16 * _MEGABYTE, ram // 64))


def make_sizes(stack_bytes: int, memory_mb: Optional[int]) -> Sizes:
    """Return the sizes of the kernel side. Raises UsageError if ``stack_bytes`` is not a multiple of PAGE."""
    if stack_bytes % PAGE:
        raise UsageError(f"--stack-bytes {stack_bytes}: give a multiple of {PAGE}")
    memory = memory_mb * _MEGABYTE if memory_mb is not None else default_memory()
    return Sizes(memory, stack_bytes)


def _netns_inode(netns: str) -> int:
    path = netns_path(netns)
    try:
        return inode_of(path)
    except NetnsUnreachable:
        raise UsageError(f"--netns {netns}: there is no network namespace at {path}") from None


def _cgroup(path: str) -> tuple[tuple[int, int], str]:
    try:
        return cgroups.find(path)
    except cgroups.NoCgroup as error:
        raise UsageError(f"--cgroup {path}: {error}") from None


def _group(unit: Optional[str], container: Optional[str]) -> groups.Found:
    """Find the one cgroup of a unit or container, or its processes. Raises UsageError."""
    if unit is not None:
        option = f"--unit {unit}"
        nothing = "no such unit has processes here (systemctl list-units shows the names)"
    else:
        option, form = f"--container {container}", "give the first digits of its id, or NAMESPACE/POD/CONTAINER"
        nothing = f"no such container runs here: {form}"
        if not container:
            raise UsageError(f"--container is empty: {form}")
    found = groups.find(unit, container)
    if not found.paths and not found.pids:
        raise UsageError(f"{option}: {nothing}")
    if len(found.paths) > 1:
        first = ", ".join(found.paths[:2])
        raise UsageError(f"{option}: {len(found.paths)} cgroups have this name ({first}): choose one with --cgroup")
    return found


def make_scope(
    pids: tuple[int, ...],
    comm: Optional[str],
    local_ports: tuple[int, ...],
    remote_ports: tuple[int, ...],
    remotes: tuple[Network, ...],
    netns: Optional[str],
    cgroup: Optional[str],
    children: bool = False,
    unit: Optional[str] = None,
    container: Optional[str] = None,
) -> Scope:
    """Make a scope from the filters. Raises UsageError if a process, namespace or cgroup is not on this host.

    A unit or container becomes its cgroup. Where it has none of version 2 it becomes its processes with their children.
    """
    if sum(one is not None for one in (cgroup, unit, container)) > 1:
        raise UsageError("give one of --cgroup, --unit and --container")
    if unit is not None or container is not None:
        found = _group(unit, container)
        cgroup = found.paths[0] if found.paths else None
        if found.pids and pids and not set(pids) <= set(found.pids):
            raise UsageError(f"process {min(set(pids) - set(found.pids))} is not in {unit or f'container {container}'}")
        if found.pids and not pids:
            pids, children = found.pids, comm is None
    if children and not pids and comm is None:
        raise UsageError("--children goes with --pid or --comm")
    number, path = _cgroup(cgroup) if cgroup is not None else ((0, 0), "")
    if comm is not None and not comm:
        raise UsageError("--comm is empty: give a command name")
    return Scope(
        pids=tuple(dict.fromkeys(check_pid(pid) for pid in pids)),
        comm=comm or "",
        local_ports=local_ports,
        remote_ports=remote_ports,
        remotes=remotes,
        netns=(_netns_inode(netns),) if netns is not None else (),
        cgroup=number,
        cgroup_path=path,
        follow_forks=children,
    )


def describe(scope: Scope) -> str:
    """Describe the scope in words, for the first line of a trace."""
    names = [named(pid) for pid in scope.pids]
    parts = [", ".join(names)] if names else []
    parts += [f"programs and threads named {scope.comm}"] if scope.comm else []
    parts = [f"{' and '.join(parts)} with children"] if scope.follow_forks else parts
    for word, ports in (("local", scope.local_ports), ("remote", scope.remote_ports)):
        parts += [f"{word} port {' or '.join(str(port) for port in ports)}"] if ports else []
    parts += [f"peer {' or '.join(str(network) for network in scope.remotes)}"] if scope.remotes else []
    parts += [f"network namespace {scope.netns[0]}"] if scope.netns else []
    parts += [f"cgroup {scope.cgroup_path}"] if scope.cgroup_path else []
    return ", ".join(parts) or "the whole host"
