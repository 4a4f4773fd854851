"""Leak sites: lingering sockets that the same code path left behind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Callable

from tracer.diagnose import advice, words
from tracer.diagnose.facts import after_fin, end_with_last_read, opened_here, unread_bytes
from tracer.diagnose.hanging import Hanging
from tracer.diagnose.held import alike
from tracer.diagnose.owners import application_frame
from tracer.diagnose.paths import application, code_path
from tracer.diagnose.present import END_IS_KNOWN, owes_a_call
from tracer.diagnose.siteid import site_id
from tracer.diagnose.telling import opener_stack, sent_stack, telling_operation, telling_stack
from tracer.model.connection import Connection
from tracer.model.finding import Application, Direction, Finding, Remote, Share, Site, Verdict, Where
from tracer.model.identity import NOBODY, Identity
from tracer.model.thread import Present

Served = frozenset[tuple[int, str, int]]
ProgramOf = Callable[[int], str]
"""Name of the program that a process runs; empty if that is not known."""
IdentityOf = Callable[[int], Identity]
"""Where a process belongs: unit, container, pod."""
_IN_ORDER = attrgetter("since_ns", "connection.sk", "connection.birth_ns", "connection.local")
_Key = tuple[object, ...]
_Likeness = tuple[object, ...]
_ACCEPTED, _OPENED, _HELD_ELSEWHERE = Direction.ACCEPTED, Direction.OPENED, Verdict.HELD_ELSEWHERE
_FIN_LATER = (Verdict.IDLE_IN_POOL, Verdict.NOT_RELEASED, Verdict.NOT_READ_SINCE)
"""What is told of a socket that END_TAKEN would be told of, had FIN come before the last read."""


def group(
    findings: Iterable[Finding],
    program_of: ProgramOf = lambda _pid: "",
    identity_of: IdentityOf = lambda _pid: NOBODY,
) -> tuple[Site, ...]:
    """Sites by (program, verdict, direction, listening port, code path), the largest first, then the oldest.

    Workers of one program are one site, and so are connections to many peers. Whose path is not known are told apart
    by nothing else. Verdicts that differ by the moment of FIN alone are one site, under the verdict of most of its
    sockets. The result does not depend on the order of ``findings``.
    """
    every = _in_order(findings)
    served, names = _served(every), _Names(every, program_of, identity_of)
    groups: dict[_Key, list[Finding]] = defaultdict(list)
    alike: dict[_Likeness, list[Finding]] = {}
    for finding in every:
        likeness = _likeness(finding, served)
        members = alike.get(likeness)
        if members is None:
            members = alike[likeness] = groups[_identity(finding, served, names)]
        members.append(finding)
    sites = [_site(key, members, served, names) for key, members in _timing_apart(groups).items()]
    return tuple(sorted(sites, key=lambda s: (-s.count, s.since_ns, s.pid, s.verdict.value, s.remote)))


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The oldest first, then by what tells two of one age apart."""
    return sorted(findings, key=_IN_ORDER)


def with_present(site: Site, now: tuple[Present, ...], not_looked_at: int) -> Site:
    """The site with where its threads are now, and with what that says to its advice."""
    if not now and not not_looked_at:
        return site
    where = site.application
    placed = [index for one in now if not one.beside and (index := application_frame(one.stack)) is not None]
    if where.stack is Where.NONE and len(placed) == 1:
        where = Application(Where.NOW, placed[0])
    seen = replace(site, now=now, not_looked_at=not_looked_at, application=where)
    threads = Hanging(now, site.stack, site.findings)
    owed = threads.tells and owes_a_call(site.verdict, site.stack)
    if not (owed or threads.polls or (threads.still and site.verdict in END_IS_KNOWN)):
        return seen
    explanation, to_do = advice.advise(site.verdict, list(site.findings), site.stack, site.opened_stack, now)
    return replace(seen, explanation=explanation, advice=to_do)


def process_of(finding: Finding) -> int:
    """Who answers for a socket: its owner, else who holds it, else who listens where it waits; 0 if nobody is known.

    The owner of one that is held elsewhere has let go of it, and has often ended.
    """
    c = finding.connection
    elsewhere = finding.verdict is _HELD_ELSEWHERE and c.holders
    owner = c.owner
    if owner is not None and not elsewhere:
        return owner.pid
    if c.holders:
        return min(h.pid for h in c.holders)
    if len({one.pid for one in c.listeners}) > 1:
        return 0  # in the queue of one of them, nobody knows which
    return c.listener.pid if c.listener is not None else 0


class _Names:
    """What processes are called: by /proc where a descriptor was found, since a thread's own name says less."""

    def __init__(self, findings: Iterable[Finding], program_of: ProgramOf, identity_of: IdentityOf) -> None:
        held: dict[int, set[str]] = defaultdict(set)
        acted: dict[int, Counter[str]] = defaultdict(Counter)
        for finding in findings:
            c = finding.connection
            for holder in c.holders if c.listener is None else (*c.holders, c.listener):
                held[holder.pid].add(holder.comm)
            owner = c.owner
            if owner is not None:
                acted[owner.pid][owner.comm] += 1
        self._comms = {pid: _most_common(counts) for pid, counts in acted.items()}
        self._comms.update((pid, min(names)) for pid, names in held.items())
        self._program_of, self._identity_of = program_of, identity_of
        self._programs: dict[int, str] = {}

    def comm(self, pid: int) -> str:
        return self._comms.get(pid, "")

    def program(self, pid: int) -> str:
        if pid not in self._programs:
            self._programs[pid] = (self._program_of(pid) if pid else "") or self.comm(pid)
        return self._programs[pid]

    def identity(self, pid: int) -> Identity:
        return self._identity_of(pid) if pid else NOBODY


