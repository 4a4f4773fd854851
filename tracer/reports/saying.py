"""What every format says of a report as a whole, in the same words: its headline, where its sites are, its losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Optional

from tracer.diagnose import held, reconciled, words
from tracer.diagnose.owners import own_frames, owner_of
from tracer.model.connection import Losses
from tracer.model.finding import Report, Site, Unconfined, Unread, Where
from tracer.model.frame import Frame, Stack
from tracer.model.merged import Merged
from tracer.model.states import TcpState
from tracer.stacks.registry import language


def headline(report: Report) -> str:
    """How many sockets lingered, from how many sites; or that none did, and what may hide some."""
    over = f"for more than {words.duration(report.linger_ns)}"
    if not report.sites:
        seen = words.duration((round(report.ended * 1e6) - round(report.started * 1e6)) * 1000)
        return f"{reconciled.headline(report, over)} ({watched(report)}, {seen})"
    states = Counter(f.connection.state for site in report.sites for f in site.findings)
    gone = states.pop(TcpState.CLOSE, 0)
    left = sum(states.values())
    what = [f"{words.plural(left, 'socket')} in CLOSE_WAIT"] if left else []
    what += [f"{words.plural(gone, 'socket')} gone (CLOSE) but not closed"] if gone else []
    return f"{' and '.join(what)} {over}, from {words.plural(len(report.sites), 'leak site')}"


def watched(report: Report) -> str:
    """How many sockets were followed, and whose. An agent follows those of others, too, whatever it is asked for.

    Where it is not known how many came and went, none at the end says nothing of the time before.
    """
    sockets = words.plural(report.watched if report.seen is None else report.seen, "socket")
    if report.recorded_since is not None:
        return f"{sockets} watched by the agent"
    at_the_end = " at the end" if report.seen is None and not report.watched else ""
    return f"{sockets} of {report.target} watched{at_the_end}"


def is_clear(report: Report) -> bool:
    """Whether the report is a clean bill: no site, and nothing that may hide one."""
    return not report.sites and reconciled.headline(report, "").startswith("no socket stayed")


def incomplete(merged: Merged) -> str:
    """That some of the reports may lack sockets; empty if none does."""
    if not merged.incomplete:
        return ""
    of = f"{merged.incomplete} of {words.plural(merged.reports, 'report')}"
    return f"{of} could not read everything: there may be more"


def holders_not_told(report: Report) -> list[str]:
    """Of which sockets it could not be told who holds them in the heap, and why."""
    out = []
    for look in report.heaps:
        if look.note:
            sockets = words.plural(look.sockets - look.found, "socket")
            out.append(f"who holds {sockets} of {look.comm} (pid {look.pid}) is not told: {look.note}")
    return out


def not_read(unread: Sequence[Unread], unconfined: Sequence[Unconfined]) -> list[str]:
    """One line for each file, or part of one, that was not read any more, with the reason; one for the confinement."""
    out = []
    for one in unread[:_MOST_UNREAD]:
        what = f"{one.part} of {one.what}" if one.what else one.part
        out.append(f"not read: {what}: {one.why}")
    if len(unread) > _MOST_UNREAD:
        out.append(f"not read: {len(unread) - _MOST_UNREAD} more")
    if unconfined:
        parts = ", ".join(f"{one.part} ({one.why})" for one in unconfined)
        out.append(f"not confined: the process that reads files keeps {parts}")
    return out


_MOST_UNREAD = 10


def application(site: Site) -> tuple[Optional[Frame], str]:
    """The program's first own frame, and how to call the stack that has it."""
    found = site.application
    if found.stack is Where.LAST:
        return _at(site.stack, found.index), ""
    if found.stack is Where.SENT:
        return _at(site.sent_stack, found.index), "sent in "
    if found.stack is Where.OPENED:
        return _at(site.opened_stack, found.index), "opened in "
    return (_at(site.now[0].stack, found.index), "now in ") if found.stack is Where.NOW else (None, "")


def _at(stack: Optional[Stack], index: Optional[int]) -> Optional[Frame]:
    return stack.frames[index] if stack is not None and index is not None else None


def where(site: Site) -> str:
    """The program's first own frame with its place; else its object that holds the sockets, or the event loop."""
    frame, how = application(site)
    if site.application.stack is Where.HELD:
        places = (held.own_place(one.lineage) for one in site.held)
        return f"held by {next((place for place in places if place), '')}"
    if frame is None:
        return f"event loop ({site.application.loop})" if site.application.loop is not None else "-"
    return f"{how}{words.located(frame)}"


def groups_of(stack: Stack) -> tuple[str, ...]:
    """What each frame belongs to: a library or a runtime, in words; "" for the program's own code."""
    own = set(map(id, own_frames(stack)))
    return tuple("" if id(frame) in own else _group_of(frame) for frame in stack.frames)


def _group_of(frame: Frame) -> str:
    owner = owner_of(frame)
    if owner or not frame.internal:
        return owner
    return language(frame.language).title or (frame.module or "?").rsplit("/", 1)[-1]


def described(lost: Losses) -> str:
    """Each kind of loss with its count, in one line; empty if nothing was lost."""
    kinds = (
        (lost.events, "transition", "came faster than they were read"),
        (lost.records, "socket", "not followed: no free record (raise --memory)"),
        (lost.boxes, "call", "kept without a stack: the memory for stacks was used up (raise --memory)"),
        (lost.contended, "call", "dropped: another thread was in a call on the same socket"),
        (lost.nested, "event", "not seen: the kernel skipped a hook that interrupted itself"),
        (lost.returns, "call result", "missed by the kernel's return probes"),
        (lost.descriptors, "process", "whose descriptors could not be read"),
        (lost.namespaces, "network namespace", "that could not be listed"),
        (lost.threads, "thread", "not looked at, or without a stack, in calls that go on: there are too many"),
        (lost.stacks_unread, "stack", "not read within the limits: the call's own place only"),
        (lost.stacks_truncated, "stack", "in this report incomplete"),
    )
    nouns = {"process": "processes"}
    return "; ".join(f"{words.plural(count, noun, nouns.get(noun))} {what}" for count, noun, what in kinds if count)
