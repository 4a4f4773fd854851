"""The kernel's own list against what is told, on real sockets of this process and made-up members."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Optional, cast

import pytest

from tests.unit.builders import judged
from tests.unit.session.recording import FakeRecorder
from tracer.flight.recorder import Recorder
from tracer.host import descriptors
from tracer.host.namespaces import Namespaces
from tracer.model.finding import Reconciliation
from tracer.model.scope import Scope
from tracer.session.members import Members
from tracer.session.preexisting import Preexisting
from tracer.session.reconcile import Reconciler

ME = os.getpid()
LINGER_NS = 200_000_000


class FakeMembers:
    """Whoever it was told."""

    def __init__(self, pids: Optional[frozenset[int]]) -> None:
        self.pids = pids

    def now(self) -> Optional[frozenset[int]]:
        return self.pids


def later() -> int:
    """A second from now: however long this machine takes to list its sockets, those of the test are over age."""
    return time.monotonic_ns() + 1_000_000_000


class Place:
    """A port whose clients are hung up on."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        self.port = self.listener.getsockname()[1]

    def leak(self, wait: float = 0.3) -> socket.socket:
        client = self._stack.enter_context(closing(socket.create_connection(self.listener.getsockname())))
        peer, _ = self.listener.accept()
        peer.close()
        time.sleep(wait)
        return client

    def reconciler(self, pids: Optional[frozenset[int]], older: Optional[Preexisting] = None) -> Reconciler:
        scope = Scope(pids=(ME,) if pids is not None else (), remote_ports=(self.port,))
        namespaces = Namespaces()
        members = cast(Members, FakeMembers(pids))
        older = older or Preexisting(Scope(pids=(ME,)), namespaces)
        return Reconciler(scope, members, older, namespaces, LINGER_NS)

    def outcome(self, pids: Optional[frozenset[int]], now_ns: Optional[int] = None) -> Reconciliation:
        comparison = self.reconciler(pids).look(later() if now_ns is None else now_ns, [])
        return comparison.outcome(judged(*comparison.found))


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def test_what_a_member_holds_is_told(place: Place) -> None:
    """No record knows it, but its descriptor does."""
    left = place.leak()
    comparison = place.reconciler(frozenset({ME})).look(later(), [])
    (found,) = comparison.found
    assert (found.local.port, found.inode) == (left.getsockname()[1], os.fstat(left.fileno()).st_ino)
    assert found.unrecorded
    assert found.fin_before_ns is not None
    assert 0.2e9 < time.monotonic_ns() - found.fin_before_ns < 5e9
    told = comparison.outcome(judged(found))
    assert (told.complete, told.listed, told.told) == (True, 1, 1)


def test_what_found_no_free_record_is_not_called_older(place: Place) -> None:
    """Where everybody is in scope, all that comes to CLOSE_WAIT is recorded, if there is room for it."""
    place.leak()
    older = Preexisting(Scope(remote_ports=(place.port,)), Namespaces())
    (lost,) = place.reconciler(None, older).look(later(), []).found
    assert (lost.crowded_out, lost.preexisting, lost.unrecorded) == (True, False, True)
    older.take(cast(Recorder, FakeRecorder()), None)
    (was_there,) = place.reconciler(None, older).look(later(), []).found
    assert (was_there.crowded_out, was_there.preexisting, was_there.unrecorded) == (False, True, False)


def test_what_is_recorded_is_not_found_twice(place: Place) -> None:
    """A record is recognised by its cookie, or by its addresses where it has none; so is a young one."""
    place.leak()
    reconciler = place.reconciler(frozenset({ME}))
    (found,) = reconciler.look(later(), []).found
    assert reconciler.look(later(), [found]).found == []
    assert reconciler.look(later(), [replace(found, cookie=0)]).found == []
    young = reconciler.look(later(), [], [found])
    assert young.found == []
    assert young.outcome([]).younger == 1


