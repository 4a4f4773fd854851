"""Rules on who has the socket: nobody yet, a thread that is inside a call now, another process, nobody on the net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.facts import kept_over_exec, told_of_its_end
from tracer.diagnose.rules import phrases
from tracer.diagnose.rules.phrases import Evidence, ago, last_call, touched, unread, watched
from tracer.model.connection import Connection, Holder, Relation
from tracer.model.states import CLOSE, LOCAL, PEER, Op, Origin


def never_accepted(c: Connection, now_ns: int) -> Optional[Evidence]:
    """It waits in a listener's accept queue."""
    if c.accepted is not False:
        return None
    waits = f"It waits in the accept queue of {c.local}: no accept has taken it, so no descriptor exists."
    facts = [waits]
    if c.listeners:
        facts.append(f"It is in the queue of one of these: {phrases.listening(c.listeners)}.")
    elif c.listener is not None:
        facts.append(f"{c.listener.comm} (pid {c.listener.pid}, fd {c.listener.fd}) listens there.")
    if c.fin_ns is not None:
        facts.append(f"The peer hung up {ago(now_ns, c.fin_ns)}.")
    return (*facts, *unread(c))


def blocked_in_call(c: Connection, now_ns: int) -> Optional[Evidence]:
    """A thread is inside a system call on it."""
    if not c.blocked:
        return None
    inside = tuple(f"{words.thread(b.actor)} is inside {b.syscall} on fd {b.fd} now." for b in c.blocked)
    return (*inside, *last_call(c, now_ns))


def held_elsewhere(c: Connection, now_ns: int) -> Optional[Evidence]:
    """Who used it last has no descriptor for it any more, and others have; whether it was reset or not.

    After exec the user is another program, though the process is the same.
    """
    if c.unheld is not None:
        return _in_flight(c, now_ns)
    kept = kept_over_exec(c)
    if kept:
        return _over_exec(c, kept, now_ns)
    owner = c.owner
    if owner is None or not c.holders or owner.pid == c.holders[0].pid or owner.pid in {h.pid for h in c.holders}:
        return None
    opened = c.unseen or c.last is None or c.last.op in (Op.CONNECT, Op.ACCEPT)
    use = "opened it" if c.unseen else "opened it last" if opened else "used it last"
    gone = f"{words.thread(owner)} {use} and has no descriptor for it any more: it closed it, or exited."
    execs = (
        f"{h.comm} (pid {h.pid}) called exec {ago(now_ns, h.exec_ns)}, while it was open, and its fd {h.fd} has no"
        " close-on-exec (FD_CLOEXEC)."
        for h in c.holders
        if h.exec_ns is not None
    )
    return (gone, f"Still held by {_named(c.holders)}.", *execs, *_over(c, now_ns), *last_call(c, now_ns))


_KIN: dict[Optional[Relation], str] = {Relation.PARENT: ", the parent", Relation.CHILD: ", a child"}


def _named(holders: Iterable[Holder]) -> str:
    return words.listed(f"{h.comm} (pid {h.pid}, fd {h.fd}{_KIN.get(h.relation, '')})" for h in holders)


def _over(c: Connection, now_ns: int) -> Evidence:
    return (f"{_cause(c)}{_when(c, now_ns)}.",) if c.state is CLOSE else ()


def _over_exec(c: Connection, kept: tuple[Holder, ...], now_ns: int) -> Evidence:
    since = "while the socket was open" if c.owner is None else "after that"
    facts = [*last_call(c, now_ns)]
    if c.eof is not None and c.eof != c.last:
        facts.append(f"The end was read: {touched(c.eof, now_ns)}.")
    for h in kept:
        if h.exec_ns is not None:
            when = f"called exec {ago(now_ns, h.exec_ns)}, {since}"
            facts.append(f"Process {h.pid} {when}: {h.comm} is its program now, and has fd {h.fd}.")
        if h.close_on_exec is not None:
            facts.append(_FLAG[h.close_on_exec].format(fd=h.fd))
    others = [h for h in c.holders if h not in kept]
    if others:
        facts.append(f"It is also held by {_named(others)}.")
    return (*facts, *_over(c, now_ns), *watched(c))


_FLAG = {
    False: "fd {fd} has no close-on-exec (FD_CLOEXEC), so exec kept it.",
    True: "fd {fd} has close-on-exec (FD_CLOEXEC) now: it was set after that exec, or the descriptor came later.",
}


def _in_flight(c: Connection, now_ns: int) -> Evidence:
    """Only where descriptors are elsewhere than in a table can this be: whoever used it last has none any more."""
    nobody, ways = "No process has a descriptor for it", "It is in flight in a unix socket (SCM_RIGHTS)"
    if c.unheld:
        unread = words.plural(c.unheld, "process", "processes")
        facts = (
            f"{nobody}, as far as can be read: the descriptors of {unread} cannot.",
            f"{ways}, registered with io_uring, or held there.",
        )
    else:
        facts = (f"{nobody}.", f"{ways}, or registered with io_uring.")
    return (*facts, *last_call(c, now_ns))


def reset_still_open(c: Connection, now_ns: int) -> Optional[Evidence]:
    """The connection is gone, its descriptor is not."""
    if c.state is not CLOSE:
        return None
    facts = [f"{_cause(c)}{_when(c, now_ns)}, but the descriptor is still open."]
    if c.fin_ns is not None:
        facts.append(f"Before that the peer had sent FIN, {ago(now_ns, c.fin_ns)}.")
    if c.eof is not None:
        facts.append(f"The end had been read: {touched(c.eof, now_ns)}.")
    facts += last_call(c, now_ns)
    if told_of_its_end(c) is not None:
        facts.append("That call told the program that the connection is over.")
    return tuple(facts)


def _cause(c: Connection) -> str:
    if c.reset_by is PEER:
        return "The peer reset the connection"
    if c.reset_by is LOCAL:
        return "This host reset the connection"
    if c.shutdown is not None:
        return "The program shut the connection down, and it has ended in order"
    ends = [t.origin for t in c.transitions if t.new is CLOSE]
    by_timer = bool(ends) and ends[-1] is Origin.TIMER
    return (
        "A timer (keepalive or retransmission) gave the connection up"
        if by_timer
        else "The connection is gone (state CLOSE)"
    )


def _when(c: Connection, now_ns: int) -> str:
    return "" if c.reset_ns is None else f" {ago(now_ns, c.reset_ns)}"
