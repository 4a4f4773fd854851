"""What a command and an agent say to each other, as bytes and as values. Both ends check what they get.

A question is one line of JSON. The agent answers with one line at once (``Greeting``, or why it does not answer), with
one line when the answer is known (``About``), and with the finished text in chunks: a length in decimal and a newline,
then so many bytes. A chunk of length 0 is the end.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from tracer.errors import ClosetraceError
from tracer.model.scope import Scope

VERSION = 1
MOST_BYTES = 4096
"""Of a line."""
KINDS = ("report", "timeline", "census")
_LONGEST_NAME = 1024
_MOST_VALUES = 256
_NARROWEST, _WIDEST = 20, 1000
_LONGEST_LINGER_S = 1e8


class NoQuestion(ClosetraceError):
    """What came is no question, or none that this version knows."""


class NoAnswer(ClosetraceError):
    """What came is no answer."""


@dataclass(frozen=True)
class Question:
    """``what`` is one of KINDS; ``target`` is the scope in words. The rest is how it is to be written.

    A census is answered by lines for the command (agent/records.py), by the agent's own threshold.
    """

    what: str
    scope: Scope
    target: str
    linger_ns: int
    as_json: bool = False
    width: int = 100
    color: bool = False
    all_frames: bool = False


@dataclass(frozen=True)
class Greeting:
    """``since``: when the agent began to record, in seconds since the epoch."""

    since: float


@dataclass(frozen=True)
class Refusal:
    """Why there is no answer: ``code`` is scope, busy, denied or question; ``why`` is a clause for a person."""

    code: str
    why: str


@dataclass(frozen=True)
class About:
    """How many sockets linger, and how many that had lingered left so long ago that only their number is known."""

    lingering: int
    forgotten: int = 0


def question_line(question: Question) -> bytes:
    """Raises NoQuestion if it is too long."""
    scope = question.scope
    said = {
        "closetrace": VERSION,
        "what": question.what,
        "target": question.target[:_LONGEST_NAME],
        "linger_s": question.linger_ns / 1e9,
        "format": "json" if question.as_json else "text",
        "width": question.width,
        "color": question.color,
        "all_frames": question.all_frames,
        "scope": {
            "pids": scope.pids,
            "comm": scope.comm,
            "local_ports": scope.local_ports,
            "remote_ports": scope.remote_ports,
            "remotes": [str(network) for network in scope.remotes],
            "netns": scope.netns,
            "cgroup": scope.cgroup,
            "cgroup_path": scope.cgroup_path,
            "children": scope.follow_forks,
        },
    }
    line = _line(said)
    if len(line) > MOST_BYTES:
        raise NoQuestion("the filters are too long to ask an agent")
    return line


def question_from(line: bytes) -> Question:
    """Raises NoQuestion, with a clause that says what is wrong."""
    values = _object(line)
    if values is None:
        raise NoQuestion("that is no question")
    if values.get("closetrace") != VERSION:
        raise NoQuestion(f"this agent knows version {VERSION} of the protocol")
    fields = _Fields(values)
    linger_s = fields.number("linger_s", 0.0, _LONGEST_LINGER_S)
    return Question(
        what=fields.one_of("what", KINDS),
        scope=_scope(fields.inner("scope")),
        target=fields.text("target"),
        linger_ns=int(linger_s * 1e9),
        as_json=fields.one_of("format", ("text", "json")) == "json",
        width=int(fields.number("width", _NARROWEST, _WIDEST)),
        color=fields.flag("color"),
        all_frames=fields.flag("all_frames"),
    )


def _scope(fields: _Fields) -> Scope:
    try:
        remotes = tuple(ipaddress.ip_network(text) for text in fields.texts("remotes"))
    except ValueError:
        raise NoQuestion("remotes is wrong") from None
    cgroup = fields.integers("cgroup", 1 << 64)
    if len(cgroup) != 2:
        raise NoQuestion("cgroup is wrong")
    return Scope(
        pids=fields.integers("pids", 1 << 31),
        comm=fields.text("comm"),
        local_ports=fields.integers("local_ports", 1 << 16),
        remote_ports=fields.integers("remote_ports", 1 << 16),
        remotes=remotes,
        netns=fields.integers("netns", 1 << 32),
        cgroup=(cgroup[0], cgroup[1]),
        cgroup_path=fields.text("cgroup_path"),
        follow_forks=fields.flag("children"),
    )


class _Fields:
    """The fields of a JSON object, each checked. Raises NoQuestion."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def _get(self, name: str, kind: Union[type, tuple[type, ...]]) -> Any:
        value = self._values.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise NoQuestion(f"{name} is missing or wrong")
        return value

    def flag(self, name: str) -> bool:
        return bool(self._get(name, bool))

    def text(self, name: str) -> str:
        value = str(self._get(name, str))
        if len(value) > _LONGEST_NAME:
            raise NoQuestion(f"{name} is too long")
        try:
            value.encode(errors="surrogateescape")
        except UnicodeEncodeError:  # JSON may have halves of characters, which no name on a host has
            raise NoQuestion(f"{name} is no text") from None
        return value

    def one_of(self, name: str, known: Sequence[str]) -> str:
        value = self.text(name)
        if value not in known:
            raise NoQuestion(f"{name} is none of {', '.join(known)}")
        return value

    def number(self, name: str, least: float, most: float) -> float:
        value = self._get(name, (int, float))
        if not least <= value <= most:
            raise NoQuestion(f"{name} is not between {least:g} and {most:g}")
        return float(value)  # after that: a whole number may be larger than any float

    def _list(self, name: str, kind: type) -> list[Any]:
        values = list(self._get(name, list))
        if len(values) > _MOST_VALUES or not all(isinstance(one, kind) and not isinstance(one, bool) for one in values):
            raise NoQuestion(f"{name} is wrong")
        return values

    def texts(self, name: str) -> list[str]:
        return self._list(name, str)

    def integers(self, name: str, below: int) -> tuple[int, ...]:
        values = self._list(name, int)
        if not all(0 <= one < below for one in values):
            raise NoQuestion(f"{name} is wrong")
        return tuple(values)

    def inner(self, name: str) -> _Fields:
        return _Fields(self._get(name, dict))


