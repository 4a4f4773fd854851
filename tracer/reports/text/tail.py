"""Transitions as they happen, one aligned line each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Callable, Optional

from tracer.diagnose import words
from tracer.flight import transitions
from tracer.flight.decode import endpoint
from tracer.model.finding import Streamed
from tracer.model.frame import Stack
from tracer.model.states import Origin, TcpState
from tracer.reports.printable import clean
from tracer.reports.text import stacks
from tracer.reports.text.cells import pad, style

_STATES = 26  # ESTABLISHED -> CLOSE_WAIT
_FIXED = 15 + 1 + 7 + 1 + 15 + 2 + 2 + _STATES + 1 + 11 + 1 + 7
StackOf = Callable[[int], Optional[Stack]]
_COLORS = {TcpState.CLOSE_WAIT: "yellow", TcpState.CLOSE: "red"}


def header(*, color: bool, width: int) -> str:
    """The line of titles."""
    return style(
        _row("TIME", "PID", "COMM", "LOCAL", "REMOTE", "OLD -> NEW", "MS", "ORIGIN", width=width), color, bold=True
    )


def lines(
    events: Iterable[transitions.Raw],
    clock_offset_ns: int,
    stack_of: StackOf,
    *,
    color: bool,
    width: int,
    all_frames: bool = False,
) -> list[str]:
    """A line for each: local wall-clock time, owner, addresses (never cut), states, ms in the old state, origin.

    The user stack of a transition that a local call caused follows below it. ``stack_of`` reads the stack in a box and
    frees the box.
    """
    ends = _ends_to_fit(_address_width(width))
    out = []
    for ns, in_old_ns, _, _, raw_ends, raw_change, raw_owner, box in events:
        seconds, rest = divmod(ns + clock_offset_ns, 1_000_000_000)
        states, origin, fg = _change(raw_change)
        spent = f"{in_old_ns / 1e6:11.3f}" if in_old_ns else "          -"
        row = f"{_clock(seconds)}.{rest // 1000:06} {_owner(raw_owner)} {ends(raw_ends)} {states} {spent} {origin}"
        out.append(style(row, color, fg=fg) if color and fg else row)
        if box:
            out += _stack(stack_of(box), raw_change, color=color, width=width, all_frames=all_frames)
    return out


# Few sockets make many transitions, so columns are cached.
@lru_cache(maxsize=4096)
def _owner(raw: bytes) -> str:
    pid, comm = transitions.owner(raw)
    return f"{'-' if pid is None else pid:>7} {pad(clean(comm) or '-', 15)}"


@lru_cache(maxsize=2)
def _ends_to_fit(width: int) -> Callable[[bytes], str]:
    @lru_cache(maxsize=8192)
    def column(family: int, address: bytes, port: int) -> str:
        return pad(str(endpoint(family, address, port)), width)

    @lru_cache(maxsize=8192)
    def columns(raw: bytes) -> str:
        _, local, remote = transitions.ends(raw)
        return f"{column(*local)} {column(*remote)}"

    return columns


@lru_cache(maxsize=256)
def _change(raw: bytes) -> tuple[str, str, Optional[str]]:
    old, new, origin = transitions.change(raw)
    told = "?" if origin is Origin.UNKNOWN else origin.value
    return pad(f"{old.name} -> {new.name}", _STATES), told, _COLORS.get(new)


@lru_cache(maxsize=4)
def _clock(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds):%H:%M:%S}"


def _stack(stack: Optional[Stack], raw_change: bytes, *, color: bool, width: int, all_frames: bool) -> list[str]:
    if stack is None or transitions.change(raw_change).origin is not Origin.LOCAL:
        return []
    return stacks.render(stack, None, width=width, color=color, all_frames=all_frames)


def loss(count: int, *, color: bool) -> str:
    """The line that stands where transitions are missing."""
    return style(f"-- {words.plural(count, 'transition')} lost --", color, fg="red", bold=True)


def total(streamed: Streamed, *, color: bool) -> str:
    """The last line: how many transitions were shown and lost, and what was not followed."""
    parts = [f"{words.plural(streamed.shown, 'transition')} shown", f"{streamed.lost} lost"]
    if streamed.not_followed:
        parts.append(f"{words.plural(streamed.not_followed, 'socket')} not followed: no memory (raise --memory)")
    if streamed.not_run:
        parts.append(
            f"{words.plural(streamed.not_run, 'hook')} not run: the kernel skips a hook that interrupts itself"
        )
    if streamed.stacks_unread:
        parts.append(f"{words.plural(streamed.stacks_unread, 'stack')} not read within the limits")
    return style(f"-- {', '.join(parts)} --", color, dim=True)


def _address_width(width: int) -> int:
    return 47 if width >= _FIXED + 2 * 47 else 21


def _row(
    time: str, pid: str, comm: str, local: str, remote: str, states: str, spent: str, origin: str, *, width: int
) -> str:
    address = _address_width(width)
    columns = (
        pad(time, 15),
        f"{pid:>7}",
        pad(comm, 15),
        pad(local, address),
        pad(remote, address),
        pad(states, _STATES),
        f"{spent:>11}",
        origin,
    )
    return " ".join(columns).rstrip()