def test_a_young_one_is_counted(place: Place) -> None:
    """Below the threshold it is not told yet. It came at the moment of the look at the earliest."""
    looked_at = time.monotonic_ns()
    place.leak(wait=0)
    outcome = place.outcome(frozenset({ME}), looked_at)
    assert (outcome.listed, outcome.told, outcome.younger) == (1, 0, 1)


def test_what_was_young_when_records_were_read_stays_young(place: Place) -> None:
    """It passes the threshold before the kernel is asked: nothing of its record is known, so nothing is told of it."""
    chosen = time.monotonic_ns()
    place.leak()
    comparison = place.reconciler(frozenset({ME})).look(chosen, [])
    assert list(comparison.found) == []
    assert comparison.outcome([]).younger == 1


def test_strangers_are_out_of_scope(place: Place) -> None:
    """Of another process nothing is told but the number; without a filter by task nobody is a stranger."""
    place.leak()
    with subprocess.Popen(["sleep", "60"]) as other:
        strange = place.outcome(frozenset({other.pid}))
        other.kill()
    assert (strange.listed, strange.told, strange.out_of_scope) == (1, 0, 1)
    everybody = place.outcome(None)
    assert (everybody.listed, everybody.told, everybody.out_of_scope) == (1, 1, 0)


def test_children_are_counted_for_their_parent(place: Place) -> None:
    """Held by this process, whose parent is in scope."""
    place.leak()
    outcome = place.outcome(frozenset({os.getppid()}))
    assert (outcome.told, outcome.descendants_sockets, outcome.out_of_scope) == (0, 1, 0)
    assert [(process.pid, process.sockets) for process in outcome.descendants] == [(ME, 1)]


def test_a_member_that_cannot_be_read_leaves_it_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sockets may be any of those without a holder: nothing is told, and the comparison is not complete."""
    place.leak()
    read = descriptors._readable_links

    def refused(pid: int) -> Iterator[tuple[int, str]]:
        if pid == ME:
            raise PermissionError
        return read(pid)

    monkeypatch.setattr(descriptors, "_readable_links", refused)
    outcome = place.outcome(frozenset({ME}))
    assert (outcome.complete, outcome.matters, outcome.without_holder) == (False, True, 1)
    assert ME in {process.pid for process in outcome.unreadable}
    elsewhere = place.outcome(frozenset({os.getppid()}))
    assert elsewhere.told == 0
    assert elsewhere.matters


def test_a_socket_waits_for_its_listener(place: Place) -> None:
    """In an accept queue it has no descriptor; who listens there answers for it."""
    client = socket.create_connection(place.listener.getsockname())
    port = client.getsockname()[1]
    with closing(client):
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        scope, namespaces = Scope(pids=(ME,), remote_ports=(port,)), Namespaces()
        older = Preexisting(scope, namespaces)
        members = cast(Members, FakeMembers(frozenset({ME})))
        (found,) = Reconciler(scope, members, older, namespaces, LINGER_NS).look(later(), []).found
    assert (found.inode, found.accepted, found.local.port) == (0, False, place.port)


def await_comm(pid: int, comm: str) -> None:
    for _ in range(500):
        if Path(f"/proc/{pid}/comm").read_text().strip() == comm:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} did not become {comm}")


def test_members_are_the_descendants_and_who_runs_the_program() -> None:
    """As the kernel side is told at the start, and as it follows them."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        sleeper = int(shell.stdout.readline())
        recorder = FakeRecorder()
        family = Members(Scope(pids=(shell.pid,), follow_forks=True), cast(Recorder, recorder))
        family.seed()
        assert recorder.pids == {shell.pid, sleeper}
        assert family.now() == frozenset({shell.pid, sleeper})
        alone = Members(Scope(pids=(shell.pid,)), cast(Recorder, FakeRecorder()))
        alone.seed()
        assert alone.now() == frozenset({shell.pid})
        await_comm(sleeper, "sleep")  # the shell tells its number before it has become that program
        recorder = FakeRecorder()
        called = Members(Scope(comm="sleep"), cast(Recorder, recorder))
        called.seed()
        assert sleeper in recorder.named
        assert shell.pid not in recorder.named
        with subprocess.Popen(["sleep", "61"]) as late:
            await_comm(late.pid, "sleep")
            called.look_for_programs()
            assert late.pid in (called.now() or ())
            late.kill()
        os.kill(sleeper, 9)
    assert Members(Scope(remote_ports=(1,)), cast(Recorder, FakeRecorder())).now() is None


