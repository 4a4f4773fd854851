"""Oracle: json reads every line, and what it reads is what docs/json.md promises."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.builders import stack
from tests.unit.cases import HOSTILE, LOCAL_CLOSE, OFFSET_NS, transition
from tracer.model.finding import Streamed
from tracer.reports.json import tail as tail_json


def value(**changes: Any) -> dict[str, Any]:
    (line,) = tail_json.lines([transition(**changes)], OFFSET_NS, lambda _box: stack("close_it", "main"))
    assert "\n" not in line
    return dict(json.loads(line))


def test_a_transition() -> None:
    """Time, owner, ends, states, ms and origin of a transition that the peer made."""
    assert value() == {
        "schema": "closetrace.tail/1",
        "event": "transition",
        "time": "2023-11-14T22:13:20.123456Z",
        "pid": 4121,
        "comm": "java",
        "local": "127.0.0.1:57510",
        "remote": "127.0.0.1:8081",
        "old": "ESTABLISHED",
        "new": "CLOSE_WAIT",
        "ms": 65004.12,
        "origin": "peer",
        "netns": 4_026_531_840,
        "cookie": 77,
        "stack": None,
    }


def test_unknowns_are_null() -> None:
    """Nobody owns it yet, and its entry into the old state was not seen."""
    found = value(pid=0, comm=b"", in_old_ns=0)
    assert (found["pid"], found["comm"], found["ms"]) == (None, "", None)


def test_the_stack_of_a_local_call_alone() -> None:
    """The stack of close under LAST_ACK; none under what the peer did, whatever was recorded."""
    assert [frame["function"] for frame in value(**LOCAL_CLOSE)["stack"]][-2:] == ["close_it", "main"]
    assert value(box=3)["stack"] is None
    assert value(**{**LOCAL_CLOSE, "box": 0})["stack"] is None


def test_hostile_names_stay_one_line_of_json() -> None:
    """Whatever the bytes of a thread's name, the line is JSON and gives them back."""
    comm = HOSTILE.encode(errors="replace")[:15].split(b"\0")[0]
    assert value(comm=comm)["comm"] == comm.decode(errors="replace")
    assert value(comm=b'"}, \\ {')["comm"] == '"}, \\ {'


def test_losses_and_total() -> None:
    """What is missing here, and what there was over all."""
    loss = {"schema": "closetrace.tail/1", "event": "loss", "transitions": 3}
    assert json.loads(tail_json.loss(3)) == loss
    assert json.loads(tail_json.total(Streamed(10, 7, 3, 2, 1))) == {
        "schema": "closetrace.tail/1",
        "event": "total",
        "transitions": 7,
        "lost": 3,
        "produced": 10,
        "sockets_not_followed": 2,
        "hooks_not_run": 1,
        "stacks_unread": 0,
    }
