"""A connection as the flight recorder, sock_diag and /proc together know it. Times are CLOCK_MONOTONIC ns."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.model.frame import Stack
from tracer.model.holder import Lineage
from tracer.model.slotted import slotted
from tracer.model.states import Op, Origin, TcpState


class Endpoint(NamedTuple):
    """Address (v4-mapped IPv6 is given as IPv4 already) and port in host order."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Actor:
    """The thread in whose system call something happened. ``pid`` is the thread group, as users say pid."""

    pid: int
    tid: int
    comm: str


@slotted
@dataclass(frozen=True)
class Touch:
    """A call on the socket by a program. ``ret`` is the call's result (bytes or -errno), None if not known.

    ``syscall`` is the number of the system call that the thread was in (asm/unistd_64.h), -1 if unknown: it tells
    close(2) from exit_group(2) or dup2(2). ``peek`` marks MSG_PEEK. ``stack`` is None if none was kept;
    ``stack_note`` then says why ("stack memory was spent", "touched by a kernel worker"). ``exiting`` marks a close
    that the kernel made because the process was ending.
    """

    op: Op
    ns: int
    actor: Actor
    ret: Optional[int] = None
    syscall: int = -1
    peek: bool = False
    stack: Optional[Stack] = None
    stack_note: Optional[str] = None
    exiting: bool = False


@slotted
@dataclass(frozen=True)
class Transition:
    """One change of TCP state. ``actor`` is set only where the caller's own call made it (origin local)."""

    ns: int
    old: TcpState
    new: TcpState
    origin: Origin
    actor: Optional[Actor] = None


class Relation(str, enum.Enum):
    """What a holder of a socket is to who used it last: the same process, an ancestor, a descendant, or neither."""

    OWNER = "owner"
    PARENT = "parent"
    CHILD = "child"
    OTHER = "other"


@slotted
@dataclass(frozen=True)
class Holder:
    """A process whose descriptor refers to the socket now. ``relation`` is None if nobody is known to have used it.

    ``exec_ns`` is when the process last replaced its program (execve(2)), if the socket was open then and the process
    has made no call on it since; CLOCK_MONOTONIC ns. ``close_on_exec`` is the descriptor's flag FD_CLOEXEC as it is
    now, None if it could not be read. It is looked at only where there was such an exec. ``tid`` is the thread that has
    the descriptor in a table of its own, not in that of the process; None is the usual case.
    """

    pid: int
    fd: int
    comm: str
    relation: Optional[Relation] = None
    exec_ns: Optional[int] = None
    close_on_exec: Optional[bool] = None
    tid: Optional[int] = None

    @property
    def table(self) -> int:
        """Whose table has the descriptor: ``/proc/TABLE/fd`` shows it."""
        return self.pid if self.tid is None else self.tid


@dataclass(frozen=True)
class Blocked:
    """A thread that is inside a system call on the socket now."""

    actor: Actor
    fd: int
    syscall: str
    stack: Optional[Stack] = None


@slotted
@dataclass(frozen=True)
class KernelCounters:
    """What the kernel itself counts of a socket, by sock_diag (struct tcp_info, linux/tcp.h); None if it does not say.

    ``bytes_received`` and ``bytes_acked`` are over the socket's whole life and in sequence numbers: a FIN that came
    counts as one byte received, a SYN that was acknowledged as one byte acked. ``last_data_in_ns``,
    ``last_data_out_ns`` and ``last_ack_in_ns`` (the peer's last segment with an ACK, its FIN included) are
    CLOCK_MONOTONIC ns; before any data they are when the connection was made. ``unsent`` is bytes in the send queue
    that were never sent, ``unacked`` segments that the peer has not acknowledged, ``peer_window`` the bytes that the
    peer is ready to take. ``backed_off_ns`` is how long at least the timer that sends again, or probes the
    peer's window, has run since the peer took something last. ``opened_here``: this side sent the SYN.
    """

    bytes_received: Optional[int] = None
    bytes_acked: Optional[int] = None
    last_data_in_ns: Optional[int] = None
    last_data_out_ns: Optional[int] = None
    last_ack_in_ns: Optional[int] = None
    unsent: Optional[int] = None
    unacked: Optional[int] = None
    peer_window: Optional[int] = None
    backed_off_ns: Optional[int] = None
    opened_here: Optional[bool] = None


@dataclass(frozen=True)
class Interest:
    """An epoll set that a socket is in: ``fd`` of process ``pid``, in the set ``epoll_fd``, for ``events`` (EPOLL*)."""

    pid: int
    epoll_fd: int
    fd: int
    events: int


