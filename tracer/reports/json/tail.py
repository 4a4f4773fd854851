"""Transitions as they happen, one JSON object a line (docs/json.md).

The objects are put together from pieces that json made: to build and encode each as a whole takes five times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Callable, Optional

from tracer.flight import transitions
from tracer.flight.decode import endpoint
from tracer.model.finding import Streamed
from tracer.model.frame import Stack
from tracer.model.states import Origin
from tracer.reports.json.report import TAIL_SCHEMA, frames
from tracer.reports.times import rfc3339_second

StackOf = Callable[[int], Optional[Stack]]


def lines(events: Iterable[transitions.Raw], clock_offset_ns: int, stack_of: StackOf) -> list[str]:
    """One line for each; ``stack_of`` resolves and frees a box."""
    out = []
    for ns, in_old_ns, _, cookie, raw_ends, raw_change, raw_owner, box in events:
        seconds, rest = divmod(ns + clock_offset_ns, 1_000_000_000)
        addresses, netns = _ends(raw_ends)
        states, origin = _change(raw_change)
        ms = in_old_ns / 1e6 if in_old_ns else "null"
        stack = _stack(stack_of(box), raw_change) if box else "null"
        out.append(
            f'{_HEAD}, "time": "{rfc3339_second(seconds)}.{rest // 1000:06}Z", {_owner(raw_owner)}, {addresses}, '
            f'{states}, "ms": {ms}, {origin}, {netns}, "cookie": {cookie}, "stack": {stack}}}'
        )
    return out


def loss(count: int) -> str:
    """What stands in the stream where ``count`` transitions are missing."""
    return json.dumps({"schema": TAIL_SCHEMA, "event": "loss", "transitions": count})


def total(streamed: Streamed) -> str:
    """The last line: all that was made, shown and lost."""
    return json.dumps(
        {
            "schema": TAIL_SCHEMA,
            "event": "total",
            "transitions": streamed.shown,
            "lost": streamed.lost,
            "produced": streamed.produced,
            "sockets_not_followed": streamed.not_followed,
            "hooks_not_run": streamed.not_run,
            "stacks_unread": streamed.stacks_unread,
        }
    )


def _members(**values: Any) -> str:
    """Members of an object without its braces."""
    return json.dumps(values)[1:-1]


_HEAD = "{" + _members(schema=TAIL_SCHEMA, event="transition")


@lru_cache(maxsize=8192)
def _ends(raw: bytes) -> tuple[str, str]:
    netns, local, remote = transitions.ends(raw)
    return f'"local": {_end(*local)}, "remote": {_end(*remote)}', f'"netns": {netns}'


@lru_cache(maxsize=8192)
def _end(family: int, address: bytes, port: int) -> str:
    return json.dumps(str(endpoint(family, address, port)))


@lru_cache(maxsize=256)
def _change(raw: bytes) -> tuple[str, str]:
    change = transitions.change(raw)
    return _members(old=change.old.name, new=change.new.name), _members(origin=change.origin.value)


@lru_cache(maxsize=4096)
def _owner(raw: bytes) -> str:
    owner = transitions.owner(raw)
    return _members(pid=owner.pid, comm=owner.comm)


def _stack(stack: Optional[Stack], raw_change: bytes) -> str:
    return json.dumps(frames(stack) if stack and transitions.change(raw_change).origin is Origin.LOCAL else None)
