"""The loop of the default command, on made-up suspects and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Callable, Optional, cast

import pytest

from tests.unit.builders import S
from tests.unit.session.hosts_of_plans import PLAN
from tests.unit.session.offers import as_older, as_recorder, as_service
from tests.unit.session.recording import Clock, FakeRecorder, FakeService, clock, path
from tracer.flight import layout
from tracer.host.namespaces import Namespaces
from tracer.host.podnames import PodNames
from tracer.host.threads import ThreadsNow
from tracer.model.connection import Connection, Endpoint, Losses
from tracer.model.finding import Process, Reconciliation, Report, Verdict
from tracer.model.holder import Held
from tracer.model.states import Op, TcpState
from tracer.session import programs
from tracer.session import watch as module
from tracer.session.draining import Drain
from tracer.session.endings import Endings
from tracer.session.heaps import Heaps
from tracer.session.join import Seen
from tracer.session.part import Part
from tracer.session.programs import Programs
from tracer.session.reconcile import Reconciler
from tracer.session.stackstore import StackStore
from tracer.session.watch import Watch
from tracer.underway import Underway

__all__ = ["clock"]
LINGER = 10 * S


class FakePreexisting:
    """Older sockets by cookie."""

    def __init__(self) -> None:
        self.waiting: dict[int, Connection] = {}

    def is_older(self, connection: Connection) -> bool:
        return connection.cookie in self.waiting

    def fin_before_ns(self, cookie: int) -> Optional[int]:
        return self.waiting[cookie].fin_before_ns if cookie in self.waiting else None


class FakeStrangers:
    """Those whose address is in ``others`` wait in another process's queue."""

    def __init__(self) -> None:
        self.others: set[int] = set()
        self.known: dict[tuple[int, int], None] = {}

    def without(self, connections: Sequence[Connection]) -> list[Connection]:
        self.known.update({c.key: None for c in connections if c.sk in self.others})
        return [c for c in connections if c.sk not in self.others]


class FakeReconciler:
    """Finds those of the older sockets that have lingered and that no record tells of."""

    def __init__(self, clock: Clock, older: FakePreexisting) -> None:
        self.clock, self.older = clock, older
        self.outcome = Reconciliation()
        self.strangers = FakeStrangers()

    def look(self, _now_ns: int, recorded: Sequence[Connection], young: Sequence[Connection]) -> FakeComparison:
        known = {c.cookie for c in (*recorded, *young)}
        late = self.clock.now - LINGER
        rest = [c for c in self.older.waiting.values() if c.cookie not in known and (c.fin_before_ns or 0) <= late]
        return FakeComparison(rest, self.outcome)


@dataclass(frozen=True)
class FakeComparison:
    """What was found, and the figures."""

    found: list[Connection]
    figures: Reconciliation
    seen: Optional[Seen] = None

    def outcome(self, _findings: object, _ended: object) -> Reconciliation:
        return self.figures


def _no_heaps(meanwhile: Callable[[], object]) -> Heaps:
    return Heaps(lambda _process, _wanted, _limits, _meanwhile: Held(), False, lambda: False, meanwhile)


