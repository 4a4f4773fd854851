"""Verdicts, leak sites and the report: what the diagnosis hands to the printers."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Optional

from tracer.model.connection import Actor, Connection, Endpoint, Host, Losses, Probe, Touch
from tracer.model.frame import Stack
from tracer.model.holder import HeapLook, HeldAlike
from tracer.model.identity import NOBODY, Identity
from tracer.model.slotted import slotted
from tracer.model.thread import Present


class Verdict(str, enum.Enum):
    """What most likely happened to a socket that lingers. docs/verdicts.md tells each at length."""

    EOF_IGNORED = "eof-ignored"
    END_TAKEN = "end-taken"
    IDLE_IN_POOL = "idle-in-pool"
    NOT_RELEASED = "not-released"
    LOST = "lost"
    UNREAD_DATA = "unread-data"
    READING_PAUSED = "reading-paused"
    NEVER_READ = "never-read"
    NEVER_ACCEPTED = "never-accepted"
    HELD_ELSEWHERE = "held-elsewhere"
    HALF_CLOSED_IN_USE = "half-closed-in-use"
    BLOCKED_IN_CALL = "blocked-in-call"
    SEND_STALLED = "send-stalled"
    RESET_STILL_OPEN = "reset-still-open"
    NOT_READ_SINCE = "not-read-since"
    UNKNOWN = "unknown"


@slotted
@dataclass(frozen=True)
class Finding:
    """One lingering socket with its verdict and the facts that led to it, each a plain sentence."""

    connection: Connection
    verdict: Verdict
    evidence: tuple[str, ...]
    since_ns: int
    """When the socket began to linger: FIN's arrival (of an older socket, the earliest that can be vouched for: what
    sock_diag tells, or the start of the trace); of a socket that never had a FIN, the time it was reset."""


class Direction(str, enum.Enum):
    """Who opened the connections of a site: the peer (ACCEPTED) or the program (OPENED)."""

    ACCEPTED = "accepted"
    OPENED = "opened"
    UNKNOWN = "unknown"


class Where(str, enum.Enum):
    """The stack that has the first frame of the program's own: the telling call's, the opener's, that of the first
    threads in ``Site.now``, or none of them. HELD: of no stack, but the program's own object holds the socket.
    """

    LAST = "last"
    SENT = "sent"
    OPENED = "opened"
    NOW = "now"
    HELD = "held"
    NONE = "none"


@dataclass(frozen=True)
class Application:
    """The program's first own frame: ``index`` in the frames of ``stack``, None if there is none.

    ``loop`` is the thread whose event loop or pool made the telling call, if no stack has a frame of the program.
    """

    stack: Where = Where.NONE
    index: Optional[int] = None
    loop: Optional[str] = None


_NOWHERE = Application()


@dataclass(frozen=True)
class Share:
    """How many sockets of a site a process has, and where it belongs."""

    pid: int
    comm: str
    count: int
    identity: Identity = NOBODY


@dataclass(frozen=True)
class Remote:
    """How many sockets of a site go to an endpoint; of accepted ones, come from ``ADDRESS:*``."""

    endpoint: str
    count: int


@dataclass(frozen=True)
class Site:
    """Sockets leaked by the same code path: one program, verdict, direction and path of the program's own functions.

    ``pid`` and ``comm`` are the process that has most of them, ``processes`` all, the largest first. ``remote`` is the
    endpoint if there is one, else their number or what they share; ``remotes`` lists them. ``listening`` is where they
    were accepted. ``findings`` has those of the site's verdict first, then those that differ only by the moment of FIN;
    the oldest of each first. ``stack`` is that of the first one's telling call. Where that is an event loop's receive,
    ``sent_stack`` is the last send's. ``now`` tells where the threads that touched them last are, or who could
    accept them; ``not_looked_at`` counts threads left out. ``held`` tells who holds the sockets in the heap, those held
    by most first. ``key`` is equal for the same site at another look; ``id`` on other hosts, in other builds and other
    runs, too (diagnose/siteid.py). ``explanation`` says what happened, ``advice`` what to change; both are sentences
    for a person.
    """

    pid: int
    comm: str
    verdict: Verdict
    remote: str
    last_op: str
    stack: Optional[Stack]
    stack_note: Optional[str]
    opened_stack: Optional[Stack]
    findings: tuple[Finding, ...]
    explanation: tuple[str, ...]
    advice: tuple[str, ...]
    program: str = ""
    direction: Direction = Direction.UNKNOWN
    listening: Optional[str] = None
    processes: tuple[Share, ...] = ()
    remotes: tuple[Remote, ...] = ()
    application: Application = _NOWHERE
    now: tuple[Present, ...] = ()
    not_looked_at: int = 0
    key: Hashable = None
    sent_stack: Optional[Stack] = None
    held: tuple[HeldAlike, ...] = ()
    id: str = ""

    @property
    def count(self) -> int:
        """Sockets of this site."""
        return len(self.findings)

    @property
    def since_ns(self) -> int:
        """When the oldest of them began to linger, monotonic ns."""
        return min(finding.since_ns for finding in self.findings)


@dataclass(frozen=True)
class Shown:
    """A site to print now, by its number in order of appearance; ``grown_from`` is 0 the first time."""

    site: Site
    number: int
    grown_from: int


@dataclass(frozen=True)
class Tick:
    """What one interval brought: sites that are new or grew, and figures for the status line."""

    sites: tuple[Shown, ...]
    watched: int
    close_wait: int
    oldest_ns: Optional[int]


@dataclass(frozen=True)
class Ended:
    """A socket that had lingered and then left: closed by the program, reset, or gone with its process.

    ``program`` is what the program of the process that had it is called; empty if that could not be read.
    """

    connection: Connection
    verdict: Verdict
    lingered_ns: int
    how: str
    program: str = ""


@dataclass(frozen=True)
class BackOff:
    """At ``at`` (seconds since the epoch) tracing cost ``percent`` of one CPU; from then on ``stacks`` of touches were
    ``sampled`` (one in 16), ``off``, or ``all`` kept. ``more``: those are more than before.
    """

    at: float
    stacks: str
    percent: float
    more: bool = False


@dataclass(frozen=True)
class Cost:
    """What the run itself took: CPU of this process, run time of the kernel side, memory.

    ``kernel_s`` is None where the kernel does not count it (kernel.bpf_stats_enabled, or --max-overhead).
    ``rss_bytes`` is this process's own memory, ``kernel_bytes`` that of its BPF maps.
    """

    wall_s: float
    cpu_s: float
    kernel_s: Optional[float]
    rss_bytes: int
    kernel_bytes: int
    max_overhead_percent: Optional[float] = None
    backed_off: tuple[BackOff, ...] = ()


@dataclass(frozen=True)
class Streamed:
    """Transitions of one `tail`: ``produced`` = ``shown`` + ``lost``.

    ``produced`` and ``lost`` are the kernel side's own counts, ``shown`` is the printer's. Not in them is what never
    came to be: of sockets ``not_followed`` for want of memory, and in hooks ``not_run`` as they interrupted themselves.
    ``stacks_unread`` is as in Losses.
    """

    produced: int
    shown: int
    lost: int
    not_followed: int = 0
    not_run: int = 0
    stacks_unread: int = 0


@dataclass(frozen=True)
class Process:
    """A process by its number and name; ``sockets`` counts those of its sockets that it is named for."""

    pid: int
    comm: str
    sockets: int = 0


@dataclass(frozen=True)
class Reconciliation:
    """The report held against the kernel's own list of sockets in CLOSE_WAIT, in the network namespaces in scope.

    ``listed`` = ``told`` + ``younger`` (than the threshold) + ``descendants_sockets`` (held by descendants of processes
    in scope that are not in scope themselves) + ``without_holder`` (nobody's descriptor was found) + ``out_of_scope``.
    ``mptcp`` counts MPTCP sockets in CLOSE_WAIT in scope, which are not in that list. ``unreadable`` are the processes
    whose descriptors could not be read; ``matters`` if that can have an effect: they are in scope, or the holder of a
    socket was not found. ``unreadable_namespaces`` is as in Losses. ``complete``: nothing that
    could not be read can hide a socket in scope. ``left`` counts sockets that were in CLOSE_WAIT at the start, are not
    now, and have no record: how they left is not known.
    """

    complete: bool = True
    namespaces: int = 0
    listed: int = 0
    told: int = 0
    younger: int = 0
    out_of_scope: int = 0
    without_holder: int = 0
    descendants_sockets: int = 0
    descendants: tuple[Process, ...] = ()
    mptcp: int = 0
    unreadable: tuple[Process, ...] = ()
    matters: bool = False
    unreadable_namespaces: int = 0
    left: int = 0


@dataclass(frozen=True)
class EndedKind:
    """Sockets that had lingered and then left in the same way: ``ender`` and ``outcome`` in words, ``closed`` one of
    the closing calls (None if none was seen), the threads that made them, and how long they had lingered.
    """

    verdict: Verdict
    ender: str
    outcome: str
    closed: Optional[Touch]
    closers: tuple[Actor, ...]
    count: int
    shortest_ns: int
    longest_ns: int


@dataclass(frozen=True)
class Unread:
    """A file (its path, or a process) of which a ``part`` was not read any more, and ``why``; "" is all of them."""

    what: str
    part: str
    why: str


@dataclass(frozen=True)
class Unconfined:
    """A ``part`` of the confinement of what reads files and memory that could not be had on this host, and ``why``."""

    part: str
    why: str


@dataclass(frozen=True)
class PortShare:
    """How many of the ``usable`` ephemeral ports from a local address to a remote endpoint are ``used``.

    ``time_wait`` of them are held by TIME_WAIT alone.
    """

    source: str
    destination: Endpoint
    used: int
    time_wait: int
    usable: int


@dataclass(frozen=True)
class Report:
    """All that one run found. Wall-clock times are seconds since the epoch; ``now_ns`` is CLOCK_MONOTONIC at the end.

    ``clock_offset_ns`` added to a CLOCK_MONOTONIC value gives nanoseconds since the epoch. ``ended_findings`` are the
    latest of those that left, ``ended_kinds`` counts all of them. ``recorded_since`` is when the agent began to record
    whose records these are; None if this is a run of its own. ``seen`` counts the sockets that were in scope since the
    recording began, those that have ended among them; None if that is not known.
    """

    host: Host
    target: str
    started: float
    ended: float
    now_ns: int
    clock_offset_ns: int
    linger_ns: int
    plan: tuple[Probe, ...]
    sites: tuple[Site, ...]
    losses: Losses
    ended_findings: tuple[Ended, ...] = ()
    ended_kinds: tuple[EndedKind, ...] = ()
    watched: int = 0
    ports: tuple[PortShare, ...] = ()
    """The fullest, if they were looked at."""
    cost: Optional[Cost] = None
    reconciliation: Optional[Reconciliation] = None
    unread: tuple[Unread, ...] = ()
    unconfined: tuple[Unconfined, ...] = ()
    heaps: tuple[HeapLook, ...] = ()
    recorded_since: Optional[float] = None
    seen: Optional[int] = None

    @property
    def lingered(self) -> int:
        """Sockets that were over the threshold, whoever closed them in the end."""
        return self.lingering + sum(kind.count for kind in self.ended_kinds)

    @property
    def lingering(self) -> int:
        """Sockets over the threshold, all sites together."""
        return sum(site.count for site in self.sites)
