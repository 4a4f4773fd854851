"""Transitions as they happen, one aligned line each."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Optional

from tracer.diagnose import words
from tracer.model.connection import Endpoint
from tracer.model.event import TransitionEvent
from tracer.model.states import Origin, TcpState
from tracer.reports import stacks
from tracer.reports.text import clean, pad, style

_STATES = 26  # ESTABLISHED -> CLOSE_WAIT
_FIXED = 15 + 1 + 7 + 1 + 15 + 2 + 2 + _STATES + 1 + 11 + 1 + 7
_COLORS = {TcpState.CLOSE_WAIT: "yellow", TcpState.CLOSE: "red"}


def header(*, color: bool, width: int) -> str:
    """The line of titles."""
    return style(
        _row("TIME", "PID", "COMM", "LOCAL", "REMOTE", "OLD -> NEW", "MS", "ORIGIN", width=width), color, bold=True
    )


def line(event: TransitionEvent, *, color: bool, width: int) -> str:
    """One transition: local wall-clock time, owner, addresses (never cut), states, ms in the old state, origin."""
    seconds, ns = divmod(event.wall_ns, 1_000_000_000)
    time = f"{_clock(seconds)}.{ns // 1000:06}"
    spent = "-" if event.in_old_ns is None else f"{event.in_old_ns / 1e6:.3f}"
    address = _address_width(width)
    local, remote = _endpoint(event.local, address), _endpoint(event.remote, address)
    states, origin = _change(event.old, event.new, event.origin)
    row = f"{time} {_owner(event.pid, event.comm)} {local} {remote} {states} {spent:>11} {origin}"
    return style(row, color, fg=_COLORS[event.new]) if color and event.new in _COLORS else row


# Few sockets make many transitions: columns are made once.
@lru_cache(maxsize=1024)
def _owner(pid: Optional[int], comm: str) -> str:
    return f"{'-' if pid is None else pid:>7} {pad(clean(comm) or '-', 15)}"


@lru_cache(maxsize=4096)
def _endpoint(endpoint: Endpoint, width: int) -> str:
    return pad(clean(str(endpoint)), width)


@lru_cache(maxsize=256)
def _change(old: TcpState, new: TcpState, origin: Origin) -> tuple[str, str]:
    return pad(f"{old.name} -> {new.name}", _STATES), "?" if origin is Origin.UNKNOWN else origin.value


@lru_cache(maxsize=4)
def _clock(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds):%H:%M:%S}"


def stack(event: TransitionEvent, *, color: bool, width: int, all_frames: bool = False) -> Optional[str]:
    """The user stack of the local call that made the transition, as lines below it; None if there is none."""
    if event.stack is None or event.origin is not Origin.LOCAL:
        return None
    return "\n".join(stacks.render(event.stack, None, width=width, color=color, all_frames=all_frames))


def loss(count: int, *, color: bool) -> str:
    """The line that stands where transitions are missing."""
    return style(f"-- {words.plural(count, 'transition')} lost --", color, fg="red", bold=True)


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
