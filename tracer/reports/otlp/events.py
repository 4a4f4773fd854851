"""A log event for each site that is new or has grown tenfold, with what a person needs who is called by it.

Attributes have the names of OpenTelemetry's semantic conventions where these have one. A test compares them with the
conventions' own package.
"""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import words
from tracer.model.connection import Connection
from tracer.model.finding import Application, Site, Where
from tracer.model.frame import Frame, Stack
from tracer.model.states import TcpState
from tracer.reports.figures.news import News
from tracer.reports.figures.ranking import label
from tracer.reports.printable import clean

NEW, GROWN = "closetrace.site.new", "closetrace.site.grown"
_MOST_FRAMES = 100
_LONGEST_LINE = 500
_LONGEST_TEXT = 4000

Attributes = dict[str, "str | int"]

_STATES = {
    TcpState.CLOSE: "closed",
    TcpState.SYN_RECV: "syn_received",
    TcpState.NEW_SYN_RECV: "syn_received",
    TcpState.FIN_WAIT1: "fin_wait_1",
    TcpState.FIN_WAIT2: "fin_wait_2",
}
"""Those that the conventions call otherwise than the kernel. A socket that was reset and is still open is CLOSE."""


def event_name(news: News) -> str:
    """What kind of event it is."""
    return GROWN if news.grown_from else NEW


def body(news: News) -> str:
    """The event in one sentence."""
    site = news.site
    who = label(site.program or site.comm) or "an unknown program"
    grown = f" ({news.grown_from} before)" if news.grown_from else ""
    count = words.plural(news.sockets, "socket")
    return (
        f"{who}: {count}{grown} {site.verdict.value}, with {label(site.remote)}. {_bounded(' '.join(site.explanation))}"
    )


def attributes(news: News) -> Attributes:
    """All that is known of the site; what is not known is left out."""
    site = news.site
    share, example = site.processes[0], site.findings[0].connection
    told: dict[str, Optional[str | int]] = {
        "closetrace.site.id": site.id,
        "closetrace.verdict": site.verdict.value,
        "closetrace.sockets": news.sockets,
        "closetrace.sockets.before": news.grown_from or None,
        "closetrace.direction": site.direction.value,
        "closetrace.listening": site.listening,
        "closetrace.explanation": _bounded(" ".join(site.explanation)),
        "closetrace.advice": _bounded(" ".join(site.advice)),
        "closetrace.opener.stacktrace": _stacktrace(site.opened_stack),
        "closetrace.systemd.unit": share.identity.unit,
        "code.stacktrace": _stacktrace(site.stack),
        "container.id": share.identity.container,
        "k8s.container.name": share.identity.container_name,
        "k8s.namespace.name": share.identity.namespace,
        "k8s.pod.name": share.identity.pod_name,
        "k8s.pod.uid": share.identity.pod,
        "process.executable.name": label(site.program or site.comm),
        "process.pid": share.pid or None,
        **_code(site),
        **_network(example),
    }
    return {key: value for key, value in told.items() if value not in (None, "")}  # type: ignore[misc]


def _code(site: Site) -> dict[str, Optional[str | int]]:
    """The program's own function, where it is known."""
    frame = _application_frame(site, site.application)
    if frame is None:
        return {}
    return {
        "code.function.name": clean(frame.function or "")[:_LONGEST_LINE],
        "code.file.path": clean(frame.file or "")[:_LONGEST_LINE],
        "code.line.number": frame.line,
    }


def _application_frame(site: Site, where: Application) -> Optional[Frame]:
    stacks = {Where.LAST: site.stack, Where.SENT: site.sent_stack, Where.OPENED: site.opened_stack}
    if where.stack is Where.NOW and site.now:
        stacks[Where.NOW] = site.now[0].stack
    stack = stacks.get(where.stack)
    if stack is None or where.index is None or where.index >= len(stack.frames):
        return None
    return stack.frames[where.index]


def _network(example: Connection) -> dict[str, Optional[str | int]]:
    """Of one of the sockets."""
    return {
        "network.local.address": example.local.address,
        "network.local.port": example.local.port,
        "network.peer.address": example.remote.address,
        "network.peer.port": example.remote.port,
        "network.transport": "tcp",
        "network.type": "ipv6" if ":" in example.remote.address else "ipv4",
        "network.connection.state": _STATES.get(example.state, example.state.name.lower()),
    }


def _stacktrace(stack: Optional[Stack]) -> str:
    """A frame a line, the innermost first."""
    frames = stack.frames[:_MOST_FRAMES] if stack is not None else ()
    return "\n".join(clean(_line(frame))[:_LONGEST_LINE] for frame in frames)


def _line(frame: Frame) -> str:
    module = (frame.module or "").rsplit("/", 1)[-1]
    name = frame.function or f"{module or '?'}+{frame.offset:#x}"
    place = f"{frame.file}:{frame.line}" if frame.file and frame.line else frame.file or module
    return f"{name} ({place})" if place else name


def _bounded(text: str) -> str:
    return clean(text)[:_LONGEST_TEXT]
