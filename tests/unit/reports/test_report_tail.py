"""Oracle: one aligned line per transition with all that was promised, addresses whole."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime

import pytest
from builders import stack
from cases import EVENT, HOSTILE, V6

from tracer.model.connection import Endpoint
from tracer.model.states import Origin
from tracer.reports import status, tail


@pytest.mark.parametrize("width", [80, 140, 200])
def test_line_has_all_fields_in_order(width: int) -> None:
    """Time with microseconds, pid, comm, local, remote, OLD -> NEW, ms, origin: at any width."""
    clock = f"{datetime.fromtimestamp(1_700_000_000):%H:%M:%S}.123456"
    fields = tail.line(EVENT, color=False, width=width).split()
    assert fields[:5] == [clock, "4121", "java", "127.0.0.1:57510", "127.0.0.1:8081"]
    assert fields[5:8] == ["ESTABLISHED", "->", "CLOSE_WAIT"]
    assert fields[8] == "65004.120"
    assert fields[-1] == "peer"


def test_columns_are_aligned_under_the_header() -> None:
    """Where the terminal is wide enough every column starts under its title."""
    for width, remote in ((80, Endpoint("10.0.0.1", 80)), (140, Endpoint("255.255.255.255", 65535)), (190, V6)):
        header = tail.header(color=False, width=width)
        line = tail.line(dataclasses.replace(EVENT, remote=remote), color=False, width=width)
        assert line.index(str(remote)) == header.index("REMOTE")
        assert line.index("ESTABLISHED ->") == header.index("OLD -> NEW")
        assert line.index("peer") == header.index("ORIGIN")
        assert len(line) <= max(width, 130)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_addresses_are_never_cut(width: int) -> None:
    """Long addresses push the rest aside rather than lose a digit."""
    line = tail.line(dataclasses.replace(EVENT, local=V6, remote=V6), color=False, width=width)
    assert line.count(str(V6)) == 2


def test_unknowns_are_dashes() -> None:
    """An unknown owner, duration or origin is shown as unknown."""
    event = dataclasses.replace(EVENT, pid=None, comm="", in_old_ns=None, origin=Origin.UNKNOWN)
    assert re.fullmatch(r"\S+ +- - .* -> CLOSE_WAIT +- \?", tail.line(event, color=False, width=140))


def test_hostile_comm_and_stack() -> None:
    """Names from a process come out escaped."""
    event = dataclasses.replace(EVENT, comm=HOSTILE, stack=stack(HOSTILE), origin=Origin.LOCAL)
    assert tail.line(event, color=False, width=140).isprintable()
    lines = (tail.stack(event, color=False, width=80) or "").split("\n")
    assert all(line.isprintable() for line in lines)


def test_stack_below() -> None:
    """The stack of a local call names its functions; the peer's doing has none, whatever was recorded last."""
    local = dataclasses.replace(EVENT, origin=Origin.LOCAL)
    assert "close_it" in (tail.stack(local, color=False, width=80) or "")
    assert tail.stack(dataclasses.replace(local, stack=None), color=False, width=80) is None
    assert tail.stack(EVENT, color=False, width=80) is None


def test_loss_in_line() -> None:
    """Missing transitions are counted where they are missing."""
    assert tail.loss(12, color=False) == "-- 12 transitions lost --"
    assert tail.loss(1, color=False) == "-- 1 transition lost --"


def test_live_line() -> None:
    """The live line tells the three figures and never reaches the last column, where a terminal would wrap."""
    assert status.line(412, 12, 71_000_000_000, width=80) == "412 sockets watched, 12 in CLOSE_WAIT, oldest 1m 11s"
    assert status.line(1, 0, None, width=80) == "1 socket watched, 0 in CLOSE_WAIT"
    assert all(len(status.line(10**9, 10**9, 10**18, width=w)) < w for w in range(1, 100))
