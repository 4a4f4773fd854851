"""Which code paths left the sockets of a census in CLOSE_WAIT: what the agent adds to the kernel's count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tabulate import tabulate

from tracer.diagnose import words
from tracer.diagnose.census.recorded import NO_FRAME, Attributed, CodePath, PathCount
from tracer.model.finding import Verdict
from tracer.reports.printable import clean
from tracer.reports.text.cells import fit, fit_left, width_of, wrap

_MS = 1_000_000
_LONGEST_PROCESS, _LONGEST_VERDICT = 24, 18
_WIDE, _LONGEST_REMOTE = 120, 28
"""A terminal so wide has room for the remote ends."""
_LEAST_FRAME = 12
_FRAME = "first application frame"


def render(found: Attributed, taken: float, width: int, rows: int) -> str:
    """A table with a line for each code path, at most ``rows`` (0: all), and what it does not tell of.

    ``taken`` is when the census was taken. Empty if no socket is in CLOSE_WAIT.
    """
    if not found.sockets:
        return ""
    since = _when(found.since, taken)
    head = f"Code paths that left sockets in CLOSE_WAIT, from the agent, which has recorded since {since}"
    shown = found.paths[:rows] if rows else found.paths
    lines = wrap(head, width, rest="  ")
    lines += _table(shown, width) if shown else []
    left = found.paths[len(shown) :]
    if left:
        sockets = words.plural(sum(one.count for one in left), "socket")
        lines += wrap(f"... {len(left)} more with {sockets} (--rows 0 shows all)", width, first="  ", rest="  ")
    lines += wrap(_coverage(found), width, first="  ", rest="  ")
    return "\n".join(lines)


def _when(epoch: float, now: float) -> str:
    """Local time, as the headline has it; with the day if that is another one."""
    when, today = datetime.fromtimestamp(epoch), datetime.fromtimestamp(now)
    return when.strftime("%H:%M:%S" if when.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def _table(shown: Sequence[PathCount], width: int) -> list[str]:
    columns = {
        "sockets": [str(one.count) for one in shown],
        "oldest": [words.duration(one.oldest_ms * _MS) for one in shown],
        "process": [_process(one) for one in shown],
        "verdict": [fit(clean(one.path.verdict), _LONGEST_VERDICT) for one in shown],
    }
    if width >= _WIDE:
        columns["remote"] = [fit(clean(one.remote), _LONGEST_REMOTE) for one in shown]
    taken = sum(max(map(width_of, (title, *cells))) + 2 for title, cells in columns.items())
    room = max(width - 2 - taken, _LEAST_FRAME)
    columns[fit(_FRAME, room)] = [_frame(one.path, room) for one in shown]
    text = tabulate(
        [list(columns), *zip(*columns.values())],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if title in ("sockets", "oldest") else "left" for title in columns],
    )
    return [f"  {line.rstrip()}" for line in text.splitlines()]


def _process(one: PathCount) -> str:
    """The program's name, cut if it is long, with the pid: that is what the next command is given."""
    pid = (f" ({one.pid})" if one.pid else "") + (f" +{one.others}" if one.others else "")
    return fit(clean(one.path.program or "-"), _LONGEST_PROCESS - len(pid)) + pid


def _frame(path: CodePath, room: int) -> str:
    whole = clean(path.where)
    if width_of(whole) <= room:
        return whole
    return (fit_left if path.end_tells else fit)(clean(path.function), room)


def _coverage(found: Attributed) -> str:
    """How the code paths and the kernel's count go together."""
    told = sum(one.count for one in found.paths if one.path.where != NO_FRAME)
    frameless = [one for one in found.paths if one.path.where == NO_FRAME]
    queued = sum(one.count for one in frameless if one.path.verdict == Verdict.NEVER_ACCEPTED.value)
    if told == found.sockets:
        return f"These are all {told} sockets in CLOSE_WAIT." if told > 1 else "This is the one socket in CLOSE_WAIT."
    young = words.duration(found.younger_than_ms * _MS)
    crowded_out = " or found no room in it" if found.crowded_out else ""
    why = (
        (sum(one.count for one in frameless) - queued, "known by calls without a frame of the program"),
        (queued, "in an accept queue (no call took them)" if queued > 1 else "in an accept queue (no call took it)"),
        (found.older, f"older than the recording{crowded_out} (no call since)"),
        (found.younger, f"for less than {young} in this state"),
        (found.unknown, "not in the agent's records"),
    )
    rest = [f"{count} {'is' if count == 1 else 'are'} {text}" for count, text in why if count]
    have = f"{told} of {words.plural(found.sockets, 'socket')} in CLOSE_WAIT {'has' if told == 1 else 'have'}"
    return f"{have} a code path; {words.listed(rest)}."