class Told(Underway):
    """Keeps what is told of the way through long work."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.done: list[int] = []
        self.ends = 0
        self.hurried_from = 1 << 30

    def begin(self, what: str, total: int = 0) -> None:
        self.begun.append((what, total))

    def at(self, done: int) -> None:
        self.done.append(done)

    def end(self) -> None:
        self.ends += 1

    def hurried(self) -> bool:
        return len(self.done) > self.hurried_from


class Bench:
    """A Watch and what it looks at."""

    def __init__(self, clock: Clock, *, endless: bool = False) -> None:
        self.clock, self.recorder, self.older, self.service = clock, FakeRecorder(), FakePreexisting(), FakeService()
        recorder = as_recorder(self.recorder)
        stacks = StackStore(recorder, as_service(self.service))
        self.reconciler = FakeReconciler(clock, self.older)
        self.underway = Told()
        reconciler, older = cast(Reconciler, self.reconciler), as_older(self.older)
        self.watch = Watch(
            *(
                recorder,
                stacks,
                Drain(recorder, stacks),
                older,
                Namespaces(),
                ThreadsNow(),
                reconciler,
                LINGER,
                _no_heaps,
            ),
            Programs(PodNames()),
            endless=endless,
            underway=self.underway,
            hurried=self.underway.hurried,
        )

    def leak(self, sk: int, ago: float, call: str = "leaky", **fields: int) -> layout.Record:
        fin = self.clock.now - int(ago * S)
        record = self.recorder.suspect(sk, fin - S, fin, cookie=sk, **fields)
        self.recorder.touch(record, "last", fin - S // 2, box=sk, path=call)
        return record

    def close(self, sk: int, exiting: bool = False) -> None:
        ending = self.recorder.records[sk].ending
        ending.ns, ending.op, ending.pid, ending.tid, ending.comm = self.clock.now, Op.CLOSE, 7, 8, b"app"
        ending.flags = layout.TOUCH_EXITING if exiting else 0
        self.recorder.end(sk)

    def report(self) -> Report:
        return self.watch.report(PLAN, "app", 0.0, 0)


def test_a_report_asked_for_does_not_wait_for_a_look(clock: Clock) -> None:
    """It looks at all of them afresh: what a look would find is not told twice."""
    bench = Bench(clock)
    for sk in range(1, 501):
        bench.leak(sk, ago=20)
    bench.underway.hurried_from = 100
    assert bench.watch.tick().sites == ()
    assert 100 < len(bench.underway.done) < 200
    assert bench.underway.begun == [("reading sockets", 500)]
    assert bench.underway.ends == 1
    assert sum(site.count for site in bench.report().sites) == 500


def older(bench: Bench, cookie: int, fin_before_ns: int) -> Connection:
    """A socket that was in CLOSE_WAIT when the trace began, as the first listing gives it."""
    return Connection(
        sk=0,
        birth_ns=cookie,
        local=Endpoint("127.0.0.1", cookie),
        remote=Endpoint("10.0.0.9", 80),
        state=TcpState.CLOSE_WAIT,
        seen_ns=bench.clock.now,
        cookie=cookie,
        preexisting=True,
        fin_before_ns=fin_before_ns,
    )


@pytest.fixture
def bench(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Bench:
    def as_they_are(connections: Iterable[Connection], *_more: object) -> list[Connection]:
        return list(connections)

    monkeypatch.setattr(module, "join", as_they_are)
    return Bench(clock)


def test_nothing_below_the_threshold_is_looked_into(bench: Bench) -> None:
    """A socket costs nothing but its line in the suspects map until it has lingered."""
    bench.leak(1, ago=9.9)
    tick = bench.watch.tick()
    assert tick.sites == ()
    assert (tick.close_wait, tick.watched, tick.oldest_ns) == (1, 1, int(9.9 * S))
    assert bench.service.asked == [] or bench.recorder.freed == [1]  # drained as any idle box, not examined


def test_the_way_through_many_sockets_is_told(bench: Bench) -> None:
    """Each time that they are read and judged: how many there are, each of them, and that it is over."""
    for sk in (1, 2, 3):
        bench.leak(sk, ago=11)
    bench.watch.tick()
    told = bench.underway
    assert told.begun == [("reading sockets", 3), ("judging sockets", 3)]
    assert (told.done, told.ends) == ([0, 1, 2, 0, 1, 2], 2)
    bench.report()
    assert told.begun[2:] == [("reading sockets", 3), ("judging sockets", 3)]
    assert told.ends == len(told.begun)


def test_a_site_is_shown_when_it_crosses_and_when_it_grows(bench: Bench) -> None:
    """Once at first, then only with more sockets; the number stays."""
    bench.leak(1, ago=10)
    (first,) = bench.watch.tick().sites
    assert (first.number, first.grown_from, first.site.count) == (1, 0, 1)
    assert path(first.site.stack) == "leaky"
    assert bench.watch.tick().sites == ()
    bench.leak(2, ago=11)
    (grown,) = bench.watch.tick().sites
    assert (grown.number, grown.grown_from, grown.site.count) == (1, 1, 2)


def test_what_looks_cost_is_a_small_share(bench: Bench) -> None:
    """With many suspects each list and each look takes long: they become rarer, and what ends is taken all the same."""
    bench.watch.allow(0.01)
    bench.leak(1, ago=11)
    bench.clock.cpu_step = S // 50
    first = bench.watch.tick()
    assert (len(first.sites), first.close_wait, first.oldest_ns) == (1, 1, 11 * S)
    bench.leak(2, ago=10, call="other")
    bench.clock.now += S
    between = bench.watch.tick()
    assert (between.sites, between.close_wait, between.oldest_ns) == ((), 1, 12 * S)
    bench.close(1)
    bench.clock.now += S
    later = bench.watch.tick()
    assert (len(later.sites), later.close_wait) == (1, 1)
    (ended,) = bench.report().ended_findings
    assert ended.connection.sk == 1


def test_sites_are_told_apart_by_their_stack(bench: Bench) -> None:
    """Two call paths are two sites, numbered as they appeared."""
    bench.leak(1, ago=10, call="one<main")
    bench.leak(2, ago=10, call="two<main")
    shown = bench.watch.tick().sites
    assert sorted((s.number, path(s.site.stack)) for s in shown) in (
        [(1, "one<main"), (2, "two<main")],
        [(1, "two<main"), (2, "one<main")],
    )
    assert sorted(path(site.stack) for site in bench.report().sites) == ["one<main", "two<main"]


def test_an_address_that_was_used_again_is_not_taken_for_the_suspect(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the suspects and the record the socket may have gone and another come."""
    bench.leak(1, ago=20)
    entries = bench.recorder.suspects()
    bench.recorder.records[1].birth_ns += 1
    monkeypatch.setattr(bench.recorder, "suspects", lambda: entries)
    assert bench.watch.tick().sites == ()
    assert bench.report().sites == ()


