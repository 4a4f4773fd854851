"""What a command and an agent say to each other: both ends check all of it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.agent.protocol import (
    MOST_BYTES,
    About,
    Greeting,
    NoAnswer,
    NoQuestion,
    Question,
    Refusal,
    about_from,
    answer_line,
    chunk,
    greeting_from,
    length_from,
    question_from,
    question_line,
)
from tracer.model.scope import Scope

SCOPE = Scope(
    pids=(1234, 7),
    comm="ngi\udcffnx",
    local_ports=(80,),
    remote_ports=(443, 8080),
    remotes=(ipaddress.IPv4Network("10.0.0.0/8"), ipaddress.IPv6Network("::1/128")),
    netns=(4026531840,),
    cgroup=(99, 3),
    cgroup_path="/system.slice/a.service",
    follow_forks=True,
)
QUESTION = Question("report", SCOPE, "app (pid 1234)", 90_000_000_000, True, 133, True, True)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(question_line(QUESTION)), **fields}).encode()


def test_a_question_arrives_as_it_was_asked() -> None:
    """Every field of it."""
    assert question_from(question_line(QUESTION)) == QUESTION
    least = Question("timeline", Scope(), "the whole host", 0)
    assert question_from(question_line(least)) == least


def test_a_question_that_is_too_long_is_not_asked() -> None:
    """The agent would not read it."""
    with pytest.raises(NoQuestion):
        question_line(Question("report", Scope(pids=tuple(range(10_000, 12_000))), "", 0))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.0\r",
        b"[" * 4000,
        b"null",
        b"[]",
        b"\xff\xfe",
        changed(closetrace=2),
        changed(what="shell"),
        changed(what=["report"]),
        changed(format="pickle"),
        changed(linger_s=-1),
        changed(target="\ud800"),
        changed(linger_s="1"),
        changed(linger_s=float("nan")),
        changed(linger_s=1e300),
        changed(linger_s=10**3000),
        changed(width=10**3000),
        changed(width=10**9),
        changed(width=True),
        changed(color=1),
        changed(target="x" * 2000),
        changed(scope=None),
        changed(scope={}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "pids": [-1]}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "pids": ["1"]}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "pids": [True]}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "remotes": ["nowhere"]}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "local_ports": [70000]}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "cgroup": [1]}),
        changed(scope={**json.loads(question_line(QUESTION))["scope"], "netns": list(range(300))}),
    ],
)
def test_what_is_no_question_is_refused_in_words(line: bytes) -> None:
    """Whatever it is, it is one exception with a clause."""
    with pytest.raises(NoQuestion) as refused:
        question_from(line)
    assert str(refused.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_question_or_none(line: bytes) -> None:
    """Nothing else is raised."""
    for read in (question_from, greeting_from, about_from, length_from):
        with contextlib.suppress(NoQuestion, NoAnswer):
            read(line)


def test_what_the_agent_says_arrives() -> None:
    """Its greeting, its refusal, what it knows of the answer, the answer in chunks."""
    for said in (Greeting(1.5), Refusal("scope", "it does not record that")):
        line = answer_line(said)
        assert greeting_from(line) == said
        assert line.endswith(b"\n")
        assert len(line) <= MOST_BYTES
    assert about_from(answer_line(About(7, 2))) == About(7, 2)
    assert chunk(b"a\nb") == b"3\na\nb"
    assert length_from(b"3\n") == 3
    assert length_from(chunk(b"")) == 0


@pytest.mark.parametrize("line", [b"", b"-1\n", b"999999999999\n", b"x\n"])
def test_a_length_that_is_none_ends_the_answer(line: bytes) -> None:
    """Also the end of the stream within it."""
    with pytest.raises(NoAnswer):
        length_from(line)
