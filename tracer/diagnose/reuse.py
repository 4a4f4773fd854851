"""Connections that were never reused although they lay idle: several of one opener to one remote tell it together."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Optional

from tracer.diagnose.libraries import client_of
from tracer.diagnose.owners import moves_between_threads, own_frames
from tracer.diagnose.per_stack import per_stack
from tracer.model.changing import drafted, frozen, taken
from tracer.model.connection import Connection
from tracer.model.frame import Stack
from tracer.model.states import RECV

Group = tuple[object, ...]
_LEAST = 2


def marked(connections: Iterable[Connection], others: Iterable[Connection] = ()) -> list[Connection]:
    """The same connections with ``never_reused``; ``others`` are known besides, told before or gone already.

    Where a pool hands out what lies idle, a connection is opened only while all others are in use. So most of a group
    (half of it, and two) opened while an older one lay idle and alive means that the idle ones were never given back.
    Enough, not necessary: a group that shows no such thing may leak all the same. Pools that fill themselves in advance
    are left out.
    """
    every, numbers = list(connections), _Numbers()
    group_of = [_group(c, numbers) for c in every]
    groups: dict[Group, list[Connection]] = defaultdict(list)
    for c, group in itertools.chain(zip(every, group_of), ((c, _group(c, numbers)) for c in others)):
        if group is not None:
            groups[group].append(c)
    guilty = {group for group, members in groups.items() if _never_reused(members)}
    groups.clear()
    return [c if group is None else _told(c, group in guilty) for c, group in zip(taken(every), group_of)]


def _told(c: Connection, never_reused: bool) -> Connection:
    draft = drafted(c)
    draft.never_reused = never_reused
    return frozen(draft, Connection)


@per_stack
def _application(stack: Stack) -> Optional[tuple[str, ...]]:
    """The names of the application's functions; None if the stack is that of a pool that fills itself in advance."""
    library = client_of(stack)
    if library is not None and library.prefills:
        return None
    return tuple(frame.function for frame in own_frames(stack) if frame.function is not None)


class _Numbers:
    """Numbers for the names of functions: each connection is compared, and to compare many names takes longer."""

    def __init__(self) -> None:
        self._by_names: dict[tuple[str, ...], int] = {}
        self._by_id: dict[int, tuple[tuple[str, ...], int]] = {}

    def of(self, names: tuple[str, ...]) -> int:
        known = self._by_id.get(id(names))
        if known is None:  # the names are kept, too: their id may not become that of others
            known = self._by_id[id(names)] = names, self._by_names.setdefault(names, len(self._by_names))
        return known[1]


def _group(c: Connection, numbers: _Numbers) -> Optional[Group]:
    """The process and the application's functions that opened it, and the remote; None if not all of it was seen."""
    if c.passive is not False or c.preexisting or c.unseen or c.opened is None or c.opened_late or c.missed_touches:
        return None
    application = _application(c.opened.stack) if c.opened.stack is not None else ()
    return None if application is None else (c.opened.actor.pid, c.netns, c.remote, numbers.of(application))


def _thread(c: Connection) -> int:
    """Who opened it: threads may have a pool each. Where tasks change threads it is the process."""
    assert c.opened is not None
    return 0 if moves_between_threads(c.opened.stack) else c.opened.actor.tid


def _never_reused(members: Sequence[Connection]) -> bool:
    """Whether most members were opened while an older one of the same thread lay idle: used before, FIN after."""
    by_thread: dict[int, list[Connection]] = defaultdict(list)
    for c in members:
        by_thread[_thread(c)].append(c)
    beside = sum(_beside_an_idle_one(several) for several in by_thread.values())
    return beside >= _LEAST and 2 * beside >= len(members)


def _beside_an_idle_one(several: Sequence[Connection]) -> int:
    """How many were opened within the idle time of another, each idle one counted for one opening only.

    Of those that lie idle, the one whose FIN comes first is taken: then the most openings find one.
    """
    spans = sorted(
        [
            (c.last.ns, c.fin_ns)
            for c in several
            if c.last is not None and c.fin_ns is not None and c.last.ns < c.fin_ns and _was_answered(c)
        ],
        reverse=True,
    )
    idle: list[int] = []
    count = 0
    for opened in sorted([c.opened.ns for c in several if c.opened is not None]):
        while spans and spans[-1][0] < opened:
            heappush(idle, spans.pop()[1])
        while idle and idle[0] <= opened:
            heappop(idle)
        if idle:
            heappop(idle)
            count += 1
    return count


def _was_answered(c: Connection) -> bool:
    """Whether its last use was the read of an answer: after a send it may have waited for one."""
    return c.last is not None and c.last.op is RECV and c.rx_bytes > 0
