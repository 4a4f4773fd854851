"""Follows suspects: the loop behind the default command, one tick per interval."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Callable, NamedTuple, Optional

from tracer.diagnose.ending import exited_with_it, tell_ending
from tracer.diagnose.reuse import marked
from tracer.diagnose.sites import group, process_of
from tracer.diagnose.verdict import judge
from tracer.flight.recorder import Recorder
from tracer.flight.records import SuspectEntry
from tracer.host.identity import this_host
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import DiagSocket
from tracer.host.threads import ThreadsNow
from tracer.kernel.plan import Plan
from tracer.model.changing import taken
from tracer.model.connection import Connection
from tracer.model.finding import Ended, Finding, Reconciliation, Report, Shown, Site, Tick
from tracer.model.states import TcpState
from tracer.session.beside import Beside
from tracer.session.draining import Drain
from tracer.session.endings import Endings
from tracer.session.heaps import Heaps
from tracer.session.join import Seen, join
from tracer.session.lookout import Lookout
from tracer.session.members import parents
from tracer.session.outline import outlined
from tracer.session.pace import Pace, share_of
from tracer.session.part import Part
from tracer.session.preexisting import Preexisting
from tracer.session.programs import Programs
from tracer.session.reading import Reader
from tracer.session.reconcile import Reconciler
from tracer.session.stackstore import StackStore
from tracer.trail import Took, Trail
from tracer.underway import Underway

_log = Trail(__name__)

Key = tuple[int, int]
_DIAG_TICK_NS = 100_000_000
"""The times of sock_diag come in ticks of up to 10 ms (CONFIG_HZ), so they may differ from those of a record."""
_GONE_KEPT = 512
"""What is known of sockets that are no suspects any more: their endings are still to come, or were lost."""
_AT_ONCE = 64
"""So many suspects are read before it is asked whether to go on: some milliseconds."""


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Thousands of values are made and none is garbage: Python's collector would look through them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Waiting(NamedTuple):
    """How many sockets were in CLOSE_WAIT at the last listing, and since when the oldest (CLOCK_MONOTONIC, ns)."""

    sockets: int = 0
    since_ns: Optional[int] = None


class Watch:
    """State of one run. ``linger_ns`` is the threshold, ``unseen`` the calls that no hook shows; CLOCK_MONOTONIC ns.

    ``drain`` reads the stacks of what lies idle. ``heaps`` makes what looks at heaps, given what has to be done
    meanwhile. ``share`` is the part of one CPU that looks may take, and that lists of suspects may take besides.
    ``endless``: the run may last for months. A socket that only the end of its process closed has then ended, as any
    other; else it stays in its site. Nobody reads along then, so no look tells of sites. ``hurried`` says whether the
    last report was asked for.
    """

    def __init__(
        self,
        recorder: Recorder,
        stacks: StackStore,
        drain: Drain,
        preexisting: Preexisting,
        namespaces: Namespaces,
        threads: ThreadsNow,
        reconciler: Reconciler,
        linger_ns: int,
        heaps: Callable[[Callable[[], object]], Heaps],
        programs: Programs,
        unseen: tuple[str, ...] = (),
        *,
        share: float = share_of(None),
        endless: bool = False,
        underway: Underway,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._recorder, self._stacks, self._namespaces = recorder, stacks, namespaces
        self._threads, self._reconciler, self._linger_ns = threads, reconciler, linger_ns
        self._reader = Reader(recorder, stacks, preexisting, unseen)
        self._drain = drain
        self._heaps = heaps(drain.relieve)
        self._programs = programs
        self._started_ns = time.monotonic_ns()
        self._beside = Beside()
        self._findings: dict[Key, Finding] = {}
        self._exited: dict[Key, Finding] = {}
        self._endings = Endings()
        self._shown: dict[object, tuple[int, int]] = {}
        self._lists, self._looks = Pace(share), Pace(share)
        self._waiting = _Waiting()
        self._endless, self._underway, self._hurried = endless, underway, hurried

    def allow(self, share: float) -> None:
        """Another part of one CPU for looks from now on."""
        self._lists.share = self._looks.share = share

    def tick(self) -> Tick:
        """Read the suspects, look into those that crossed the threshold, drain what lies idle."""
        sites = self._listed() if self._lists.due else ()
        self._drain.idle()
        self._take_endings()
        since_ns, now = self._waiting.since_ns, time.monotonic_ns()
        oldest = now - since_ns if since_ns is not None else None
        return Tick(sites, self._recorder.watched, self._waiting.sockets, oldest)

    def _listed(self) -> tuple[Shown, ...]:
        """List the suspects, and look into those that crossed the threshold."""
        took, unwound = Took(), self._stacks.unwound
        with self._lists.turn():
            now, entries = time.monotonic_ns(), self._recorder.suspects()
            over = [entry for entry in entries if now - entry.since_ns >= self._linger_ns]
            strangers = self._reconciler.strangers.known
            fresh = [entry for entry in over if (entry.sk, entry.birth_ns) not in self._findings]
            fresh = [entry for entry in fresh if (entry.sk, entry.birth_ns) not in strangers] if strangers else fresh
            waiting = [entry.since_ns for entry in entries if entry.state == TcpState.CLOSE_WAIT]
            self._waiting = _Waiting(len(waiting), min(waiting, default=None))
            self._forget(entries)
        read = fresh if self._looks.due else []
        sites = self._look(read) if read else ()
        _log.debug(
            "look: %d suspects, %d of them over the threshold, %d records read, %d boxes unwound in %s",
            len(entries),
            len(over),
            len(read),
            self._stacks.unwound - unwound,
            took,
        )
        return sites

    def _look(self, fresh: Sequence[SuspectEntry]) -> tuple[Shown, ...]:
        """Examine suspects that have crossed the threshold, and tell what that adds.

        That takes seconds where there are many. If the last report is asked for meanwhile, it looks at them all afresh.
        """
        with self._looks.turn(), _without_collection():
            read = self._read(fresh, until=self._hurried)
            if self._hurried():
                return ()
            found = self._judge(self._joined(self._reconciler.strangers.without(read)))
            if not self._endless:
                return self._grown()
            for pid in {process_of(finding) for finding in found}:
                self._programs.name(pid)  # to be told by that name once the process has ended
            return ()

    def _forget(self, entries: Sequence[SuspectEntry]) -> None:
        """Keep what is known of what is a suspect now, and of the latest that are none any more.

        Some endings are lost. A stranger has none: its record goes when the other process accepts it.
        """
        kept: tuple[dict[Key, Any], ...] = (self._findings, self._reconciler.strangers.known)
        for known in kept:
            if len(known) > len(entries) + _GONE_KEPT:
                living = {(entry.sk, entry.birth_ns) for entry in entries}
                gone = [key for key in known if key not in living]
                for key in gone[: len(gone) - _GONE_KEPT // 2]:
                    del known[key]

    def tidy(self) -> None:
        """Release stacks that nobody needs any more, if there are many. To be called once a minute."""
        released = self._stacks.tidy(self._take_endings)
        if released:
            _log.debug("%d stacks released", released)

    @property
    def forgotten(self) -> int:
        """How many sockets that left are only counted."""
        return self._endings.forgotten

    def look_ahead(self, waiting: Sequence[DiagSocket]) -> None:
        """Look for who holds these older sockets, so that it is known when a report is asked for."""
        self._heaps.ahead(waiting)

    def relieve(self) -> bool:
        """Make room for stacks where they come faster than once an interval; whether there is more to do at once."""
        return self._drain.relieve()

    def _read(self, entries: Sequence[SuspectEntry], until: Callable[[], bool] = lambda: False) -> list[Connection]:
        read = []
        for number, entry in enumerate(self._underway.each("reading sockets", entries)):
            if number % _AT_ONCE == 0 and until():
                break
            connection = self._reader.suspect(entry)
            if connection is not None:
                read.append(connection)
        return read

    def _judge(self, joined: list[Connection], *, at_end: bool = False) -> list[Finding]:
        """Judge connections that were joined, and keep what is found. The list is empty then.

        What has no record (``sk`` is 0) is not kept: nothing would tell when it ends. Each report looks for it afresh.
        In a run without end nobody reads what is kept in between: a report then does not need room for two of each.
        """
        findings = self._judged(joined, at_end=at_end)
        kept = map(outlined, findings) if self._endless else findings
        self._findings.update((f.connection.key, f) for f in kept if f.connection.sk)
        return findings

    def _judged(self, joined: list[Connection], *, at_end: bool, again: Collection[Key] = frozenset()) -> list[Finding]:
        """``again`` are those that were known before, and taken out of what is kept to make room."""
        earlier = [finding.connection for finding in (*self._findings.values(), *self._exited.values())]
        earlier += [c for c in joined if c.key in again]
        earlier += [gone.connection for gone in self._endings.latest]
        every = marked(taken(self._beside.told(taken(joined))), earlier)
        every = self._heaps.told(every, at_end=at_end)
        now = time.monotonic_ns()
        return [judge(c, now, self._started_ns) for c in self._underway.each("judging sockets", every)]

    def _joined(self, connections: list[Connection], seen: Optional[Seen] = None) -> list[Connection]:
        """Join connections with what is known of them now. The list is empty then."""
        parent_of = parents(self._recorder)
        last_exec, unwind = self._recorder.last_exec, self._stacks.unwind
        return join(taken(connections), self._namespaces, self._threads, unwind, parent_of, seen, last_exec)

    def _grown(self) -> tuple[Shown, ...]:
        """Sites that were not shown yet or have more sockets than when they were."""
        grown = []
        for site in group(self._findings.values(), self._programs.name, self._programs.identity):
            number, before = self._shown.get(site.key, (len(self._shown) + 1, 0))
            if site.count > before:
                self._shown[site.key] = (number, site.count)
                grown.append(Shown(site, number, before))
        first = iter(self._looked_at(shown.site for shown in grown if not shown.grown_from))
        return tuple(shown if shown.grown_from else replace(shown, site=next(first)) for shown in grown)

    def _looked_at(self, sites: Iterable[Site]) -> tuple[Site, ...]:
        return Lookout(self._threads, self._stacks.unwind).complete(sites)

    def _take_endings(self) -> None:
        for connection in self._reader.endings():
            known = self._findings.pop(connection.key, None)
            self._end(connection, known)

    def _end(self, connection: Connection, known: Optional[Finding]) -> None:
        strangers = self._reconciler.strangers.known
        if connection.key in strangers:
            del strangers[connection.key]
            return
        now = time.monotonic_ns()
        finding = known if known is not None else judge(connection, now, self._started_ns)
        if exited_with_it(connection) and not self._endless:
            held = replace(finding.connection, ended_ns=connection.ended_ns)
            self._exited[connection.key] = replace(finding, connection=held)
            return
        lingered = (connection.closed.ns if connection.closed else now) - finding.since_ns
        if lingered >= self._linger_ns:
            how = tell_ending(connection, lingered)
            program = self._programs.met(process_of(finding))
            self._endings.add(Ended(connection, finding.verdict, lingered, how, program))

    def _final_findings(self, part: Optional[Part]) -> tuple[list[Finding], Reconciliation]:
        """All that linger now, seen afresh, with those that only the end of their process closed."""
        now, linger_ns = time.monotonic_ns(), part.linger_ns if part is not None else self._linger_ns
        ages = [(now - entry.since_ns, entry) for entry in self._recorder.suspects() if self._may_have(part, entry)]
        if part is None:
            self._findings.clear()  # there is no room for two of each
        recorded = self._read([entry for age, entry in ages if age >= linger_ns])
        young = self._read([entry for age, entry in ages if -_DIAG_TICK_NS <= age - linger_ns < 0])
        ages.clear()
        reconciler, again = self._reconciler, set[Key]()
        if part is not None:
            recorded, young = list(filter(part.has, recorded)), list(filter(part.has, young))
            reconciler = part.reconciler
            again = {c.key for c in recorded if self._endless and self._findings.pop(c.key, None) is not None}
        recorded, young = (reconciler.strangers.without(several) for several in (recorded, young))
        comparison = reconciler.look(now, recorded, young)
        recorded += [self._reader.corrected(connection) for connection in comparison.found]
        young.clear()
        joined = self._joined(recorded, comparison.seen)
        comparison = replace(comparison, seen=None)
        if part is not None:
            findings = self._judged(joined, at_end=True, again=again)
            self._findings.update((f.connection.key, outlined(f)) for f in findings if f.connection.key in again)
            return findings, comparison.outcome(findings, self._endings.latest)
        findings = self._judge(joined, at_end=True) + list(self._exited.values())
        return findings, comparison.outcome(findings, self._endings.latest)

    def _may_have(self, part: Optional[Part], entry: SuspectEntry) -> bool:
        """Whether the socket may belong to ``part``: if it was looked at before, that is known without its record."""
        known = self._findings.get((entry.sk, entry.birth_ns)) if part is not None else None
        return part is None or known is None or part.has(known.connection)

    def report(
        self,
        plan: Plan,
        target: str,
        started: float,
        clock_offset_ns: int,
        part: Optional[Part] = None,
        *,
        threads: bool = True,
    ) -> Report:
        """Everything, at this moment, or a ``part`` of it. ``threads``: with where they are now."""
        took, unwound = Took(), self._stacks.unwound
        self._take_endings()
        with _without_collection():
            findings, reconciliation = self._final_findings(part)
            _log.debug(
                "report: %d sockets seen afresh, %d boxes unwound in %s",
                len(findings),
                self._stacks.unwound - unwound,
                took,
            )
            grouped = group(findings, self._programs.name, self._programs.identity)
            sites = self._looked_at(grouped) if threads else tuple(grouped)
            if not self._endless:
                gc.freeze()  # all of that stays: to look through it once takes seconds where there are many sockets
        _log.debug("report: %d sites, after %s", len(sites), took)
        losses = self._recorder.losses()
        endings = part.ended(self._endings) if part is not None else self._endings
        truncated = sum(1 for site in sites if site.stack is not None and not site.stack.complete)
        return Report(
            host=this_host(),
            target=target if part is None else part.target,
            started=started,
            ended=time.time(),
            now_ns=time.monotonic_ns(),
            clock_offset_ns=clock_offset_ns,
            linger_ns=self._linger_ns if part is None else part.linger_ns,
            plan=plan.probes(),
            sites=sites,
            losses=replace(
                losses,
                stacks_truncated=truncated,
                descriptors=len(reconciliation.unreadable) if reconciliation.matters else 0,
                namespaces=reconciliation.unreadable_namespaces,
                threads=self._threads.left_out,
            ),
            ended_findings=tuple(endings.latest),
            ended_kinds=endings.kinds(),
            watched=self._recorder.watched,
            reconciliation=reconciliation,
            heaps=self._heaps.looks(),
        )
