"""Leak sites: lingering sockets that the same code path left behind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Optional

from tracer.diagnose import advice, words
from tracer.diagnose.facts import last_call
from tracer.model.connection import Blocked, Connection, Touch
from tracer.model.finding import Finding, Site, Verdict
from tracer.model.frame import Stack

Served = frozenset[tuple[int, str, int]]
StackKey = tuple[tuple[Optional[str], Optional[str], int], ...]


def group(findings: Iterable[Finding]) -> tuple[Site, ...]:
    """Sites by (process, verdict, remote endpoint, stack), the largest first, then the oldest.

    Sockets that were accepted have as many remote ports as connections: they are grouped by the endpoint that they
    were accepted on. The result does not depend on the order of ``findings``.
    """
    every = sorted(findings, key=lambda f: (f.since_ns, f.connection.key, str(f.connection.local)))
    served = _served(every)
    groups: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for finding in every:
        groups[_identity(finding, served)].append(finding)
    sites = [_site(members, served) for members in groups.values()]
    return tuple(
        sorted(sites, key=lambda s: (-s.count, s.findings[0].since_ns, s.pid, s.verdict.value, s.remote, s.last_op))
    )


def identity(site: Site) -> tuple[object, ...]:
    """What stays the same of a site while it grows, for recognising it at the next look."""
    findings = list(site.findings)
    return _identity(findings[0], _served(findings))


def telling_call(finding: Finding) -> Optional[Touch]:
    """The call that a verdict rests on: the read of the end for ``eof-ignored``, else the last one (None: unseen)."""
    c = finding.connection
    return c.eof if finding.verdict is Verdict.EOF_IGNORED and c.eof is not None else last_call(c)


def _blocked(finding: Finding) -> Optional[Blocked]:
    blocked = finding.connection.blocked
    return blocked[0] if finding.verdict is Verdict.BLOCKED_IN_CALL and blocked else None


def _stack(finding: Finding) -> tuple[Optional[Stack], Optional[str]]:
    """The stack to show, and why there is none or why it ends early."""
    blocked = _blocked(finding)
    if blocked is not None and blocked.stack is not None:
        return blocked.stack, blocked.stack.note
    touch = telling_call(finding)
    if touch is None:
        return None, "no call on the socket was seen"
    if touch.stack is not None:
        return touch.stack, touch.stack_note or touch.stack.note
    return None, touch.stack_note or "no stack was kept for this call"


def _operation(finding: Finding) -> str:
    blocked = _blocked(finding)
    touch = telling_call(finding)
    return blocked.syscall if blocked is not None else touch.op.label if touch is not None else "none"


def _process(c: Connection) -> int:
    """Who answers for a socket: its owner, else who holds it, else who listens where it waits; 0 if nobody is known."""
    if c.owner is not None:
        return c.owner.pid
    if c.holders:
        return min(h.pid for h in c.holders)
    return c.listener.pid if c.listener is not None else 0


def _comm(findings: Iterable[Finding], pid: int) -> str:
    """The process's name from /proc if a descriptor was found there: a thread's own name says less."""
    actors = []
    for finding in findings:
        c = finding.connection
        listening = (c.listener,) if c.listener is not None else ()
        held = sorted(h.comm for h in (*c.holders, *listening) if h.pid == pid)
        if held:
            return held[0]
        if c.owner is not None and c.owner.pid == pid:
            actors.append(c.owner.comm)
    return Counter(sorted(actors)).most_common(1)[0][0] if actors else ""


def _served(findings: list[Finding]) -> Served:
    """Local endpoints (with netns) that connections are accepted on: several remote ports meet at one local port."""
    served = set()
    remotes: dict[tuple[int, str, int], set[str]] = defaultdict(set)
    for finding in findings:
        c = finding.connection
        local = (c.netns, c.local.address, c.local.port)
        if c.passive or c.accepted is False:
            served.add(local)
        elif c.passive is None:
            remotes[local].add(str(c.remote))
    return frozenset(served | {local for local, peers in remotes.items() if len(peers) > 1})


def _accepted_on(c: Connection, served: Served) -> bool:
    return c.passive is not False and (c.netns, c.local.address, c.local.port) in served


def _identity(finding: Finding, served: Served) -> tuple[object, ...]:
    c = finding.connection
    end = ("on", str(c.local)) if _accepted_on(c, served) else ("to", str(c.remote))
    return (_process(c), finding.verdict, c.netns, end, _operation(finding), stack_key(_stack(finding)[0]))


def stack_key(stack: Optional[Stack]) -> StackKey:
    """What makes two stacks the same code path: function, module, and line (offset where no line is known)."""
    frames = stack.frames if stack is not None else ()
    return tuple((f.function, f.module, f.offset if f.line is None else f.line) for f in frames)


def _remote(members: list[Finding], served: Served) -> str:
    first = members[0].connection
    if not _accepted_on(first, served):
        return str(first.remote)
    if len(members) == 1:
        return str(first.remote)
    hosts = sorted({f.connection.remote.address for f in members})
    if len(hosts) == 1:
        return f"[{hosts[0]}]:*" if ":" in hosts[0] else f"{hosts[0]}:*"
    return words.plural(len(hosts), "host")


def _site(members: list[Finding], served: Served) -> Site:
    first = members[0]
    stack, note = _stack(first)
    opened = next((f.connection.opened for f in members if f.connection.opened and f.connection.opened.stack), None)
    opened_stack = opened.stack if opened is not None else None
    pid = _process(first.connection)
    explanation, to_do = advice.advise(first.verdict, members, stack, opened_stack)
    return Site(
        pid=pid,
        comm=_comm(members, pid),
        verdict=first.verdict,
        remote=_remote(members, served),
        last_op=_operation(first),
        stack=stack,
        stack_note=note,
        opened_stack=opened_stack,
        findings=tuple(members),
        explanation=explanation,
        advice=to_do,
    )
