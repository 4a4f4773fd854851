"""What an agent adds to a census, as text at 80 and 200 columns and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from tests.unit.diagnose.census.test_recorded import PATH, TAKEN, census, known, path, records, sock
from tests.unit.reports.test_census_report import SCHEMA
from tracer.diagnose.census.recorded import Calls, CodePath
from tracer.reports.json import census as census_json
from tracer.reports.text import census as text

ORDERS = replace(
    PATH,
    program="order-service-gateway-worker",
    verdict="half-closed-in-use",
    function="com.example.shop.orders.client.OrderClient.fetchPrice",
    where="com.example.shop.orders.client.OrderClient.fetchPrice (OrderClient.java:120)",
)


def block(width: int, *paths: CodePath, count: int = 3, rows: int = 20) -> list[str]:
    """The lines that the agent adds, at the place where CLOSE_WAIT is explained."""
    to = "2001:db8:1111:2222:3333:4444:5555:6666"
    listed = (sock(one, to=to) for one in range(1, count + 1))
    printed = text.render(census(*listed), width, rows, records=records(*paths))
    parts = printed.rstrip("\n").split("\n\n")
    (at,) = (at for at, part in enumerate(parts) if part.startswith("Code paths"))
    assert parts[at - 1].startswith("CLOSE_WAIT:")
    return parts[at].splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_a_line_for_each_path(width: int) -> None:
    """No line is wider; how many, the oldest, who, the verdict, and the function by the end that tells."""
    orders = replace(ORDERS, sockets=(known(1, pid=4194304), known(2, 7_200_000, pid=4194303)))
    lines = block(width, orders, path("b", known(3)))
    assert max(map(len, lines)) <= width
    first = next(line for line in lines if line.split()[:1] == ["2"])
    assert "2h 00m" in first
    assert "order-se... (4194303) +1" in first
    assert "half-closed-in-use" in first
    if width == 200:
        assert first.endswith("fetchPrice (OrderClient.java:120)")
        assert "[2001:db8:1111:2222:3333:..." in first
    else:
        assert first.endswith("fetchPrice")
    assert lines[-1] == "  These are all 3 sockets in CLOSE_WAIT."


def test_what_has_no_path_is_counted() -> None:
    """The kernel's number, and why the agent tells of fewer."""
    lines = block(100, path("a", known(1)), path("b", known(2, calls=Calls.OLDER)))
    assert " ".join(" ".join(lines[-2:]).split()).endswith(
        "1 of 3 sockets in CLOSE_WAIT has a code path; 1 is older than the recording (no call since) and 1 is not in"
        " the agent's records."
    )


def test_what_has_calls_and_no_frame_has_no_path() -> None:
    """Its line says what is known, but the sentence does not count it."""
    frameless = replace(PATH, id="b", where="-", function="-", sockets=(known(2), known(3)))
    lines = block(100, path("a", known(1)), frameless)
    assert " ".join(" ".join(lines[-2:]).split()).endswith(
        "1 of 3 sockets in CLOSE_WAIT has a code path; 2 are known by calls without a frame of the program."
    )


def test_what_waits_in_an_accept_queue_was_in_no_call() -> None:
    """The agent knows it by its transitions: it is not among those that calls without a frame are known of."""
    queued = replace(PATH, id="b", where="-", function="-", verdict="never-accepted", sockets=(known(2), known(3)))
    lines = block(100, path("a", known(1)), queued)
    assert " ".join(" ".join(lines[-2:]).split()).endswith(
        "1 of 3 sockets in CLOSE_WAIT has a code path; 2 are in an accept queue (no call took them)."
    )


def test_rows_are_cut() -> None:
    """No more than asked for, and the sum of the others; 0 shows all."""
    paths = [path(str(one), known(one)) for one in range(1, 8)]
    lines = block(80, *paths, count=7, rows=5)
    assert "  ... 2 more with 2 sockets (--rows 0 shows all)" in lines
    assert len(block(80, *paths, count=7, rows=0)) == len(lines) + 1


def test_nothing_waits() -> None:
    """Then there is nothing to say."""
    assert "agent" not in text.render(census(), 80, 20, records=records(path("a", known(1))))


def test_the_day_is_told_if_it_is_another_one() -> None:
    """Local time, as in the headline."""
    older = replace(records(path("a", known(1))), since=TAKEN - 3 * 86_400)
    assert "recorded since 2023-11-1" in text.render(census(sock(1)), 200, 20, records=older)


def test_no_control_character_gets_through() -> None:
    """Whatever an agent says of a program."""
    evil = replace(PATH, program="\x1b[31m", where="\x1b]0;x", verdict="\r", sockets=(known(1),))
    printed = text.render(census(sock(1)), 200, 20, records=records(evil))
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_json() -> None:
    """By the schema; null without an agent. The figures add up."""
    now = census(sock(1), sock(2), sock(3, quiet_ms=1000))
    found = json.loads(census_json.render(now, records(path("a", known(1)), path("b", known(2, calls=Calls.OLDER)))))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    told = found["recorded"]
    assert [(site["id"], site["count"], site["oldest_s"]) for site in told["sites"]] == [("a", 1, 60.0)]
    assert (told["close_wait"], told["older"], told["younger"], told["unknown"]) == (3, 1, 1, 0)
    assert told["since"] == "2023-11-14T21:13:20.000Z"
    without = json.loads(census_json.render(now))
    jsonschema.Draft202012Validator(SCHEMA).validate(without)
    assert without["recorded"] is None
