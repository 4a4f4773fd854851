"""Python stacks of a whole trace, compared with what the programs say of their own frames at the same calls.

``CLOSETRACE_PYTHONS`` names the minor versions to test ("8 9 10 11 12 13 14 15"). The default is 11 and 13.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.systems.frames import Row, is_cut, place, site_of_the_half_closed, table_of, traced_calls
from tests.systems.pythons import Frames, Told, answering, find_python

MINORS = [int(minor) for minor in os.environ.get("CLOSETRACE_PYTHONS", "11 13").split()]
COLUMNS = ("calls", "equal", "frames", "right", "wrong", "marked", "unknown", "not copied")
FREED = ("exec", "eval", "module")
"""Shapes of which a part is freed right after the call: before anybody can read its name."""
MADE = 300


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[dict[str, Row]]:
    """The numbers of compared frames of each case, printed at the end."""
    yield from table_of(request, "Python", COLUMNS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("minor", MINORS)
def test_the_frames_of_each_shape_are_those_that_the_program_tells(minor: int, table: dict[str, Row]) -> None:
    """Functions, files and lines are equal to ``sys._getframe()``'s, in order, as far as frames are copied."""
    row = table[f"3.{minor} shapes"] = Counter()
    wrong = []
    for one, site in traced(minor, "shapes.py"):
        ours = python_frames(site)
        row.update(counted(one.frames, site))
        is_equal = ours == one.frames[: len(ours)] and (len(ours) == len(one.frames) or is_cut(site))
        row["equal"] += is_equal
        if not is_equal and (one.shape not in FREED or misnamed(one.frames, site)):
            wrong.append(f"{one.shape}: {ours} is not {one.frames}")
    assert not wrong, "\n".join(wrong)
    assert row["calls"] >= 40


@pytest.mark.timeout(180)
@pytest.mark.parametrize("minor", MINORS)
def test_no_function_has_a_name_that_another_had(minor: int, table: dict[str, Row]) -> None:
    """Of a program that makes and frees functions all the time no frame is named wrongly, unless it is marked."""
    row = table[f"3.{minor} made"] = Counter()
    wrong = []
    for one, site in traced(minor, "made.py", str(MADE)):
        row.update(counted(one.frames, site))
        row["equal"] += python_frames(site) == one.frames
        wrong += misnamed(one.frames, site)
    assert not wrong
    assert row["calls"] == MADE
    assert row["right"] >= 3 * MADE  # of five frames, three are of functions that stay


@pytest.mark.timeout(180)
@pytest.mark.parametrize("minor", MINORS)
def test_who_sent_last_where_the_event_loop_read_the_end(minor: int) -> None:
    """No function of the program is on the stack of asyncio's read. That of the last send is kept beside it."""
    python, count = find_python(minor), 3
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    with python.start("serve.py") as process:
        site = site_of_the_half_closed(process, b"ping\n", count)
        assert process.stdout is not None
        said = {tuple(json.loads(process.stdout.readline())) for _ in range(count)}
    assert (site["count"], site["verdict"]) == (count, "eof-ignored")
    assert not [
        frame for frame in site["stack"] if frame["file"] == next(iter(said))[1] and frame["function"] == "answer"
    ]
    assert site["application"]["stack"] == "sent"
    assert {place(site["sent_stack"][site["application"]["index"]])} == said


def traced(minor: int, program: str, *arguments: str) -> Iterator[tuple[Told, dict[str, Any]]]:
    """Run ``program`` under a trace: what it said of a site's first socket, with that site."""
    python = find_python(minor)
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    with answering() as port, python.start(program, str(port), *arguments) as process:
        yield from traced_calls(process)


def counted(theirs: Frames, site: dict[str, Any]) -> Row:
    """One row of the table for one stack."""
    frames = [frame for frame in site["stack"] if frame["language"] == "python"]
    right = sum(place(frame) == one for frame, one in zip(frames, theirs))
    unknown = sum(frame["function"] == "(unknown)" for frame in frames)
    wrong = len(misnamed(theirs, site))
    marked = sum(bool(frame["note"]) and "named later" in frame["note"] for frame in frames)
    more = len(theirs) - len(frames)
    return Counter(
        {
            "calls": 1,
            "frames": len(frames),
            "right": right,
            "wrong": wrong,
            "unknown": unknown,
            "marked": marked,
            "not copied": more,
        }
    )


def misnamed(theirs: Frames, site: dict[str, Any]) -> list[tuple[tuple[str, str, int], tuple[str, str, int]]]:
    """Frames whose names are wrong without saying that they may be, with the right ones."""
    frames = [frame for frame in site["stack"] if frame["language"] == "python"]
    sure = ((place(frame), one) for frame, one in zip(frames, theirs) if "named later" not in (frame["note"] or ""))
    return [(ours, one) for ours, one in sure if ours != one and ours[0] != "(unknown)"]


def python_frames(site: dict[str, Any]) -> Frames:
    """Those of the site's stack that are Python's."""
    return [place(frame) for frame in site["stack"] if frame["language"] == "python"]
