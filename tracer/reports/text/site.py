"""One leak site as text: what happened, what to change, the stacks, and one socket's life."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.sites import telling_call
from tracer.model.connection import Touch
from tracer.model.finding import Site, Verdict
from tracer.model.frame import Stack
from tracer.model.states import Op
from tracer.reports.printable import clean
from tracer.reports.text import stacks, timeline
from tracer.reports.text.cells import style, wrap

_PROSE = 110


def render(site: Site, number: int, now_ns: int, *, width: int, color: bool, all_frames: bool) -> list[str]:
    """Lines of the site's section, its headline first."""
    prose = min(width, _PROSE)
    out = [style(line, color, bold=True) for line in wrap(_headline(site, number), prose, rest="  ")]
    out += wrap(clean(" ".join(site.explanation)), prose, first="  ", rest="  ")
    for index, line in enumerate(site.advice):
        advice = wrap(clean(line), prose, first="      " if index else "  Do: ", rest="      ")
        advice[0] = advice[0] if index else advice[0].replace("Do:", style("Do:", color, fg="green", bold=True), 1)
        out += advice
    if site.stack is not None or site.last_op != "none":
        out += ["", *wrap(clean(_touched(site, now_ns)), prose, first="  ", rest="    ")]
        out += stacks.render(site.stack, site.stack_note, width=width, color=color, all_frames=all_frames)
    out += _opener(site, now_ns, width, color, all_frames)
    example = site.findings[0].connection
    out += ["", f"  {_which(site)}{timeline.route(example)}"]
    out += ["  " + line for line in timeline.body(example, width=width - 2, color=color)]
    return out


def last_call(site: Site) -> str:
    """The telling call with its result if all sockets agree on it: ``recv = 150``."""
    if site.verdict is Verdict.BLOCKED_IN_CALL:
        return f"in {site.last_op}"
    outcomes = {words.outcome(t) for t in map(telling_call, site.findings) if t is not None}
    return outcomes.pop() if len(outcomes) == 1 else site.last_op if outcomes else "-"


def _headline(site: Site, number: int) -> str:
    process = f" of {site.comm} (pid {site.pid})" if site.pid else ""
    first = site.findings[0].connection
    accepted = all(f.connection.passive or f.connection.accepted is False for f in site.findings)
    known = all(f.connection.passive is not None for f in site.findings)
    ways = f"to {site.remote}" if known else f"with {site.remote}"
    if accepted:
        ways = f"from {site.remote}, accepted on {first.local}"
    if first.accepted is False:
        ways = f"from {site.remote}, waiting on {first.local}"
    return clean(f"site {number}: {words.plural(site.count, 'socket')}{process} {ways}, {site.verdict.value}")


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
    return f"{verb} {_when(calls, now_ns)} by {threads}, {result}"


def _when(calls: list[Touch], now_ns: int) -> str:
    near, far = words.duration(now_ns - max(c.ns for c in calls)), words.duration(now_ns - min(c.ns for c in calls))
    return f"{near} ago" if near == far else f"{near} to {far} ago"


def _opened(site: Site) -> Optional[Touch]:
    openers = [f.connection.opened for f in site.findings if f.connection.opened is not None]
    with_stack = [t for t in openers if t.stack is not None]
    return next(iter(with_stack or openers), None)


def _opener(site: Site, now_ns: int, width: int, color: bool, all_frames: bool) -> list[str]:
    touch = _opened(site)
    if touch is None:
        return []
    late = any(f.connection.opened is touch and f.connection.opened_late for f in site.findings)
    when = f"{words.duration(now_ns - touch.ns)} ago"
    if touch.op not in (Op.CONNECT, Op.ACCEPT) or late:
        what = f"first call seen: {words.result(touch)}, {when} by {words.thread(touch.actor)}"
    else:
        what = f"opened by {words.thread(touch.actor)}: {touch.op.label}, {when}"
    if site.opened_stack is None or not site.opened_stack.frames:
        return [clean(f"  {what}")]
    if site.stack is not None and stacks.same_way(site.opened_stack, site.stack):
        return [clean(f"  opened by the same path ({touch.op.label}, {when})")]
    return ["", clean(f"  {what}"), *_opener_stack(site.opened_stack, site.stack, width, color, all_frames)]


def _opener_stack(opened: Stack, last: Optional[Stack], width: int, color: bool, all_frames: bool) -> list[str]:
    """The opener's stack, without the callers that the stack above has shown already."""
    shared = stacks.common_callers(opened, last) if last is not None and opened.complete and last.complete else 0
    if all_frames or shared < 3:
        return stacks.render(opened, opened.note, width=width, color=color, all_frames=all_frames)
    head = Stack(opened.frames[:-shared], complete=True)
    return [
        *stacks.render(head, None, width=width, color=color),
        f"      then as above ({shared} frames)",
    ]


def _which(site: Site) -> str:
    return "" if site.count == 1 else f"one of the {words.number(site.count)}: "