def _most_common(counts: Counter[str]) -> str:
    return min(counts, key=lambda name: (-counts[name], name))


def _served(findings: list[Finding]) -> Served:
    """Local endpoints (with netns) that connections are accepted on: several remote ports meet at one local port."""
    served = set()
    remotes: dict[tuple[int, str, int], set[str]] = defaultdict(set)
    for finding in findings:
        c = finding.connection
        if c.passive or c.accepted is False:
            served.add(_local(c))
        elif opened_here(c) is None:
            remotes[_local(c)].add(str(c.remote))
    return frozenset(served | {local for local, peers in remotes.items() if len(peers) > 1})


def _direction(c: Connection, served: Served) -> Direction:
    opened = opened_here(c)
    if opened is False or c.accepted is False or (opened is None and _local(c) in served):
        return _ACCEPTED
    return _OPENED if opened else Direction.UNKNOWN


def _local(c: Connection) -> tuple[int, str, int]:
    return (c.netns, c.local.address, c.local.port)


def _likeness(finding: Finding, served: Served) -> _Likeness:
    """Findings that are alike in this have one identity: the same process, the same stack objects.

    To look for it costs a few numbers. An identity has the names of all functions, and to hash it takes longer.
    """
    c = finding.connection
    direction = _direction(c, served)
    port = c.local.port if direction is _ACCEPTED else None
    stacks = id(telling_stack(finding)[0]), id(opener_stack(finding)), id(sent_stack(finding))
    return (process_of(finding), finding.verdict, c.netns, direction, port, stacks, id(c.lineage))


def _identity(finding: Finding, served: Served, names: _Names) -> _Key:
    c = finding.connection
    direction = _direction(c, served)
    port = c.local.port if direction is Direction.ACCEPTED else None
    program = names.program(process_of(finding))
    return (program, finding.verdict, c.netns, direction, port, code_path(finding))


def _timing_apart(groups: dict[_Key, list[Finding]]) -> dict[_Key, list[Finding]]:
    """The groups, with those of one code path joined that differ only by whether FIN came before or after its read."""
    joined = dict(groups)
    for key, members in groups.items():
        if key[1] is not Verdict.END_TAKEN or not all(end_with_last_read(f.connection) for f in members):
            continue
        later = [other for verdict in _FIN_LATER if (other := _under(key, verdict)) in joined]
        later = [other for other in later if all(map(_nothing_since_fin, joined[other]))]
        if not later:
            continue
        most = max(later, key=lambda other: len(joined[other]))
        kept, gone = (most, key) if len(joined[most]) > len(members) else (key, most)
        joined[kept] = sorted(joined[kept] + joined.pop(gone), key=lambda f: f.verdict is not kept[1])
    return joined


def _nothing_since_fin(finding: Finding) -> bool:
    """Whether FIN came after the last call, and nothing but FIN is unread."""
    c = finding.connection
    return not unread_bytes(c) and not (c.last is not None and after_fin(c, c.last.ns))


def _under(key: _Key, verdict: Verdict) -> _Key:
    return (key[0], verdict, *key[2:])


def _site(key: _Key, members: list[Finding], served: Served, names: _Names) -> Site:
    first = members[0]
    stack, note = telling_stack(first)
    opened = next((found for found in map(opener_stack, members) if found is not None), None)
    sent = next((found for found in map(sent_stack, members) if found is not None), None)
    direction = _direction(first.connection, served)
    processes = _processes(members, names)
    remotes = _remotes(members, direction)
    explanation, to_do = advice.advise(first.verdict, members, stack, opened)
    program = names.program(processes[0].pid)
    return Site(
        id=site_id(program, first, direction),
        pid=processes[0].pid,
        comm=processes[0].comm,
        verdict=first.verdict,
        remote=_remote(members, remotes, direction),
        last_op=telling_operation(first),
        stack=stack,
        stack_note=note,
        opened_stack=opened,
        findings=tuple(members),
        explanation=explanation,
        advice=to_do,
        program=program,
        direction=direction,
        listening=_listening(members) if direction is Direction.ACCEPTED else None,
        processes=processes,
        remotes=remotes,
        application=application(first, sent, opened),
        key=key,
        sent_stack=sent,
        held=alike(members),
    )


def _processes(members: list[Finding], names: _Names) -> tuple[Share, ...]:
    counts = Counter(map(process_of, members))
    return tuple(
        Share(pid, names.comm(pid), count, names.identity(pid)) for pid, count in sorted(counts.items(), key=_largest)
    )


def _largest(item: tuple[int, int]) -> tuple[int, int]:
    key, count = item
    return -count, key


def _remotes(members: list[Finding], direction: Direction) -> tuple[Remote, ...]:
    """Of accepted connections the peer's port tells nothing: it is another one each time."""
    each = Counter([f.connection.remote for f in members])
    counts: Counter[str] = Counter()
    for end, count in each.items():
        counts[words.any_port(end.address) if direction is _ACCEPTED else str(end)] += count
    return tuple(Remote(end, count) for end, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _remote(members: list[Finding], remotes: tuple[Remote, ...], direction: Direction) -> str:
    if len(members) == 1:
        return str(members[0].connection.remote)
    if len(remotes) == 1:
        return remotes[0].endpoint
    if direction is Direction.ACCEPTED:
        return words.plural(len(remotes), "host")
    hosts = {f.connection.remote.address for f in members}
    return words.any_port(hosts.pop()) if len(hosts) == 1 else words.plural(len(remotes), "remote")


def _listening(members: list[Finding]) -> str:
    locals_ = {str(f.connection.local) for f in members}
    return locals_.pop() if len(locals_) == 1 else f"*:{members[0].connection.local.port}"
