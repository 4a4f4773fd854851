"""The call that a verdict rests on, with its stack."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose.facts import last_call
from tracer.diagnose.owners import application_frame, has_own_file
from tracer.model.connection import Blocked, Touch
from tracer.model.finding import Finding, Verdict, Where
from tracer.model.frame import Stack
from tracer.model.states import RECV


def telling_call(finding: Finding) -> Optional[Touch]:
    """The call that a verdict rests on: the read of the end for ``eof-ignored``, else the last one (None: unseen)."""
    c = finding.connection
    return c.eof if finding.verdict is Verdict.EOF_IGNORED and c.eof is not None else last_call(c)


def telling_stack(finding: Finding) -> tuple[Optional[Stack], Optional[str]]:
    """The stack to show, and why there is none or why it ends early."""
    blocked = _blocked(finding)
    if blocked is not None and blocked.stack is not None:
        return blocked.stack, blocked.stack.note
    touch = telling_call(finding)
    if touch is None:
        return None, "no call on the socket was seen"
    if touch.stack is not None:
        return touch.stack, touch.stack_note or touch.stack.note
    return None, touch.stack_note or "no stack was kept for this call"


def telling_operation(finding: Finding) -> str:
    """The call's name: that of the system call for one that goes on now, ``none`` if no call was seen."""
    blocked = _blocked(finding)
    touch = telling_call(finding)
    return blocked.syscall if blocked is not None else touch.op.label if touch is not None else "none"


def opener_stack(finding: Finding) -> Optional[Stack]:
    """The stack of the connect or accept, or of the first call that was seen."""
    opened = finding.connection.opened
    return opened.stack if opened is not None else None


def sent_stack(finding: Finding) -> Optional[Stack]:
    """The stack of the last send where an event loop received since, which tells nothing of the program.

    Or only of the installed package that is the program, where that send has a function of the program's own files.
    """
    sent = finding.connection.sent
    if sent is None:  # so it is mostly, and this is asked of each socket again and again
        return None
    telling = telling_call(finding)
    if telling is None or telling.op is not RECV or telling.ns < sent.ns:
        return None
    if application_frame(telling.stack) is None:
        return sent.stack
    return sent.stack if has_own_file(sent.stack) and not has_own_file(telling.stack) else None


def most_own_first(
    last: Optional[Stack], sent: Optional[Stack], opened: Optional[Stack]
) -> list[tuple[Where, Optional[Stack]]]:
    """The stacks that may name the program's code, in the order in which they are asked.

    One with a function of the program's own files goes before those that have an installed package's alone.
    """
    three = [(Where.LAST, last), (Where.SENT, sent), (Where.OPENED, opened)]
    if has_own_file(last):  # so it is mostly: then no other is looked at
        return three
    return sorted(three, key=lambda one: not has_own_file(one[1]))


def _blocked(finding: Finding) -> Optional[Blocked]:
    blocked = finding.connection.blocked
    return blocked[0] if finding.verdict is Verdict.BLOCKED_IN_CALL and blocked else None
