"""One connection's life as a block of text."""

from __future__ import annotations

from datetime import datetime
from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.facts import opened_here
from tracer.model.connection import Connection, Losses
from tracer.model.states import Origin
from tracer.reports import events as timeline
from tracer.reports.events import Event
from tracer.reports.printable import clean
from tracer.reports.saying import described
from tracer.reports.text.cells import fit, lines, pad, style, width_of

_COLORS = {Origin.PEER: "cyan", Origin.TIMER: "yellow"}


def render(connection: Connection, clock_offset_ns: int, *, width: int, color: bool) -> str:
    """A header line (wall-clock start, process, addresses, descriptor) and one line per event (s since the first).

    ``clock_offset_ns`` added to the connection's times gives nanoseconds since the epoch. No line but the header is
    wider than ``width``: addresses are never cut.
    """
    began = datetime.fromtimestamp((timeline.start_ns(connection) + clock_offset_ns) // 1_000_000_000).astimezone()
    who = _process(connection)
    header = f"{began:%H:%M:%S}  {clean(who) + '  ' if who else ''}{route(connection)}"
    return lines([style(header, color, bold=True), *body(connection, width=width, color=color)])


def losses(lost: Losses) -> Optional[str]:
    """The last line of a timeline; None if nothing was lost."""
    return f"lost: {described(lost)}" if lost.any() else None


def route(c: Connection) -> str:
    """Addresses and descriptors: ``127.0.0.1:57510 -> 127.0.0.1:8081, fd 14``; ``<-`` for accepted sockets,
    ``<->`` if who opened it is not known.
    """
    opened = False if c.accepted is False else opened_here(c)
    arrow = {None: "<->", False: "<-", True: "->"}[opened]
    pid = c.owner.pid if c.owner is not None else None
    own = [h for h in c.holders if h.pid == pid] or list(c.holders)
    fds = sorted({h.fd for h in own})
    of_threads = sorted({h.tid for h in own if h.tid is not None})
    whose = f" of tid {', '.join(map(str, of_threads))} (a table of its own)" if of_threads else ""
    fd = f", fd {', '.join(map(str, fds))}{whose}" if fds else ""
    return clean(f"{c.local} {arrow} {c.remote}{fd}")


def body(c: Connection, *, width: int, color: bool) -> list[str]:
    """The event lines, indented by two."""
    rows = _rows(c)
    start = timeline.start_ns(c)
    room = max((width_of(clean(e.text)) for e in rows if _who(e, c)), default=0)
    text_width = min(room, max(width - 40, 24))
    out = []
    if c.preexisting:
        why = "no record was free when it began, or older than the trace" if c.crowded_out else "older than the trace"
        out.append(style(fit(f"              {why}: earlier events are not known", width), color, dim=True))
    for event in rows:
        seconds = (event.ns - start) / 1e9
        text = clean(event.text)
        who = clean(_who(event, c))
        line = fit(f"  {seconds:10.3f}  {pad(text, text_width)}  {who}".rstrip(), width)
        out.append(style(line, color, fg=_COLORS.get(event.origin)) if event.origin in _COLORS else line)
    if c.transitions_dropped:
        out.append(f"              {words.plural(c.transitions_dropped, 'more transition')} not kept")
    return out


def _process(c: Connection) -> Optional[str]:
    if c.owner is None:
        return words.listed(f"{h.comm} (pid {h.pid})" for h in c.holders) if c.holders else None
    held = [h.comm for h in c.holders if h.pid == c.owner.pid]
    return f"{held[0] if held else c.owner.comm} (pid {c.owner.pid})"


def _rows(c: Connection) -> list[Event]:
    """Events to print, without what the connect line already says. Adjacent data lines become one."""
    rows: list[Event] = []
    for event in timeline.events(c):
        if timeline.is_opening(c, event):
            continue
        before = rows[-1] if rows else None
        if before is not None and {before.name, event.name} == {"send", "recv"} and before.detail and event.detail:
            rows[-1] = Event(event.ns, "data", f"{before.text}, {event.text}", None, event.actor or before.actor)
        else:
            rows.append(event)
    return rows


def _who(event: Event, c: Connection) -> str:
    """The thread, unless the text already names it. The header line names the process."""
    if event.actor is None or event.name == "close":
        return ""
    main = c.owner is not None and event.actor.tid == event.actor.pid == c.owner.pid
    return "main thread" if main else words.thread(event.actor)
