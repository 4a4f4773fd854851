"""One leak site as text: what happened, what to change, the stacks, and one socket's life."""

from __future__ import annotations

from collections import Counter
from typing import Optional

from tracer.diagnose import held, words
from tracer.diagnose.telling import telling_call
from tracer.model.connection import Touch
from tracer.model.finding import Direction, Site, Verdict
from tracer.model.frame import Stack
from tracer.model.identity import Identity
from tracer.model.states import Op
from tracer.reports.printable import clean
from tracer.reports.text import stacks, threads, timeline
from tracer.reports.text.cells import style, wrap

_PROSE = 110
_ID_SHOWN = 12
_LISTED = 4
"""Processes and remotes of a site that are named."""


def render(site: Site, number: int, now_ns: int, *, width: int, color: bool, all_frames: bool) -> list[str]:
    """Lines of the site's section, its headline first."""
    prose = min(width, _PROSE)
    out = [style(line, color, bold=True) for line in wrap(_headline(site, number), prose, rest="  ")]
    return out + _shares(site, prose) + body(site, now_ns, width=width, color=color, all_frames=all_frames)


def unchanged(site: Site, number: int, printed: int, *, width: int, color: bool) -> list[str]:
    """The headline alone, for a site that was printed as site ``printed`` and is the same now."""
    text = f"{_headline(site, number)}: as printed above{f' as site {printed}' if printed != number else ''}"
    return [style(line, color, bold=True) for line in wrap(text, min(width, _PROSE), rest="  ")]


def body(site: Site, now_ns: int, *, width: int, color: bool, all_frames: bool) -> list[str]:
    """The section without its headline: what happened, what to do, the stacks, one socket's life."""
    prose = min(width, _PROSE)
    out: list[str] = []
    out += wrap(clean(" ".join(site.explanation)), prose, first="  ", rest="  ")
    for index, line in enumerate(site.advice):
        advice = wrap(clean(line), prose, first="      " if index else "  Do: ", rest="      ")
        advice[0] = advice[0] if index else advice[0].replace("Do:", style("Do:", color, fg="green", bold=True), 1)
        out += advice
    out += _held(site, prose)
    if site.stack is not None or site.last_op != "none":
        out += ["", *wrap(clean(_touched(site, now_ns)), prose, first="  ", rest="    ")]
        out += stacks.render(site.stack, site.stack_note, width=width, color=color, all_frames=all_frames)
    out += threads.render(site, now_ns, width=width, color=color, all_frames=all_frames)
    out += _sender(site, now_ns, width, color, all_frames)
    out += _opener(site, now_ns, width, color, all_frames)
    example = site.findings[0].connection
    out += ["", f"  {_which(site)}{timeline.route(example)}"]
    out += ["  " + line for line in timeline.body(example, width=width - 2, color=color)]
    return out


def _held(site: Site, prose: int) -> list[str]:
    """Who holds the sockets in the heap: those that are held alike on a line."""
    if not site.held:
        return []
    out = ["", "  held now by:"]
    for one in site.held[:_LISTED]:
        said = held.use(one.lineage)
        many = words.number(one.count) if site.count > 1 else ""
        head = ", ".join(part for part in (many, said) if part)
        out += wrap(
            clean(f"{f'{head}: ' if head else ''}{held.chain(one.lineage)}"), prose, first="      ", rest="        "
        )
    left = sum(one.count for one in site.held[_LISTED:])
    return [*out, f"      and {words.number(left)} in {len(site.held) - _LISTED} other ways"] if left else out


def last_call(site: Site) -> str:
    """The telling call with its result if all sockets agree on it: ``recv = 150``."""
    if site.verdict is Verdict.BLOCKED_IN_CALL:
        return f"in {site.last_op}"
    outcomes = {words.outcome(t) for t in map(telling_call, site.findings) if t is not None}
    return outcomes.pop() if len(outcomes) == 1 else site.last_op if outcomes else "-"


def _headline(site: Site, number: int) -> str:
    one = f"pid {site.pid}" if len(site.processes) < 2 else f"{len(site.processes)} processes"
    process = f" of {site.program or site.comm} ({one})" if site.pid else ""
    waiting = site.findings[0].connection.accepted is False
    ways = f"{_TO[site.direction]} {site.remote}"
    if site.listening is not None:
        ways += f", {'waiting' if waiting else 'accepted'} on {site.listening}"
    return clean(f"site {number}: {words.plural(site.count, 'socket')}{process} {ways}, {site.verdict.value}")


_TO = {Direction.ACCEPTED: "from", Direction.OPENED: "to", Direction.UNKNOWN: "with"}


def _shares(site: Site, prose: int) -> list[str]:
    """Where the processes belong; who has how many, and which remotes have, where there are several."""
    out = []
    homes = Counter[str]()
    for share in site.processes:
        homes[_home(share.identity)] += share.count
    known = [f"{home} ({count})" if len(homes) > 1 else home for home, count in homes.most_common() if home]
    if known:
        out += wrap(clean(f"in: {words.listed(known, most=_LISTED)}"), prose, first="  ", rest="    ")
    if len(site.processes) > 1:
        pids = (f"{share.pid} ({share.count})" for share in site.processes)
        out += wrap(clean(f"pids: {words.listed(pids, most=_LISTED)}"), prose, first="  ", rest="    ")
    if len(site.remotes) > 1:
        ends = (f"{remote.endpoint} ({remote.count})" for remote in site.remotes)
        out += wrap(clean(f"remotes: {words.listed(ends, most=_LISTED)}"), prose, first="  ", rest="    ")
    return out


