"""The census: the connections that exist now, counted by state, remote endpoint and process. Values in, values out."""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

from tracer.diagnose.census.ports import PortUse, port_use, usable_ports
from tracer.host.accept_queues import Listeners, queued
from tracer.host.inet_diag import TIMER_TIME_WAIT, DiagSocket
from tracer.host.tcp_settings import TIME_WAIT_S, TcpSettings
from tracer.model.connection import Endpoint, Holder
from tracer.model.states import TcpState

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Holders = Mapping[int, tuple[Holder, ...]]

_CLOSED_FIRST = {
    TcpState.CLOSE_WAIT: "peer",
    TcpState.LAST_ACK: "peer",
    TcpState.FIN_WAIT1: "this side",
    TcpState.FIN_WAIT2: "this side",
    TcpState.TIME_WAIT: "this side",
    TcpState.CLOSING: "both",
}
"""Who sent FIN first, as the state alone shows (RFC 9293, 3.3.2 and 3.6)."""


class OwnerKind(str, enum.Enum):
    """Who has a socket: a process that we see, one that we do not see, a listener's accept queue, only the kernel."""

    PROCESS = "process"
    UNSEEN = "unseen"
    QUEUE = "accept-queue"
    KERNEL = "kernel"


@dataclass(frozen=True)
class Owner:
    """Who has a socket. In an accept queue pid and comm are the listener's. ``others``: how many more processes."""

    kind: OwnerKind
    pid: int = 0
    comm: str = ""
    others: int = 0


@dataclass(frozen=True)
class Namespace:
    """A network namespace of the census: its inode, its name in the report, its settings (None: not readable)."""

    inode: int
    name: str
    settings: Optional[TcpSettings] = None


@dataclass(frozen=True)
class Selection:
    """Which connections to count. Every field must match; it matches if one of its values does, or if it is empty.

    ``processes`` are pids. None selects all connections, also those without a process.
    """

    processes: Optional[frozenset[int]] = None
    local_ports: tuple[int, ...] = ()
    remote_ports: tuple[int, ...] = ()
    remotes: tuple[Network, ...] = ()

    def has_remote(self, one: DiagSocket) -> bool:
        """Whether the remote endpoint is in scope."""
        if self.remote_ports and one.remote.port not in self.remote_ports:
            return False
        return not self.remotes or any(ipaddress.ip_address(one.remote.address) in it for it in self.remotes)

    def has_local(self, one: DiagSocket) -> bool:
        """Whether the local endpoint is in scope."""
        return not self.local_ports or one.local.port in self.local_ports

    def has_process(self, several: Iterable[Holder]) -> bool:
        """Whether one of these holders is in scope."""
        return self.processes is None or any(it.pid in self.processes for it in several)


@dataclass(frozen=True)
class Counted:
    """A connection with its owner. ``incoming``: the peer opened it."""

    socket: DiagSocket
    owner: Owner
    incoming: bool


@dataclass(frozen=True)
class StateCount:
    """Connections in one state, and who closed first: "peer", "this side", "both", or None (nobody yet)."""

    state: TcpState
    count: int
    closed_first: Optional[str]


@dataclass(frozen=True)
class Group:
    """Connections that have the same namespace, owner, direction, remote end and state.

    ``incoming`` connections are grouped by ``local_port`` and the peer's address. Outgoing ones are grouped by the
    peer's address and port; their ``local_port`` is 0. ``quiet_ms`` is the largest quiet() of the group.
    """

    netns: int
    owner: Owner
    incoming: bool
    local_port: int
    remote: str
    state: TcpState
    count: int
    quiet_ms: Optional[int]


@dataclass(frozen=True)
class Census:
    """The connections in scope at ``taken`` (seconds since the epoch), and sums over them.

    ``listeners`` is the number of listening sockets. ``ports`` counts the connections of all processes, also of those
    out of scope, because they share the ports. ``unowned`` is the number of connections that match all filters but
    the one by process, and that no process has.
    """

    taken: float
    namespaces: tuple[Namespace, ...]
    scope: Selection
    listeners: int
    connections: tuple[Counted, ...]
    states: tuple[StateCount, ...]
    groups: tuple[Group, ...]
    ports: tuple[PortUse, ...]
    unowned: int


def take(
    sockets: Sequence[DiagSocket], holders: Holders, namespaces: Sequence[Namespace], scope: Selection, taken: float
) -> Census:
    """Count ``sockets`` of ``namespaces``. They have all states, also LISTEN.

    ``holders`` maps socket inodes to processes.
    """
    desks = _Listeners(sockets, holders)
    settings = {it.inode: it.settings for it in namespaces}
    connections = [one for one in sockets if one.state is not TcpState.LISTEN and scope.has_remote(one)]
    chosen, unowned = _in_scope(filter(scope.has_local, connections), holders, desks, scope)
    counted = tuple(
        Counted(one, _owner(one, holders, desks), desks.came_in(one, settings.get(one.netns))) for one in chosen
    )
    return Census(
        taken=taken,
        namespaces=tuple(namespaces),
        scope=scope,
        listeners=desks.count(scope),
        connections=counted,
        states=_states(chosen),
        groups=_groups(counted),
        ports=_ports(connections, namespaces, desks),
        unowned=unowned,
    )


def quiet(one: DiagSocket) -> Optional[int]:
    """For how long (ms) nothing has happened on a connection. None if the kernel does not say.

    ESTABLISHED: since the last data in either direction. TIME_WAIT: since it began. Other states: since the peer's last
    segment. That is a lower bound of the time in the state, because a segment of the peer began it: FIN began
    CLOSE_WAIT, ACK began FIN_WAIT2.
    """
    if one.timer == TIMER_TIME_WAIT:
        return max(0, TIME_WAIT_S * 1000 - (one.timer_ms or 0)) if one.state is TcpState.TIME_WAIT else None
    if one.state is TcpState.ESTABLISHED:
        times = [ms for ms in (one.last_data_sent_ms, one.last_data_recv_ms) if ms is not None]
        return min(times, default=None)
    return one.last_ack_recv_ms


