"""What the sentences about one leak site need to know of its sockets, and the parts that several share."""

from __future__ import annotations

import select
from functools import cached_property
from typing import Optional

from tracer.diagnose import pooling, words
from tracer.diagnose.facts import (
    kept_over_exec,
    may_be_close_notify,
    never_used,
    quiet_since,
    taken_unseen,
    unread_bytes,
)
from tracer.diagnose.hanging import Hanging
from tracer.diagnose.libraries import beside, client_of, named
from tracer.diagnose.owners import application_frame
from tracer.diagnose.present import waits
from tracer.diagnose.telling import sent_stack
from tracer.host.epoll import is_spent
from tracer.model.finding import Finding
from tracer.model.frame import Stack
from tracer.model.holder import LOST, Missing, Use
from tracer.model.thread import Present
from tracer.stacks.registry import language

SECOND = 1_000_000_000
UNSEEN = "Whether the program has used it since cannot be seen here: this kernel has no hook for receive and send."
CLOSE_NOTIFY = (
    "What was read last is short and came through TLS: if it was the close notify, TLS told the program that the peer"
    " has ended."
)
_NAME = 80
"""Longest name of a function and its place within a sentence; the stack below has the whole."""

Answer = tuple[tuple[str, ...], tuple[str, ...]]
"""Explanation and advice, each a tuple of sentences."""


