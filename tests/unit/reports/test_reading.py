"""Recorded reports are read back. Oracle: what the live report printed, text and JSON; other files are refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.builders import NOW, OFFSET, START, S, accepted, actor, connection, frame, judged, report, stack, touch
from tests.unit.cases import ANYTHING, HOSTILE, ONE_OF_EACH
from tests.unit.reports.test_report_json import ENDPOINTS, STACKS
from tracer.diagnose.sites import with_present
from tracer.errors import ClosetraceError
from tracer.model.connection import Connection, Holder, Losses, Probe
from tracer.model.finding import (
    BackOff,
    Cost,
    Ended,
    Process,
    Reconciliation,
    Report,
    Unconfined,
    Unread,
    Verdict,
)
from tracer.model.frame import Stack
from tracer.model.holder import HeapLook, Lineage, Link, Missing, Root, RootKind, Use
from tracer.model.states import Op, Origin
from tracer.model.thread import Polled, Present, Standing
from tracer.reports.json import report as json_report
from tracer.reports.json.reading.report import from_text
from tracer.reports.text import table
from tracer.reports.times import epoch_ns, rfc3339


def written(live: Report) -> str:
    """The report as the file that a user keeps."""
    return "".join(json_report.to_text(live))


def told_of(text: str) -> Any:
    """All but which stack a touch has: one that differs in what libraries did is not in the document."""
    return json.loads(re.sub(r', "stack": "(alike|\w*stack)"', "", text))


def same(live: Report) -> Report:
    """Check that text and JSON of the report that was read are those of ``live``; return the one that was read."""
    text = written(live)
    found = from_text(text.encode())
    for width, all_frames in ((80, False), (200, True)):
        told = table.render(live, width=width, color=False, all_frames=all_frames)
        assert table.render(found, width=width, color=False, all_frames=all_frames) == told
    assert told_of(written(found)) == told_of(text)
    return found


@pytest.mark.parametrize(("facts", "verdict", "figure"), ONE_OF_EACH)
def test_each_verdict(facts: dict[str, Any], verdict: Verdict, figure: str) -> None:
    """A report of each verdict reads as it was printed."""
    found = same(report(connection(1, **facts), connection(2, **facts)))
    assert found.sites[0].verdict is verdict


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(ANYTHING, STACKS, ENDPOINTS), min_size=1, max_size=5),
    st.builds(Losses, st.integers(0, 9), st.integers(0, 9)),
)
def test_any_report(sockets: list[Any], losses: Losses) -> None:
    """Whatever the recorder knows or lacks."""
    connections: list[Connection] = []
    for serial, (facts, any_stack, end) in enumerate(sockets):
        one = any_stack if any_stack is not None and any_stack.frames else None  # JSON has no frames for both
        told = {**facts, "last": touch(Op.RECV, 1.006, 150, stack=one)} if facts["last"] is not None else facts
        connections.append(connection(serial, remote=end, **told))
    gone = tuple(Ended(f.connection, f.verdict, S, "closed") for f in judged(*connections))
    same(report(*connections, losses=losses, ended_findings=gone))


_STEPS = (BackOff(1_700_000_000.123456, "sampled", 2.5), BackOff(1_700_000_060.5, "all", 0.5, more=True))


def test_everything_else_of_a_report() -> None:
    """Threads, holders in the heap, endings, losses, costs and the reconciliation."""
    lineages = (
        Lineage(3, (Link("a.Pool", "[]", inner=True), Link("a.Own", "pool", own=True)), Root(RootKind.STATIC, "a.B.c")),
        Lineage(4, (Link("a.Own", "pool", own=True),), Root(RootKind.STATIC, "a.B.d"), beside="libpq.so.5"),
        Lineage(3, library="HikariCP", use=Use.IDLE, missing=Missing.UNFOUND),
        None,
    )
    several = (Holder(100, 3, "app"), Holder(101, 3, "app"))
    waits = Present((actor(100, 7), actor()), Standing.WAITS, "futex", NOW - 9 * S - 123, stack("take_lock", "main"))
    beside = replace(waits, first_ns=NOW - 20 * S, beside=True, polls=Polled(1, 2))
    closed = touch(Op.CLOSE, 150.123456789, 0, syscall=3, stack=stack("shut", "main"))
    gone = [
        Ended(connection(9, closed=closed, ended_ns=START + 150 * S), Verdict.EOF_IGNORED, 84 * S + 7, "closed by it"),
        Ended(connection(8, reset_by=Origin.PEER, reset_ns=START + 90 * S), Verdict.UNKNOWN, S, "reset"),
    ]
    unreadable = tuple(Process(pid, f"p{pid}") for pid in range(1, 31))
    live = report(
        *(accepted(serial, lineage=lineage, listeners=several) for serial, lineage in enumerate(lineages)),
        ended_findings=tuple(gone),
        losses=Losses(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        plan=(Probe("state", None, "no tracepoint", "nothing"), Probe("recv", "fentry:tcp_recvmsg")),
        cost=Cost(61.5, 0.25, 0.125, 3 << 20, 5 << 20, 1.5, _STEPS),
        reconciliation=Reconciliation(False, 3, 20, 5, 2, 4, 6, 3, (Process(5, "kid", 3),), 2, unreadable, True, 1),
        unread=(Unread("/bin/x", "symbols", "too large"), Unread("", "all", "no jail")),
        unconfined=(Unconfined("seccomp", "not built in"),),
        heaps=(HeapLook(100, "java", 9, 7, "the collector moved", 1 << 20, 2, "G1"), HeapLook(1, "x", 1, 1)),
    )
    same(replace(live, sites=(with_present(live.sites[0], (waits, beside), 5),)))


def test_a_clean_report() -> None:
    """No site at all."""
    same(report(started=1_700_000_000.1234564, ended=1_700_000_071.05))


def test_since_when_an_agent_had_recorded() -> None:
    """A report from an agent's records says so also when it is read back."""
    assert same(report(connection(1), recorded_since=1_700_000_000.5)).recorded_since == 1_700_000_000.5