def _home(identity: Identity) -> str:
    """``unit nginx.service``; ``container shop (3f4ec7c56b8a) of pod NAMESPACE/NAME``, or else the pod's uid.

    So many digits of an id are told as the runtimes' own tools show.
    """
    said = [f"unit {identity.unit}"] if identity.unit else []
    number, name = identity.container[:_ID_SHOWN], identity.container_name
    pod = f"{identity.namespace}/{identity.pod_name}" if identity.pod_name else identity.pod
    inner = f"container {name} ({number})" if name else f"container {number}" if number else ""
    if inner or pod:
        said.append(" of ".join(part for part in (inner, f"pod {pod}" if pod else "") if part))
    return ", ".join(said)


def _touched(site: Site, now_ns: int) -> str:
    """When, by whom and with what result the call was made whose stack follows."""
    if site.verdict is Verdict.BLOCKED_IN_CALL:
        actors = [b.actor for f in site.findings for b in f.connection.blocked]
        inside = f"inside {site.last_op} now: {words.listed(dict.fromkeys(map(words.thread, actors)), most=3)}"
        last = site.findings[0].connection.last
        if last is None or site.stack is not last.stack:
            return inside
        by = words.thread(last.actor)
        return f"{inside}; the call before it, {words.duration(now_ns - last.ns)} ago by {by}: {words.result(last)}"
    calls = [t for t in map(telling_call, site.findings) if t is not None]
    if not calls:
        return "no call was seen"
    verb = "end read" if site.verdict is Verdict.EOF_IGNORED and site.findings[0].connection.eof else "last touched"
    threads = words.listed(dict.fromkeys(words.thread(t.actor) for t in calls), most=2)
    results = {words.result(t) for t in calls}
    result = results.pop() if len(results) == 1 else site.last_op
    loop = " in its event loop" if site.sent_stack is not None else ""
    return f"{verb} {_when(calls, now_ns)} by {threads}{loop}, {result}"


def _when(calls: list[Touch], now_ns: int) -> str:
    near, far = words.duration(now_ns - max(c.ns for c in calls)), words.duration(now_ns - min(c.ns for c in calls))
    return f"{near} ago" if near == far else f"{near} to {far} ago"


def _sender(site: Site, now_ns: int, width: int, color: bool, all_frames: bool) -> list[str]:
    """Who sent last, where an event loop received since."""
    stack = site.sent_stack
    sends = (f.connection.sent for f in site.findings)
    touch = next((sent for sent in sends if sent is not None and sent.stack is stack), None)
    if stack is None or touch is None or not stack.frames:
        return []
    when = f"{words.duration(now_ns - touch.ns)} ago"
    what = clean(f"  sent last by {words.thread(touch.actor)}: {words.result(touch)}, {when}")
    return ["", what, *_without_shared(stack, site, width, color, all_frames)]


def _opened(site: Site) -> Optional[Touch]:
    openers = [f.connection.opened for f in site.findings if f.connection.opened is not None]
    with_stack = [t for t in openers if t.stack is not None]
    return next(iter(with_stack or openers), None)


def _opener(site: Site, now_ns: int, width: int, color: bool, all_frames: bool) -> list[str]:
    touch = _opened(site)
    if touch is None:
        return []
    late = any(f.connection.opened is touch and f.connection.opened_late for f in site.findings)
    seen = late or touch.op not in (Op.CONNECT, Op.ACCEPT)
    when = f"{words.duration(now_ns - touch.ns)} ago"
    what = f"opened by {words.thread(touch.actor)}: {touch.op.label}, {when}"
    if seen:
        what = f"first call seen: {words.result(touch)}, {when} by {words.thread(touch.actor)}"
    opened = site.opened_stack
    apart = [""] if site.now else []  # or it would seem to go with the stack above
    if opened is None or not opened.frames:
        return [*apart, clean(f"  {what}")]
    if site.stack is not None and _is_same(opened, site.stack):
        way = "path of the last call" if site.now else "same path"
        by = f"{'first call seen: by' if seen else 'opened by'} the {way}"
        return [*apart, clean(f"  {by} ({touch.op.label}, {when})")]
    return ["", clean(f"  {what}"), *_without_shared(opened, site, width, color, all_frames)]


def _is_same(opened: Stack, last: Stack) -> bool:
    return stacks.same_way(opened, last) or _shared(opened, last) == len(opened.frames)


def _shared(opened: Stack, last: Optional[Stack]) -> int:
    """How many outermost frames two whole stacks share."""
    return stacks.common_callers(opened, last) if last is not None and opened.complete and last.complete else 0


def _without_shared(stack: Stack, site: Site, width: int, color: bool, all_frames: bool) -> list[str]:
    """The stack of an opener or sender, without the callers that the first stack has shown already."""
    shared = _shared(stack, site.stack)
    if all_frames or shared < 3:
        return stacks.render(stack, stack.note, width=width, color=color, all_frames=all_frames)
    head = Stack(stack.frames[:-shared], complete=True)
    where = "in the last call" if site.now else "above"
    return [*stacks.render(head, None, width=width, color=color), f"      then as {where} ({shared} frames)"]


def _which(site: Site) -> str:
    return "" if site.count == 1 else f"one of the {words.number(site.count)}: "