class TextSite:
    """The sockets of one site, with what the sentences need to know of them."""

    def __init__(
        self,
        members: list[Finding],
        stack: Optional[Stack],
        opened: Optional[Stack],
        now: tuple[Present, ...] = (),
    ) -> None:
        self.members = members
        self.connections = [f.connection for f in members]
        self.count = len(members)
        self.unseen = any(c.unseen for c in self.connections)
        self.kept = {index: kept for index, c in enumerate(self.connections) if (kept := kept_over_exec(c))}
        """Descriptors that came through exec, by the index of the socket whose user has called it since."""
        self.never_reused = sum(c.never_reused is True for c in self.connections) * 2 > self.count
        self.threads = Hanging(now, stack, members)
        sent = next((found for found in map(sent_stack, members) if found is not None), None)
        self.library = client_of(opened, sent, stack)
        # An event loop may have opened it in another turn than the one in which its client was called.
        if self.library is not None and self.library.beneath:
            self.library = client_of(sent) or self.library
        if self.library is not None and not self.library.serves and all(c.passive for c in self.connections):
            self.library = None  # a client's frames on the stack of a server's socket: the answer that it passes on
        lineages = [c.lineage for c in self.connections if c.lineage is not None]
        uses = [lineage for lineage in lineages if lineage.use is not None]
        known = {one.use for one in uses} if len(uses) * 2 > self.count else set()
        self.leased, self.pooled = known == {Use.LEASED}, known == {Use.IDLE}
        self.serving = known == {Use.SERVING}
        self.lost = sum(lineage.missing in LOST for lineage in lineages)
        self.abandoned = sum(lineage.missing is Missing.ABANDONED for lineage in lineages)
        self.holder = uses[0] if uses else None
        told = any(application_frame(one) is not None for one in (stack, sent, opened))
        frames = stack.frames if stack is not None and not told and not lineages else ()
        self.heap_may_tell = any(language(frame.language).has_heap for frame in frames)
        """No function of the program is in the calls, and who holds the sockets in its heap was not looked for."""
        if self.library is None and uses:
            self.library = named(uses[0].library)
        packages = {package for c in self.connections for package in c.packages}
        self.beside = beside(packages, opened, stack) if self.library is None else ()
        index = application_frame(stack)
        where = words.located(stack.frames[index]) if stack is not None and index is not None else None
        self.where = f"{where[: _NAME - 3]}..." if where is not None and len(where) > _NAME else where

    @property
    def one(self) -> bool:
        """Whether the site has one socket only."""
        return self.count == 1

    def say(self, one: str, many: str) -> str:
        """The sentence for one socket or for several."""
        return one if self.one else many

    @cached_property
    def silences(self) -> list[int]:
        """Times in ns between the last call and FIN, of the sockets for which both are known, ascending."""
        if self.unseen:
            return []
        calls = self._last_and_fin
        return sorted([fin - last for last, fin in calls if last is not None and fin is not None and fin >= last])

    @cached_property
    def fin_spread(self) -> int:
        """Time in ns between the first FIN and the last, of the sockets for which the silence is known."""
        fins = [fin for last, fin in self._last_and_fin if last is not None and fin is not None]
        return max(fins) - min(fins) if fins else 0

    @cached_property
    def _last_and_fin(self) -> list[tuple[Optional[int], Optional[int]]]:
        """Times of the last call and of FIN, of each socket of which no data were taken by calls that were not seen."""
        return [(quiet_since(c), c.fin_ns) for c in self.connections if not taken_unseen(c)]

    @cached_property
    def never_used(self) -> bool:
        """Whether the program has opened them all, and neither sent nor read anything on any."""
        return all(map(never_used, self.connections))

    @property
    def taken_unseen(self) -> bool:
        """Whether data of any socket were taken by calls that were not seen."""
        return len(self._last_and_fin) < self.count

    def holders(self) -> str:
        """Who holds the descriptors, each process once."""
        held = {h.pid: h.comm for c in self.connections for h in c.holders}
        return words.listed(f"{comm} (pid {pid})" for pid, comm in sorted(held.items()))

    @property
    def too(self) -> tuple[int, str]:
        """How many are held by others beside their owner, who holds them as well; and by whom."""
        held = {}
        shared = 0
        for c in self.connections:
            if len(c.holders) < 2:
                continue  # so it is mostly
            owner = c.owner.pid if c.owner is not None else None
            others = {h.pid: h.comm for h in c.holders if h.pid != owner}
            if others and len(others) < len({h.pid for h in c.holders}):
                shared += 1
                held.update(others)
        return shared, words.listed(f"{comm} (pid {pid})" for pid, comm in sorted(held.items()))

    def unread(self) -> str:
        """``5000 B of data lie unread``, ``12 B to 40 KiB of data lie unread on each``."""
        return f"{sizes([unread_bytes(c) for c in self.connections])} of data lie unread{self.say('', ' on each')}"

    @property
    def may_know(self) -> bool:
        """Whether the program may have been told of the peer's end without a read of 0: by epoll, or by TLS."""
        interests = [one for c in self.connections for one in c.interests or ()]
        by_epoll = any(one.events & (select.EPOLLIN | select.EPOLLRDHUP) or is_spent(one.events) for one in interests)
        by_poll = any(one.polls is not None and one.polls.told for one in self.threads.polls)
        return by_epoll or by_poll or any(map(may_be_close_notify, self.connections))

    def polled(self) -> tuple[str, ...]:
        """Which threads wait in poll or select for the sockets, but not for their ends."""
        untold = [one for one in self.threads.polls if one.polls is not None and one.polls.untold]
        if not untold or self.may_know:
            return ()
        one = max(untold, key=_untold)
        many = "them" if _untold(one) >= self.count else f"{words.number(_untold(one))} of them"
        call = "select" if one.syscall in ("select", "pselect6") else "poll"
        return (
            f"{waits(one)} now, in {call} for {self.say('it', many)}, but not for input: the call does not return when"
            " the peer hangs up.",
        )

    def watching(self) -> tuple[str, ...]:
        """What the epoll sets say of all sockets: an event loop is told and does not come, or none is told."""
        if all(c.interests == () for c in self.connections):
            it = self.say("It is", "They are")
            return (f"{it} in no epoll set, although the program uses epoll: no event loop is told of the peer's end.",)
        if not all(c.interests for c in self.connections):
            return ()
        if all(is_spent(one.events) for c in self.connections for one in c.interests or ()):
            return (
                "An epoll set asked for one event (EPOLLONESHOT) and was told of it: its event loop is told again only"
                " when the program asks again (EPOLL_CTL_MOD).",
            )
        asked = [[one.events for one in c.interests or () if one.events & select.EPOLLIN] for c in self.connections]
        if all(asked) and all(events & select.EPOLLET for several in asked for events in several):
            return (
                "An epoll set asks for input edge-triggered (EPOLLIN and EPOLLET): its event loop was told once, and is"
                " told again only when more comes.",
            )
        if all(asked):
            return ("An epoll set asks for input (EPOLLIN): its event loop is stuck, or passes over what it is told.",)
        return ()


def _untold(one: Present) -> int:
    return one.polls.untold if one.polls is not None else 0


def sizes(counts: list[int]) -> str:
    """The least and the most of several numbers of bytes."""
    low, high = words.byte_count(min(counts)), words.byte_count(max(counts))
    return low if low == high else f"{low} to {high}"


def span(values: list[int]) -> str:
    """The least and the most of several silences (ns, ascending): ``65.0 s``, ``1.0 to 3.0 s``."""
    low, high = words.silence(values[0]), words.silence(values[-1])
    return low if low == high else f"{low.removesuffix(' s') if high.endswith(' s') else low} to {high}"


def release(site: TextSite) -> list[str]:
    """How the library at work gives a connection back."""
    if site.library and site.library.release:
        return [pooling.given_back(site.library)]
    return perhaps(site)


def perhaps(site: TextSite) -> list[str]:
    """What to do if a library is at work of which only is known that it is installed."""
    return list(pooling.perhaps(site.beside, site.say("it", "them")))


def within(site: TextSite) -> str:
    """`` in FUNCTION (FILE:LINE)``, nothing if no function of the program is known."""
    return f" in {site.where}" if site.where else ""