def test_a_record_that_vanished_is_no_finding(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suspect is gone by the time its record is read."""
    bench.leak(1, ago=20)
    entries = bench.recorder.suspects()
    bench.recorder.records.clear()
    monkeypatch.setattr(bench.recorder, "suspects", lambda: entries)
    assert bench.watch.tick().sites == ()


def test_a_socket_that_the_program_closed_late_is_told_as_ended(bench: Bench) -> None:
    """It lingered, it is no leak any more, and how it ended is said."""
    bench.leak(1, ago=15)
    bench.watch.tick()
    bench.clock.now += 5 * S
    bench.close(1)
    bench.watch.tick()
    report = bench.report()
    assert report.sites == ()
    (ended,) = report.ended_findings
    assert ended.lingered_ns == 20 * S
    assert "close" in ended.how


def test_a_socket_that_only_its_processs_end_closed_stays_a_finding(bench: Bench) -> None:
    """The gate of a load test must see what exit(2) swept up."""
    bench.leak(1, ago=15)
    bench.watch.tick()
    bench.close(1, exiting=True)
    bench.watch.tick()
    report = bench.report()
    assert report.lingering == 1
    assert report.ended_findings == ()
    assert path(report.sites[0].stack) == "leaky"


def test_an_ending_between_two_looks_is_still_told(bench: Bench) -> None:
    """Neither crossing the threshold nor the end was seen by a tick; the record handed over says it all."""
    bench.leak(1, ago=12)
    bench.close(1)
    (ended,) = bench.report().ended_findings
    assert ended.lingered_ns == 12 * S
    assert bench.recorder.freed == [1]


def test_what_waits_in_anothers_queue_is_not_told(bench: Bench) -> None:
    """Neither while it waits, nor when it ends; nor is it looked into again and again."""
    bench.reconciler.strangers.others = {1}
    bench.leak(1, ago=12)
    bench.leak(2, ago=12)
    (shown,) = bench.watch.tick().sites
    assert [finding.connection.sk for finding in shown.site.findings] == [2]
    assert bench.watch.tick().sites == ()
    assert bench.report().lingering == 1
    bench.close(1)
    report = bench.report()
    assert (report.lingering, report.ended_findings) == (1, ())


def test_a_reused_address_keeps_the_two_lives_apart(bench: Bench) -> None:
    """The first socket's end does not touch the finding on the second at the same address."""
    bench.leak(1, ago=30)
    bench.watch.tick()
    bench.close(1)
    bench.clock.now += 60 * S
    bench.leak(1, ago=10, call="second")
    bench.watch.tick()
    report = bench.report()
    assert report.lingering == len(report.ended_findings) == 1
    assert path(report.sites[0].stack) == "second"


def test_older_sockets_are_merged_by_cookie(bench: Bench) -> None:
    """One that was touched during the trace has a record and is told once; untouched ones come from sock_diag alone."""
    start = bench.clock.now - 300 * S
    for cookie in (1, 2):
        bench.older.waiting[cookie] = older(bench, cookie, start)
    record = bench.leak(1, ago=10)
    record.flags, record.fin_ns = layout.R_ADOPTED, 0
    bench.clock.now += 20 * S
    report = bench.report()
    findings = [finding for site in report.sites for finding in site.findings]
    assert sorted(f.connection.cookie for f in findings) == [1, 2]
    assert all(f.connection.preexisting for f in findings)
    assert {f.connection.cookie: f.since_ns for f in findings} == {1: start, 2: start}


def test_after_a_report_older_sockets_are_not_told_as_new(bench: Bench) -> None:
    """A report may be asked for while the trace goes on. What was closed since then, unseen, must not be told."""
    bench.older.waiting[5] = older(bench, 5, bench.clock.now - 300 * S)
    assert bench.report().lingering == 1
    bench.older.waiting.clear()
    bench.leak(1, ago=11)
    (shown,) = bench.watch.tick().sites
    assert path(shown.site.stack) == "leaky"
    assert bench.report().lingering == 1


def test_an_older_socket_counts_only_past_the_threshold(bench: Bench) -> None:
    """FIN a second before the trace is not yet a leak."""
    bench.older.waiting[5] = older(bench, 5, bench.clock.now - S)
    assert bench.report().sites == ()
    bench.clock.now += 10 * S
    assert bench.report().lingering == 1


def test_a_socket_from_out_of_scope_is_not_called_older(bench: Bench) -> None:
    """It was met in mid life, but it was not there at the start: it was handed over."""
    bench.leak(1, ago=10).flags = layout.R_ADOPTED
    (site,) = bench.report().sites
    assert not site.findings[0].connection.preexisting


def test_losses_are_the_kernels_and_the_readers(bench: Bench) -> None:
    """What the kernel side counted stands beside the stacks that are not complete."""
    bench.recorder.lost = Losses(boxes=3, contended=2)
    bench.reconciler.outcome = Reconciliation(unreadable=(Process(9, "x"),), matters=True, unreadable_namespaces=2)
    bench.leak(1, ago=10)
    losses = bench.report().losses
    assert (losses.boxes, losses.contended, losses.stacks_truncated) == (3, 2, 0)
    assert (losses.descriptors, losses.namespaces) == (1, 2)


def test_what_cannot_hide_a_socket_is_no_loss(bench: Bench) -> None:
    """A process out of scope whose descriptors cannot be read matters only where a holder was not found."""
    bench.reconciler.outcome = Reconciliation(unreadable=(Process(9, "x"),))
    assert not bench.report().losses.any()


def test_a_silent_host_gives_an_empty_report(bench: Bench) -> None:
    """No suspects, no sites, nothing lost."""
    tick = bench.watch.tick()
    assert (tick.sites, tick.close_wait, tick.oldest_ns) == ((), 0, None)
    report = bench.report()
    assert (report.sites, report.lingering, report.losses.any()) == ((), 0, False)


def test_verdicts_follow_the_facts_at_the_end(bench: Bench) -> None:
    """What was idle at first and has read EOF since is told as what it is at the end."""
    record = bench.leak(1, ago=10)
    (shown,) = bench.watch.tick().sites
    assert shown.site.verdict is Verdict.IDLE_IN_POOL
    record.eof_reads = 1
    bench.recorder.touch(record, "eof", bench.clock.now, box=50, path="reader")
    (site,) = bench.report().sites
    assert site.verdict is Verdict.EOF_IGNORED
    assert path(site.stack) == "reader"


def test_a_busy_sockets_record_is_read_until_box_and_touch_agree(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that goes on sending overwrites the box between the reads: the newer touch is told, with its stack."""
    record = bench.leak(1, ago=20, call="busy")
    look_up, turns = bench.recorder.look_up, 0

    def while_it_sends(sk: int) -> Optional[bytes]:
        nonlocal turns
        found, turns = look_up(sk), turns + 1
        if turns <= 5:
            bench.recorder.touch(record, "last", record.last.ns + 1, box=1, path="busy", seq=record.last.seq + 1)
        return found

    monkeypatch.setattr(bench.recorder, "look_up", while_it_sends)
    (site,) = bench.report().sites
    assert site.stack is not None
    assert site.findings[0].connection.last is not None
    assert site.findings[0].connection.last.ns == record.last.ns


@pytest.fixture
def endless(clock: Clock, bench: Bench) -> Bench:
    return Bench(clock, endless=True)


def test_in_a_run_of_months_the_end_of_a_process_is_an_ending(endless: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is restarted each night leaves no sites for ever. It keeps the name that it had while it lived."""
    monkeypatch.setattr(programs, "program_of", lambda _pid: "nightly.py")
    endless.leak(1, ago=15)
    assert endless.watch.tick().sites == ()
    monkeypatch.setattr(programs, "program_of", lambda _pid: "?")
    endless.close(1, exiting=True)
    endless.watch.tick()
    report = endless.report()
    assert report.sites == ()
    (ended,) = report.ended_findings
    assert (ended.lingered_ns, ended.program) == (15 * S, "nightly.py")


def test_a_run_of_months_keeps_no_finding_whose_ending_was_lost(
    endless: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line in the suspects map has gone; the ring buffer was full.

    Nor of a stranger, whose record goes without an ending when the process accepts it in whose queue it waits.
    """
    monkeypatch.setattr(module, "_GONE_KEPT", 4)
    endless.reconciler.strangers.others = set(range(2, 40, 2))
    for sk in range(1, 40):
        endless.leak(sk, ago=15)
        endless.watch.tick()
        endless.clock.now += 60 * S
        if sk > 1:
            endless.recorder.since.pop(sk)
            endless.recorder.records.pop(sk)
    endless.watch.tick()
    assert len(endless.watch._findings) <= 6
    assert len(endless.reconciler.strangers.known) <= 6
    assert endless.report().lingering == 1


def test_a_part_tells_what_it_has(endless: Bench) -> None:
    """By its own threshold, and the endings that are its own; what the session knows stays as it was."""
    for sk in (1, 2, 3):
        endless.leak(sk, ago=20)
    endless.leak(4, ago=5)
    endless.watch.tick()
    endless.close(3)
    endless.watch.tick()
    part = FakePart(endless, frozenset({2, 3, 4}), 4 * S)
    report = endless.watch.report(PLAN, "host", 0.0, 0, cast(Part, part))
    assert (report.target, report.linger_ns) == ("some", 4 * S)
    assert sorted(f.connection.sk for site in report.sites for f in site.findings) == [2, 4]
    assert [gone.connection.sk for gone in report.ended_findings] == [3]
    assert report.lingered == 3
    whole = endless.report()
    assert sorted(f.connection.sk for site in whole.sites for f in site.findings) == [1, 2]


def test_an_answer_and_what_is_kept(endless: Bench) -> None:
    """What is told is whole; what is kept between two reports is an outline, of the same sockets as before."""
    for sk in (1, 2, 3):
        endless.leak(sk, ago=20)
    endless.watch.tick()
    kept = dict(endless.watch._findings)
    assert len(kept) == 3
    part = cast(Part, FakePart(endless, frozenset({1, 2}), 4 * S))
    for _ in range(2):
        report = endless.watch.report(PLAN, "host", 0.0, 0, part)
        told = [f for site in report.sites for f in site.findings]
        assert len(told) == 2
        assert all(finding.evidence for finding in told)
        assert set(endless.watch._findings) == set(kept)
        assert not any(finding.evidence for finding in endless.watch._findings.values())
        assert {key: f.verdict for key, f in endless.watch._findings.items()} == {k: f.verdict for k, f in kept.items()}


class FakePart:
    """Some sockets by their address."""

    target = "some"

    def __init__(self, bench: Bench, sks: frozenset[int], linger_ns: int) -> None:
        self.sks, self.linger_ns, self.reconciler = sks, linger_ns, bench.reconciler

    def has(self, connection: Connection) -> bool:
        return connection.sk in self.sks

    def ended(self, endings: Endings) -> Endings:
        mine = Endings()
        for gone in endings.latest:
            if self.has(gone.connection):
                mine.add(gone)
        return mine
