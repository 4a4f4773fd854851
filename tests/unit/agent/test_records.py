"""The answer to a census: written by an agent, read by the command."""

from __future__ import annotations

import json

import pytest

from tests.unit.builders import NOW, OFFSET, S, accepted, connection, report
from tracer.agent.protocol import NoAnswer
from tracer.agent.records import lines, records_from
from tracer.diagnose.census.recorded import Calls, Known
from tracer.model.connection import Losses


def test_what_was_written_is_read() -> None:
    """A site with its sockets, its function and its age; without a call it is older, or was not followed."""
    silent = {"opened": None, "last": None, "last_rx_ns": None, "last_tx_ns": None}
    now = report(
        connection(1),
        connection(2, fin=100.0),
        accepted(3),
        connection(4, preexisting=True, **silent),
        connection(5, unrecorded=True, **silent),
        losses=Losses(records=7),
    )
    text = "".join(lines(now))
    found = records_from(text.encode(), 5.0)
    assert (found.since, found.told, found.linger_ms) == (5.0, (NOW + OFFSET) / S, 10_000)
    assert found.crowded_out == 7
    ours = next(path for path in found.paths if {one.cookie for one in path.sockets} == {1, 2})
    site = next(site for site in now.sites if site.id == ours.id)
    assert (ours.program, ours.verdict) == ("app", site.verdict.value)
    assert (ours.function, ours.where) == ("read_reply", "read_reply (app)")
    assert sorted(ours.sockets) == [
        Known(4026531840, 1, 134_000, Calls.RECORDED, 100),
        Known(4026531840, 2, 100_000, Calls.RECORDED, 100),
    ]
    calls = {one.cookie: one.calls for path in found.paths for one in path.sockets}
    assert (calls[3], calls[4], calls[5]) == (Calls.RECORDED, Calls.OLDER, Calls.NOT_FOLLOWED)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"told": "x", "linger_ms": 1, "crowded_out": 0}',
        b'{"told": 1, "linger_ms": Infinity, "crowded_out": 0}',
        b'{"told": 1, "linger_ms": 1, "crowded_out": 0}\n{"id": 1}',
        b'{"told": 1, "linger_ms": 1, "crowded_out": 0}\n' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer(text: bytes) -> None:
    """One exception, whatever comes."""
    with pytest.raises(NoAnswer):
        records_from(text, 1.0)


@pytest.mark.parametrize("sockets", [[[1, 2, 3]], [[1, 2, 3, "x", 4]], [5], None, [["a", 2, 3, "older", 4]]])
def test_sockets_that_are_none(sockets: object) -> None:
    """The same for a site's sockets."""
    site = json.loads(list(lines(report(connection(1))))[1])
    text = '{"told": 1, "linger_ms": 1, "crowded_out": 0}\n' + json.dumps({**site, "sockets": sockets})
    with pytest.raises(NoAnswer):
        records_from(text.encode(), 1.0)
