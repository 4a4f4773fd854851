"""Sockets in reports of versions that wrote no ``record``: what can be told from the public keys alone."""

from __future__ import annotations

from typing import Any, Optional

from tracer.model.states import TcpState
from tracer.reports.json.reading.fields import Fields
from tracer.reports.times import epoch_ns

_OPENERS = ("connect", "accept")
_ONCE = {"eof": "eof", "shutdown": "shutdown", "close": "closed"}
_OPS = {"eof": "recv"}
_MORE: dict[str, dict[str, Any]] = {"opened": {"stack": "opened_stack"}, "eof": {"result": 0}}
_DATA = {"recv": "last_rx_ns", "send": "last_tx_ns"}


def record_of(socket: Fields, now_ns: int) -> Fields:
    """Build the record from the timeline; ``now_ns`` is the report's, ns since the epoch."""
    events = list(socket.parts("timeline"))
    start_ago = _start_ago(socket, events, now_ns)
    told: dict[str, Any] = {"seen_ns": 0, "birth_ns": start_ago, "transitions": []}
    state = TcpState.CLOSE.name
    for event in events:
        name, ago, actor = event.text("event"), start_ago - event.ns("t"), _actor(event)
        if name in TcpState.__members__:
            told["transitions"].append([ago, state, name, event.text("origin", "unknown"), *(actor or [])])
            state = name
        elif name in _DATA:
            told[_DATA[name]] = ago
        elif name == "reset":
            told["reset_ns"] = ago
        elif name == "gone":
            told["ended_ns"] = ago
        key = "opened" if name in _OPENERS else _ONCE.get(name)
        if key is not None and actor is not None:
            told[key] = {"ns": ago, "op": _OPS.get(name, name), "by": actor, **_MORE.get(key, {})}
    told["eof_reads"] = 1 if "eof" in told else 0
    if socket.has("fin"):
        told["fin_ns"] = now_ns - epoch_ns(socket.text("fin"))
    if socket.has("last_touch"):
        told["last"] = _last(socket.part("last_touch"), now_ns)
    return Fields(told, socket.where)


def _start_ago(socket: Fields, events: list[Fields], now_ns: int) -> int:
    """How long before ``now_ns`` the timeline begins."""
    if socket.has("opened") and events:
        return now_ns - epoch_ns(socket.text("opened"))
    return events[-1].ns("t") if events else 0


def _actor(event: Fields) -> Optional[list[Any]]:
    if not event.has("tid"):
        return None
    return [event.whole("pid"), event.whole("tid"), event.text("comm")]


def _last(touch: Fields, now_ns: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "ns": now_ns - epoch_ns(touch.text("time")),
        "op": touch.text("op"),
        "by": [touch.whole("pid"), touch.whole("tid"), touch.text("comm")],
        "peek": touch.flag("peek"),
        "stack": "stack",
    }
    return {**told, "result": touch.whole("result")} if touch.has("result") else told
