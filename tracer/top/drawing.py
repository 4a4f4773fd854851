"""One socket's life as a line of time, drawn with characters that every terminal has."""

from __future__ import annotations

from tracer.model.connection import Connection
from tracer.model.states import TcpState
from tracer.reports import events
from tracer.reports.events import Event

_MARKS = {
    "connect": ("o", "opened"),
    "accept": ("o", "accepted"),
    "send": ("d", "data"),
    "recv": ("d", "data"),
    TcpState.CLOSE_WAIT.name: ("F", "FIN from the peer"),
    "eof": ("e", "end read"),
    "shutdown": ("s", "shutdown"),
    "reset": ("R", "reset"),
    "close": ("C", "closed"),
    "now": (">", "now"),
    "gone": ("x", "gone"),
}
BEFORE, AFTER = "-", "="
"""Before the peer's FIN, and after it."""


def drawn(c: Connection, width: int) -> list[str]:
    """The line, then what its marks are. No line is wider than ``width`` columns, of which 20 are needed.

    Marks that would lie on each other stand side by side, so the line tells the order of all and the distance of most.
    """
    told = [event for event in events.events(c) if event.name in _MARKS and not events.is_opening(c, event)]
    start, end = events.start_ns(c), told[-1].ns
    room = max(width - 4, 16)
    cells = [BEFORE] * room
    hung_up = -1 if c.fin_ns is None and c.state is TcpState.CLOSE_WAIT else room
    for event, at in zip(told, _places(told, start, end, room)):
        cells[at] = _MARKS[event.name][0]
        if event.name == TcpState.CLOSE_WAIT.name:
            hung_up = at
    line = "".join(AFTER if cell == BEFORE and at > hung_up else cell for at, cell in enumerate(cells))
    return [f"  {line}", *_legend(told, start, width)]


def _places(told: list[Event], start: int, end: int, room: int) -> list[int]:
    """Where each mark stands: by its time, but behind the one before it, and with room for those after it."""
    places: list[int] = []
    for number, event in enumerate(told):
        by_time = (event.ns - start) * (room - 1) // max(end - start, 1)
        after = places[-1] + 1 if places else 0
        places.append(min(max(by_time, after), room - len(told) + number))
    return [*places[:-1], room - 1]  # it may be all that is known


def _legend(told: list[Event], start: int, width: int) -> list[str]:
    """``o opened 0.000   F FIN from the peer 1.505``, in as many lines as it takes."""
    lines = [""]
    for event in told:
        mark, name = _MARKS[event.name]
        part = f"  {mark} {name} {(event.ns - start) / 1e9:.3f} s"
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return lines
