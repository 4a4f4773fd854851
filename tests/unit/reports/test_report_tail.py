"""Oracle: one aligned line per transition with all that was promised, addresses whole."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Any, Optional

import pytest

from tests.unit.builders import stack
from tests.unit.cases import HOSTILE, LOCAL_CLOSE, OFFSET_NS, V6, transition
from tracer.model.finding import Streamed
from tracer.model.frame import Stack
from tracer.model.states import TcpState
from tracer.reports.text import status, tail

V6_BYTES = ipaddress.IPv6Address(V6.address).packed


def line(width: int = 140, **changes: Any) -> str:
    """The one line of a transition."""
    (only,) = tail.lines([transition(**changes)], OFFSET_NS, lambda _box: None, color=False, width=width)
    return only


@pytest.mark.parametrize("width", [80, 140, 200])
def test_line_has_all_fields_in_order(width: int) -> None:
    """Time with microseconds, pid, comm, local, remote, OLD -> NEW, ms, origin: at any width."""
    clock = f"{datetime.fromtimestamp(1_700_000_000):%H:%M:%S}.123456"
    fields = line(width).split()
    assert fields[:5] == [clock, "4121", "java", "127.0.0.1:57510", "127.0.0.1:8081"]
    assert fields[5:8] == ["ESTABLISHED", "->", "CLOSE_WAIT"]
    assert fields[8] == "65004.120"
    assert fields[-1] == "peer"


def test_columns_are_aligned_under_the_header() -> None:
    """Where the terminal is wide enough every column starts under its title."""
    far: dict[str, Any] = {"raddr": bytes([255] * 4), "rport": 65535}
    sixth: dict[str, Any] = {"raddr": V6_BYTES, "rport": V6.port, "laddr": V6_BYTES, "family": 10}
    for width, changes, remote in (
        (80, {}, "127.0.0.1:8081"),
        (140, far, "255.255.255.255:65535"),
        (190, sixth, str(V6)),
    ):
        header = tail.header(color=False, width=width)
        row = line(width, **changes)
        assert row.rindex(remote) == header.index("REMOTE")
        assert row.index("ESTABLISHED ->") == header.index("OLD -> NEW")
        assert row.index("peer") == header.index("ORIGIN")
        assert len(row) <= max(width, 130)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_addresses_are_never_cut(width: int) -> None:
    """Long addresses push the rest aside rather than lose a digit."""
    ends = {"laddr": V6_BYTES, "raddr": V6_BYTES, "lport": V6.port, "rport": V6.port, "family": 10}
    assert line(width, **ends).count(str(V6)) == 2


def test_unknowns_are_dashes() -> None:
    """An unknown owner, duration or origin is shown as unknown."""
    unknown = {"old_state": TcpState.SYN_SENT, "new_state": TcpState.CLOSE, "flags": 0}
    row = line(pid=0, comm=b"", in_old_ns=0, **unknown)
    assert re.fullmatch(r"\S+ +- - .* -> CLOSE +- \?", row)


def told(made: Optional[Stack], **changes: Any) -> list[str]:
    """The lines of a transition whose box gives the stack ``made``."""
    return tail.lines([transition(**changes)], OFFSET_NS, lambda _box: made, color=False, width=80)


def test_hostile_comm_and_stack() -> None:
    """Names from a process come out escaped."""
    comm = HOSTILE.encode(errors="replace")[:15].split(b"\0")[0]
    lines = told(stack(HOSTILE), comm=comm, **LOCAL_CLOSE)
    assert len(lines) > 1
    assert all(row.isprintable() for row in lines)


def test_stack_below() -> None:
    """The stack of a local call names its functions; the peer's doing has none, whatever was recorded last."""
    assert "close_it" in "\n".join(told(stack("close_it", "main"), **LOCAL_CLOSE)[1:])
    assert len(told(None, **LOCAL_CLOSE)) == 1
    assert len(told(stack("close_it", "main"), box=3)) == 1


def test_every_box_is_asked_for() -> None:
    """A box is freed by asking for its stack, also where the stack is not shown."""
    asked: list[int] = []
    events = [transition(box=box) for box in (1, 0, 7)] + [transition(**LOCAL_CLOSE)]
    tail.lines(events, OFFSET_NS, asked.append, color=False, width=80)
    assert asked == [1, 7, 3]


def test_total() -> None:
    """The last line tells what was shown and lost, and what was not seen at all."""
    assert tail.total(Streamed(12, 12, 0), color=False) == "-- 12 transitions shown, 0 lost --"
    whole = tail.total(Streamed(12, 10, 2, 1, 3), color=False)
    assert whole.startswith("-- 10 transitions shown, 2 lost, 1 socket not followed")
    assert "3 hooks not run" in whole


def test_loss_in_line() -> None:
    """Missing transitions are counted where they are missing."""
    assert tail.loss(12, color=False) == "-- 12 transitions lost --"
    assert tail.loss(1, color=False) == "-- 1 transition lost --"


def test_live_line() -> None:
    """The live line tells the three figures and never reaches the last column, where a terminal would wrap."""
    assert status.line(412, 12, 71_000_000_000, width=80) == "412 sockets watched, 12 in CLOSE_WAIT, oldest 1m 11s"
    assert status.line(1, 0, None, width=80) == "1 socket watched, 0 in CLOSE_WAIT"
    assert all(len(status.line(10**9, 10**9, 10**18, width=w)) < w for w in range(1, 100))