def answer_line(said: Union[Greeting, Refusal, About]) -> bytes:
    """One line of the agent's."""
    if isinstance(said, Refusal):
        return _line({"closetrace": VERSION, "error": said.why, "code": said.code})
    return _line({"closetrace": VERSION, **vars(said)})


def greeting_from(line: bytes) -> Union[Greeting, Refusal]:
    """Raises NoAnswer."""
    values = _object(line) or {}
    why, code, since = values.get("error"), values.get("code"), values.get("since")
    if isinstance(why, str) and isinstance(code, str):
        return Refusal(code, why)
    if values.get("closetrace") != VERSION or not isinstance(since, (int, float)):
        raise NoAnswer("it says what no agent of this version says")
    return Greeting(float(since))


def about_from(line: bytes) -> About:
    """Raises NoAnswer."""
    values = _object(line) or {}
    lingering, forgotten = values.get("lingering"), values.get("forgotten")
    if not isinstance(lingering, int) or not isinstance(forgotten, int):
        raise NoAnswer("it ended before its answer")
    return About(lingering, forgotten)


def chunk(data: bytes) -> bytes:
    """``data`` with its length; the end of an answer if it is empty."""
    return b"%d\n%b" % (len(data), data)


def length_from(line: bytes) -> int:
    """The length of a chunk. Raises NoAnswer."""
    text = line.rstrip(b"\n")
    if not text.isdigit() or len(text) > 8:
        raise NoAnswer("it ended within its answer")
    return int(text)


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _object(line: bytes) -> Optional[dict[str, Any]]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
