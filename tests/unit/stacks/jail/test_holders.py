"""What a worker says of holders comes back as it was meant, and nonsense does not come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracer.model.holder import Held, Limits, Lineage, Link, Missing, Root, RootKind, SocketAt, Use
from tracer.stacks.jail.forms import Implausible
from tracer.stacks.jail.holders import asked, held_from_json, held_to_json, wanted_from_json

WANTED = (SocketAt(4, 40000, 80), SocketAt(5, 40001, 80))
CHAIN = (Link("java.net.Socket", "impl", inner=True), Link("com.acme.Client", "sock", own=True))
HELD = Held(
    (
        Lineage(4, CHAIN, Root(RootKind.STATIC, "com.acme.Client.one", True), "HikariCP", Use.IDLE),
        Lineage(5, missing=Missing.UNFOUND),
    ),
    "a note",
    1 << 30,
    2,
    "G1",
)


def test_the_question_arrives() -> None:
    """With its limits."""
    assert wanted_from_json(json.loads(json.dumps(asked(WANTED, Limits(2, 3, 4))))) == (list(WANTED), Limits(2, 3, 4))


def test_the_answer_arrives() -> None:
    """With all that was found."""
    assert held_from_json(json.loads(json.dumps(held_to_json(HELD))), WANTED) == HELD


def change(path: tuple[Any, ...], value: Any) -> Any:
    """The answer with one value replaced."""
    answer = json.loads(json.dumps(held_to_json(HELD)))
    place = answer
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return answer


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("lineages",), None),
        (("lineages",), [1, 2]),
        (("lineages",), [held_to_json(HELD)["lineages"][0]] * 3),
        (("lineages", 0, "fd"), 9),
        (("lineages", 0, "links"), [["a", "b"]]),
        (("lineages", 0, "links"), [["a", "b", 1, False]]),
        (("lineages", 0, "links"), [["a", "b", True, False]] * 1000),
        (("lineages", 0, "root"), ["heaven", "x", True]),
        (("lineages", 0, "root"), ["static", "x" * 5000, True]),
        (("lineages", 0, "use"), "stolen"),
        (("lineages", 0, "missing"), 7),
        (("note",), None),
        (("scans",), "many"),
    ],
)
def test_nonsense_does_not_come_in(path: tuple[Any, ...], value: Any) -> None:
    """Wherever it is in the answer."""
    with pytest.raises(Implausible):
        held_from_json(change(path, value), WANTED)


def test_what_is_no_answer_is_none() -> None:
    """A worker that says nothing of holders has said nonsense."""
    with pytest.raises(Implausible):
        held_from_json(None, WANTED)