class _Listeners:
    """The listening sockets. They show which connections came in, and whose accept queue a connection is in."""

    def __init__(self, sockets: Iterable[DiagSocket], holders: Holders) -> None:
        self._holders = holders
        self._by_port: dict[tuple[int, int], list[DiagSocket]] = defaultdict(list)
        self._locals: Counter[tuple[int, int]] = Counter()
        self._remotes: Counter[tuple[int, Endpoint]] = Counter()
        self._of_queue: dict[tuple[int, Endpoint], tuple[Holder, ...]] = {}
        for one in sockets:
            if one.state is TcpState.LISTEN:
                self._by_port[(one.netns, one.local.port)].append(one)
            else:
                self._locals[(one.netns, one.local.port)] += 1
                self._remotes[(one.netns, one.remote)] += 1

    def count(self, scope: Selection) -> int:
        return sum(
            scope.has_local(one) and scope.has_process(self._holders.get(one.inode, ()))
            for several in self._by_port.values()
            for one in several
        )

    def ports(self, netns: int) -> list[int]:
        return [port for inode, port in self._by_port if inode == netns]

    def came_in(self, one: DiagSocket, settings: Optional[TcpSettings]) -> bool:
        """Whether the peer opened it: by the kernel's own count, else by the ports.

        Without a listener, the end with an ephemeral port opened the connection. If both ends have one, the end with
        more connections is the server. A host with very many connections uses one local port for several remotes.
        """
        if one.opened_here is not None:
            return not one.opened_here
        if (one.netns, one.local.port) in self._by_port:
            return True
        if settings is None or not settings.first_port <= one.remote.port <= settings.last_port:
            return False
        if not settings.first_port <= one.local.port <= settings.last_port:
            return True
        return self._locals[(one.netns, one.local.port)] > self._remotes[(one.netns, one.remote)]

    def holders_of_queue(self, one: DiagSocket) -> tuple[Holder, ...]:
        """Who holds the listener of this accept queue.

        Of several (SO_REUSEPORT) those in whose queues connections wait.
        """
        place = (one.netns, one.local)
        if place not in self._of_queue:  # many wait at one place, and many may listen there
            here = Listeners(self._by_port.get((one.netns, one.local.port), ()))
            several = [self._holders.get(desk.inode, ()) for desk in queued(here.at(one.local))]
            self._of_queue[place] = tuple(holder for holders in several for holder in holders)
        return self._of_queue[place]


def _in_scope(
    near: Iterable[DiagSocket], holders: Holders, desks: _Listeners, scope: Selection
) -> tuple[list[DiagSocket], int]:
    if scope.processes is None:
        return list(near), 0
    chosen, unowned = [], 0
    for one in near:
        several = desks.holders_of_queue(one) if one.awaits_accept else holders.get(one.inode, ())
        if scope.has_process(several):
            chosen.append(one)
        elif one.inode == 0 and not one.awaits_accept:
            unowned += 1
    return chosen, unowned


def _owner(one: DiagSocket, holders: Holders, desks: _Listeners) -> Owner:
    kind = OwnerKind.QUEUE if one.awaits_accept else OwnerKind.PROCESS if one.inode else OwnerKind.KERNEL
    several = desks.holders_of_queue(one) if kind is OwnerKind.QUEUE else holders.get(one.inode, ())
    processes = {it.pid: it.comm for it in several}
    if not processes:
        return Owner(OwnerKind.UNSEEN if kind is OwnerKind.PROCESS else kind)
    first = min(processes)
    return Owner(kind, first, processes[first], len(processes) - 1)


def _states(chosen: Iterable[DiagSocket]) -> tuple[StateCount, ...]:
    counts = Counter(one.state for one in chosen)
    return tuple(StateCount(state, count, _CLOSED_FIRST.get(state)) for state, count in sorted(counts.items()))


def _groups(counted: Iterable[Counted]) -> tuple[Group, ...]:
    members: dict[tuple[int, Owner, bool, int, str, TcpState], list[DiagSocket]] = defaultdict(list)
    for it in counted:
        one = it.socket
        far = one.remote.address if it.incoming else str(one.remote)
        members[(one.netns, it.owner, it.incoming, one.local.port if it.incoming else 0, far, one.state)].append(one)
    groups = [
        Group(
            *key, count=len(several), quiet_ms=max((ms for ms in map(quiet, several) if ms is not None), default=None)
        )
        for key, several in members.items()
    ]
    return tuple(sorted(groups, key=_importance))


def _importance(group: Group) -> tuple[object, ...]:
    """Sort CLOSE_WAIT first, because a program must act on it, then the largest groups."""
    waits = group.state is not TcpState.CLOSE_WAIT
    return (waits, -group.count, group.state, group.remote, group.local_port, group.owner.pid, group.netns)


def _ports(near: Iterable[DiagSocket], namespaces: Iterable[Namespace], desks: _Listeners) -> tuple[PortUse, ...]:
    uses: list[PortUse] = []
    for space in namespaces:
        if space.settings is not None:
            usable = usable_ports(space.settings, desks.ports(space.inode))
            ours = (it for it in near if it.netns == space.inode and not desks.came_in(it, space.settings))
            uses += port_use(ours, space.settings, usable)
    return tuple(sorted(uses, key=lambda use: (-use.blocked_share, -use.used)))