def test_what_nobody_in_scope_can_have_is_not_looked_at(place: Place) -> None:
    """It is counted all the same: the figures add up."""
    mine, strange = place.leak(0), place.leak()
    inode = os.fstat(mine.fileno()).st_ino
    scope, namespaces = Scope(pids=(ME,), remote_ports=(place.port,)), Namespaces()
    older = Preexisting(Scope(), namespaces)
    members = FakeMembers(frozenset({ME}))
    reconciler = Reconciler(scope, members, older, namespaces, LINGER_NS, lambda one: one.inode == inode)
    comparison = reconciler.look(later(), [])
    assert [one.inode for one in comparison.found] == [inode]
    outcome = comparison.outcome(judged(*comparison.found))
    assert (outcome.listed, outcome.told, outcome.out_of_scope, outcome.complete) == (2, 1, 1, True)
    del strange


def older_than(place: Place) -> Preexisting:
    """What a trace of this process and the port of ``place`` finds when it begins."""
    older = Preexisting(Scope(pids=(ME,), remote_ports=(place.port,)), Namespaces())
    older.take(cast(Recorder, FakeRecorder()), {ME})
    return older


def test_what_had_lingered_at_the_start_and_left_is_counted(place: Place) -> None:
    """No call touched it, so no record tells of it: without this count it would be said that no socket stayed."""
    stays, goes = place.leak(), place.leak()
    reconciler = place.reconciler(frozenset({ME}), older_than(place))
    goes.close()
    comparison = reconciler.look(later(), [])
    outcome = comparison.outcome(judged(*comparison.found))
    assert [found.local.port for found in comparison.found] == [stays.getsockname()[1]]
    assert (outcome.listed, outcome.told, outcome.left) == (1, 1, 1)


def test_what_had_not_lingered_at_the_start_counts_once_all_have_ended(place: Place) -> None:
    """A program closes most of its young sockets; what its end closes was kept until then."""
    older = Preexisting(Scope(pids=(ME,), remote_ports=(place.port,)), Namespaces())
    goes = place.leak(wait=0)
    older.take(cast(Recorder, FakeRecorder()), {ME})
    (young,) = older.waiting()
    assert older.lingered(3_600_000_000_000) == ()
    goes.close()
    scope, namespaces = older.scope, Namespaces()
    for pids, left in (({ME}, 0), (set(), 1)):
        members = cast(Members, FakeMembers(frozenset(pids)))
        comparison = Reconciler(scope, members, older, namespaces, 3_600_000_000_000).look(later(), [])
        assert comparison.outcome([]).left == left
    assert comparison.left == {young.cookie}


def test_what_has_a_record_is_not_counted_as_left(place: Place) -> None:
    """Its end is told with what ended it."""
    goes = place.leak()
    reconciler = place.reconciler(frozenset({ME}), older_than(place))
    (found,) = reconciler.look(later(), []).found
    goes.close()
    comparison = reconciler.look(later(), [])
    assert comparison.outcome([]).left == 1
    assert comparison.outcome(judged(replace(found, ended_ns=1))).left == 0


def test_what_outlives_every_process_in_scope_is_told(place: Place) -> None:
    """Another process holds it: it is still in CLOSE_WAIT, though nobody in scope has a namespace any more."""
    place.leak()
    comparison = place.reconciler(frozenset(), older_than(place)).look(later(), [])
    outcome = comparison.outcome(judged(*comparison.found))
    assert (outcome.listed, outcome.told, outcome.left) == (1, 1, 0)
