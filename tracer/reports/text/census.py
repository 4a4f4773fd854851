"""The census as text: which connections there are, what they mean, which ports they take."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from datetime import datetime
from typing import Optional

from tabulate import tabulate

from tracer.diagnose import words
from tracer.diagnose.census import advice as census_advice
from tracer.diagnose.census.counts import Census, Group, Owner, OwnerKind, StateCount
from tracer.diagnose.census.ports import PortUse
from tracer.diagnose.census.recorded import Records, attribute
from tracer.model.states import TcpState
from tracer.reports.printable import clean
from tracer.reports.text import recorded
from tracer.reports.text.cells import wrap

_INDENT = "  "
_PORT_ROWS = 10


def render(
    census: Census, width: int, rows: int, before: Optional[Census] = None, records: Optional[Records] = None
) -> str:
    """Return the whole report for a terminal of ``width`` columns, with at most ``rows`` groups (0: all).

    With ``before``, an earlier census, the states table shows what changed since. With ``records``, what an agent told,
    a table shows which code paths left the sockets in CLOSE_WAIT.
    """
    parts = [_headline(census), _states(census, before), _groups(census, rows)]
    for it in census_advice.explain(census):
        parts.append(_explanation(it, width))
        if it.state is TcpState.CLOSE_WAIT and records is not None:
            parts.append(recorded.render(attribute(census, records), census.taken, width, rows))
    parts += [_ports(census, width), _unowned(census, width), _unseen(census, width)]
    parts += [_wrap(f"WARNING: {clean(text)}", width, "") for text in census_advice.warnings(census)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(census: Census) -> str:
    when = datetime.fromtimestamp(census.taken).strftime("%H:%M:%S")
    total = words.plural(len(census.connections), "TCP connection")
    names = ", ".join(clean(it.name) for it in census.namespaces)
    return f"{when}  {total}, {words.plural(census.listeners, 'listener')} ({names})"


def _states(census: Census, before: Optional[Census]) -> str:
    if not census.states and not before:
        return ""
    earlier = {it.state: it.count for it in before.states} if before else {}
    gone = [StateCount(state, 0, None) for state in earlier if state not in {it.state for it in census.states}]
    rows = [
        [
            it.state.name,
            it.count,
            *([_change(it.count - earlier.get(it.state, 0))] if before else []),
            it.closed_first or "-",
            census_advice.MEANINGS.get(it.state, ""),
        ]
        for it in sorted((*census.states, *gone), key=lambda it: it.state)
    ]
    headers = ["state", "sockets", *(["change"] if before else []), "closed first", "meaning"]
    return _table(rows, headers, ("left", "right", *(["right"] if before else []), "left", "left"))


def _change(difference: int) -> str:
    return f"{difference:+}" if difference else ""


def _groups(census: Census, rows: int) -> str:
    if not census.groups:
        return ""
    shown = census.groups[:rows] if rows else census.groups
    several = len(census.namespaces) > 1
    lines = [
        [
            it.count,
            it.state.name,
            _quiet(it.quiet_ms),
            _connection(it),
            _owner(it.owner),
            *([it.netns] if several else []),
        ]
        for it in shown
    ]
    headers = ["sockets", "state", "quiet", "connection", "process", *(["netns"] if several else [])]
    table = _table(lines, headers, ("right", "left", "right", "left", "left", "right")[: len(headers)])
    left = len(census.groups) - len(shown)
    return f"{table}\n{_INDENT}... {left} more rows (--rows 0 shows all)" if left else table


def _connection(group: Group) -> str:
    return f":{group.local_port} <- {group.remote}" if group.incoming else f"-> {group.remote}"


def _owner(owner: Owner) -> str:
    if owner.kind is OwnerKind.KERNEL:
        return "-"
    if owner.kind is OwnerKind.UNSEEN:
        return "(not visible)"
    name = f"{clean(owner.comm)} ({owner.pid})" if owner.pid else "(not visible)"
    if owner.others:
        name += f" +{owner.others}"
    return f"queue of {name}" if owner.kind is OwnerKind.QUEUE else name


def _quiet(ms: Optional[int]) -> str:
    return "-" if ms is None else words.duration(ms * 1_000_000)


def _explanation(it: census_advice.Explanation, width: int) -> str:
    lines = [f"{it.state.name}: {words.plural(it.count, 'socket')}"]
    return "\n".join((*lines, *(_wrap(clean(sentence), width, _INDENT) for sentence in it.sentences)))


def _ports(census: Census, width: int) -> str:
    """Return the table of destinations. It is empty without TIME_WAIT and without a shortage of ports."""
    if not any(it.state is TcpState.TIME_WAIT for it in census.states) and not census_advice.warnings(census):
        return ""
    uses = [it for it in census.ports if it.time_wait or it.near_exhaustion][:_PORT_ROWS]
    if not uses:
        return ""
    rows = [[it.source, str(it.destination), f"{it.used} of {it.usable}", it.time_wait, _share(it)] for it in uses]
    headers = ["from", "to", "ports in use", "TIME_WAIT", "share"]
    table = _table(rows, headers, ("left", "left", "right", "right", "right"))
    told = (_wrap(sentence, width, _INDENT) for sentence in census_advice.port_sentences(census))
    return "\n".join(("ephemeral ports by destination", table, *told))


def _share(use: PortUse) -> str:
    return f"{use.share:.1%}" + (" !" if use.near_exhaustion else "")


def _unowned(census: Census, width: int) -> str:
    if not census.unowned:
        return ""
    belong = "belongs" if census.unowned == 1 else "belong"
    return _wrap(
        f"{words.plural(census.unowned, 'more connection')} {belong} to no process (TIME_WAIT, and others that only the"
        " kernel still has). Leave out the process filter to see them.",
        width,
        "",
    )


def _unseen(census: Census, width: int) -> str:
    unseen = sum(it.owner.kind is OwnerKind.UNSEEN for it in census.connections)
    if not unseen or census.scope.processes is not None:
        return ""
    held = "is held by a process" if unseen == 1 else "are held by processes"
    text = f"{words.plural(unseen, 'connection')} {held} that you may not see. Root sees all."
    return _wrap(text, width, "")


def _table(rows: Iterable[Iterable[object]], headers: list[str], align: tuple[str, ...]) -> str:
    # The headers are given as a row, because tabulate makes a column with a header wider.
    text = tabulate([headers, *rows], tablefmt="plain", colalign=align, disable_numparse=True)
    return textwrap.indent("\n".join(line.rstrip() for line in text.splitlines()), _INDENT)


def _wrap(text: str, width: int, indent: str) -> str:
    return "\n".join(wrap(text, width, first=indent, rest=indent or _INDENT))