@slotted
@dataclass(frozen=True)
class Connection:
    """Everything known of one TCP socket, at the time ``seen_ns``.

    Counters cover the traced life only; ``preexisting`` says that the socket is older than the trace; with
    ``crowded_out`` it may be newer, and have found no free record when it began.
    ``fin_ns`` is when it entered CLOSE_WAIT; for a socket that was already there when the trace began it is None and
    ``fin_before_ns`` (sock_diag's last data or ACK time) is the earliest that the recorder can vouch for.
    ``rx_queue`` is the receive queue now (in CLOSE_WAIT the FIN counts as one byte until it is read), None if
    sock_diag did not list the socket; ``rx_queue_at_fin`` counts bytes unread when FIN came (FIN not counted).
    ``accepted`` is False while the socket waits in an accept queue. ``passive`` is True for accepted sockets, False for
    connected ones, None if unknown. ``opened_late`` says that ``opened`` is the first touch seen, not the
    accept or connect itself. ``missed_touches`` counts touches that were dropped because another thread was inside.
    ``listener`` is who holds the listening socket in whose accept queue this one waits, or from which it was accepted
    if only the local port told so; None if that is not known. ``listeners`` are the holders of several, if it waits in
    the queue of one of them and the kernel does not tell which (SO_REUSEPORT); () otherwise.
    ``tx_queue`` is the send queue now in bytes: sent and not acknowledged, or not sent yet. ``kernel`` has the kernel's
    own counters. ``interests`` are the epoll sets that it is in, () if it is in none though its holders have some, None
    if that is not known, no holder uses epoll, or its descriptors block. ``never_reused`` is True if this one is of
    several by one opener to one remote, most of which were opened while an older one of them lay idle and alive.
    ``unheld`` is a number if no process, its owner included, was found to have a descriptor for it: that of the
    processes whose descriptors could not be read. ``unrecorded`` says
    that it was found in the kernel's list alone: no call on it was recorded though a process in scope holds it;
    with ``crowded_out`` everybody's calls are recorded: most likely no record was free.
    ``unseen`` names the kinds of calls ("receive", "send") that no hook shows on this kernel: that none is recorded
    then says nothing.
    ``sent`` is the last send where the process receives in an event loop, whose stacks tell nothing of the program.
    ``lineage`` is who holds it in the heap of its process, None if that was not looked at.
    ``packages``: client libraries that a holder could have used, where no stack names one.
    """

    sk: int
    birth_ns: int
    local: Endpoint
    remote: Endpoint
    state: TcpState
    seen_ns: int
    netns: int = 0
    cookie: int = 0
    inode: int = 0
    preexisting: bool = False
    passive: Optional[bool] = None
    accepted: Optional[bool] = None
    transitions: tuple[Transition, ...] = ()
    transitions_dropped: int = 0
    opened: Optional[Touch] = None
    opened_late: bool = False
    last: Optional[Touch] = None
    eof: Optional[Touch] = None
    eof_reads: int = 0
    sent: Optional[Touch] = None
    shutdown: Optional[Touch] = None
    closed: Optional[Touch] = None
    fin_ns: Optional[int] = None
    fin_before_ns: Optional[int] = None
    reset_ns: Optional[int] = None
    reset_by: Optional[Origin] = None
    ended_ns: Optional[int] = None
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_calls: int = 0
    tx_calls: int = 0
    last_rx_ns: Optional[int] = None
    last_tx_ns: Optional[int] = None
    rx_queue: Optional[int] = None
    rx_queue_at_fin: Optional[int] = None
    holders: tuple[Holder, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    missed_touches: int = 0
    listener: Optional[Holder] = None
    listeners: tuple[Holder, ...] = ()
    unseen: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    tx_queue: Optional[int] = None
    kernel: Optional[KernelCounters] = None
    interests: Optional[tuple[Interest, ...]] = None
    never_reused: Optional[bool] = None
    unheld: Optional[int] = None
    unrecorded: bool = False
    crowded_out: bool = False
    lineage: Optional[Lineage] = None

    @property
    def key(self) -> tuple[int, int]:
        """Identity: the kernel reuses socket addresses, so address plus birth time."""
        return (self.sk, self.birth_ns)

    @property
    def owner(self) -> Optional[Actor]:
        """Who answers for the socket: the last toucher, else the opener, else None (then see ``holders``)."""
        touch = self.last if self.last is not None else self.opened
        return touch.actor if touch is not None else None


@dataclass(frozen=True)
class Losses:
    """What the recorder could not keep, all counted in the kernel. All zero means that nothing was lost.

    ``events``: ring buffer full. ``records``: flight-record map full. ``boxes``: touches without a stack because the
    stack memory was spent. ``contended``: touches dropped because another thread was touching the same socket in that
    instant. ``returns``: call results missed (kretprobe instances exhausted). ``nested``: hooks that the kernel did not
    run because the same program was running on that CPU. ``stacks_truncated``: stacks in the report that are not
    complete. ``descriptors``: processes whose descriptors could not be read. ``namespaces``: network namespaces that
    could not be entered or listed, and processes whose namespace could not be told. ``stacks_unread``: boxes that could
    not be walked within the limits; their stack is one frame. ``threads``: threads of a process with very many
    that were not looked at for who is inside a call on a socket.
    """

    events: int = 0
    records: int = 0
    boxes: int = 0
    contended: int = 0
    returns: int = 0
    stacks_truncated: int = 0
    stacks_unread: int = 0
    nested: int = 0
    descriptors: int = 0
    namespaces: int = 0
    threads: int = 0

    def any(self) -> bool:
        """Whether anything at all was lost."""
        return any(vars(self).values())


@dataclass(frozen=True)
class Probe:
    """How one hook family was attached: ``way`` such as ``raw_tp:inet_sock_set_state``, None if nothing could be."""

    family: str
    way: Optional[str]
    reason: str = ""
    cost: str = ""


@dataclass(frozen=True)
class Host:
    """The machine that was traced."""

    hostname: str
    kernel: str
    architecture: str