def test_since_when_is_said_as_the_command_says_it() -> None:
    """To the second that had begun: the line on stderr and that in the report name the same one."""
    printed = table.render(report(connection(1), recorded_since=1_700_000_000.9), width=100, color=False)
    assert "which has recorded since 2023-11-14 22:13:20 UTC (" in printed


def test_hostile_names_stay_escaped() -> None:
    """Names from traced processes come back as they were, and are printed as escapes."""
    last = touch(Op.RECV, 1.006, 150, stack=Stack((frame(HOSTILE, HOSTILE),), False, HOSTILE))
    found = same(report(connection(last=last), target=HOSTILE))
    assert found.target == HOSTILE
    assert table.render(found, width=80, color=False).replace("\n", "").isprintable()


def older(live: Report) -> dict[str, Any]:
    """The document as versions wrote it that knew nothing of ``report``."""
    document = json.loads(written(live))
    del document["now_ns"]
    for site in document["sites"]:
        del site["advice_parts"]
        for socket in site["sockets"]:
            del socket["record"]
    for kind in document["ended_kinds"]:
        for key in ("outcome", "closers", "closed_stack_note"):
            del kind[key]
    return dict(document)


def test_older_documents() -> None:
    """Without the record: the same sites, calls, threads and lives, as far as the timeline tells them."""
    closed = touch(Op.CLOSE, 150, 0, syscall=3, stack=stack("shut", "main"))
    gone = Ended(connection(9, closed=closed, ended_ns=START + 150 * S), Verdict.EOF_IGNORED, 84 * S, "closed by it")
    live = report(connection(1), connection(2, eof=touch(Op.RECV, 67, 0), eof_reads=1), ended_findings=(gone,))
    found = from_text(json.dumps(older(live)).encode())
    told = table.render(found, width=100, color=False)
    expected = table.render(live, width=100, color=False)
    assert told == expected.replace("  closed by worker (pid 100)\n", "  closed\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"[]", "the document is not an object"),
        (b"{}", "it is not a report of closetrace"),
        (b'{"schema": "closetrace.census/1"}', "it is not a report of closetrace"),
        (b'{"schema": "closetrace.report/2"}', "a newer version of closetrace"),
        (b'{"schema": "closetrace.report/1"}', "ended is missing"),
        (b'{"schema": "closetrace.report/1", "now_ns": NaN}', "it is not JSON"),
        (b'{"schema": "closetrace.report/1", "now_ns": 1' + b"0" * 5000 + b"}", ""),
    ],
)
def test_other_files(text: bytes, reason: str) -> None:
    """What is no report is refused with the reason."""
    with pytest.raises(ClosetraceError) as error:
        from_text(text)
    assert reason in str(error.value)


_SAMPLE = json.loads(
    written(
        report(
            connection(1, eof=touch(Op.RECV, 67, 0), eof_reads=1),
            accepted(2),
            ended_findings=(Ended(connection(9), Verdict.UNKNOWN, S, "gone"),),
            cost=Cost(61.5, 0.25, None, 1, 2),
            reconciliation=Reconciliation(unreadable=(Process(1, "x"),)),
        )
    )
)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(),
    st.just(HOSTILE),
    st.just([]),
    st.just({}),
    st.just([[]]),
    st.just([{}]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values of a document."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((*path, key), *_places(value[key], (*path, key)))]


_PLACES = _places(_SAMPLE)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_PLACES), _VALUES)
def test_any_changed_document(place: tuple[Any, ...], value: object) -> None:
    """A value of another kind, anywhere: one error, or a text with no control character."""
    document = json.loads(json.dumps(_SAMPLE))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        found = from_text(json.dumps(document).encode())
    except ClosetraceError:
        return
    assert table.render(found, width=80, color=False).replace("\n", "").isprintable()
    json.loads(written(found))


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_come_back(us: int) -> None:
    """Reading is the inverse of writing, to the microsecond."""
    assert epoch_ns(rfc3339(us * 1000)) == us * 1000
    assert OFFSET > 0
