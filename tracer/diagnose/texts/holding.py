"""Sockets that nobody accepted, that a thread or another process has, or whose connection is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.facts import ended_ns, send_stalled_ns, told_of_its_end
from tracer.diagnose.rules.phrases import listening
from tracer.diagnose.texts import replaced
from tracer.diagnose.texts.site import Answer, TextSite, release, span, within
from tracer.model.connection import Connection, Holder, Relation
from tracer.model.states import Origin, TcpState


def never_accepted(site: TextSite) -> Answer:
    """Nobody has accepted it."""
    listeners = words.listed(sorted({str(c.local) for c in site.connections}))
    waits = site.say("The connection waits", f"{site.count} connections wait")
    why = [f"{waits} in the accept queue of {listeners}: no accept has taken {site.say('it', 'them')}."]
    alike = {id(c.listeners): c.listeners for c in site.connections}  # few, where the sockets may be 100,000
    several = sorted({one for each in alike.values() for one in each}, key=lambda one: (one.pid, one.fd))
    if several:
        which = site.say("which of them has it", "which connection is in which")
        why.append(
            f"Connections wait in the queues of {words.number(len(several))} listeners there (SO_REUSEPORT):"
            f" {listening(several)}; {which}, the kernel does not tell."
        )
    waited = sorted(c.fin_ns - c.birth_ns for c in site.connections if c.fin_ns is not None and not c.preexisting)
    if waited and waited[0] >= 0:
        why.append(f"The peer hung up after {span(waited)}.")
    todo = (
        "Find what keeps the accepting thread from calling accept: a full worker pool, a blocking call in the accept"
        " loop, too many open files (EMFILE), or a listener that nobody serves.",
        "`ss -ltn` shows the length of that queue as Recv-Q; a restart of the listener drops it.",
    )
    return tuple(why), todo


def held_elsewhere(site: TextSite) -> Answer:
    """Who used it has let go of it; others hold it, or it is on its way. Or it was kept over exec."""
    if site.kept:
        return _kept(site)
    owners = sorted({(c.owner.pid, c.owner.comm) for c in site.connections if c.owner is not None})
    it = site.say("it", "them")
    if all(c.unheld is not None for c in site.connections):
        return _in_flight(site, owners)
    used = "opened" if site.unseen else "used"
    one = len(owners) == 1
    why: tuple[str, ...] = (
        f"{words.listed((f'{comm} (pid {pid})' for pid, comm in owners), most=2)} {used} {it}"
        f"{'' if site.unseen else ' last'} and {'has' if one else 'have'} let go: {'it' if one else 'they'} closed"
        f" {it}, or exited.",
        f"Still held by {site.holders()}: the kernel closes a socket only with its last descriptor.",
    )
    if all(c.state is TcpState.CLOSE for c in site.connections):
        why = (*why, _GONE)
    return why, tuple(_to_close(site))


_GONE = "The connection itself is gone, so ss and netstat no longer show the socket."


def _kept(site: TextSite) -> Answer:
    why, todo = replaced.kept_over_exec(site)
    if all(c.state is TcpState.CLOSE for c in site.connections):
        why = (*why, _GONE)
    program = {h for several in site.kept.values() for h in several}
    others = {h.pid: h for c in site.connections for h in c.holders if h not in program}
    if not others:
        return why, todo
    names = words.listed(f"{h.comm} (pid {pid})" for pid, h in sorted(others.items()))
    also = f"Held by {names}, too: the kernel closes a socket only with its last descriptor."
    return (*why, also), (*todo, *_to_close(site, others.values()))


def _in_flight(site: TextSite, owners: list[tuple[int, str]]) -> Answer:
    """In flight, or registered: no process has a descriptor."""
    names = words.listed((f"{comm} (pid {pid})" for pid, comm in owners), most=2)
    it, its = site.say("it", "them"), site.say("its only descriptor", "their only descriptors")
    unread = max(c.unheld or 0 for c in site.connections)
    as_far = f", those of {words.plural(unread, 'process', 'processes')} could not be read" if unread else ""
    why = [f"No process was found that has a descriptor for {it}{as_far}."]
    if owners:
        why.append(f"{names} used {it} last.")
    why.append(
        f"{its[0].upper()}{its[1:]} can be in flight in a unix socket (SCM_RIGHTS), or registered with io_uring."
    )
    todo = (
        f"The receiver must take {it} from the unix socket (recvmsg) and close {it}; a unix socket that nobody reads"
        " any more must be closed on both sides.",
    )
    return tuple(why), todo


_TO_CLOSE = {
    Relation.PARENT: "Close {it} in {names}, too, the parent of the process that used {it}: right after fork, or once"
    " the descriptor has been passed on.",
    Relation.CHILD: "Close {it} in {names}, too, forked off by the process that used {it}: right after fork if the"
    " descriptor was inherited, after the last use if it was passed on. If another program is run there, open sockets"
    " close-on-exec (SOCK_CLOEXEC, accept4).",
    Relation.OTHER: "Close {it} in {names}, too. A descriptor that is passed over a unix socket (SCM_RIGHTS) must be"
    " closed by the sender and by the receiver. If it was inherited over fork, close it right after, or open sockets"
    " close-on-exec (SOCK_CLOEXEC, accept4).",
}
"""By what the holders are to who used the socket: who must close it."""


def _to_close(site: TextSite, holders: Optional[Iterable[Holder]] = None) -> list[str]:
    if holders is None:
        holders = (h for c in site.connections for h in c.holders)
    one_each = {h.pid: h for h in holders}
    held = [one_each[pid] for pid in sorted(one_each)]
    said = []
    for kin, sentence in _TO_CLOSE.items():
        those = [h for h in held if h.exec_ns is None and (h.relation or Relation.OTHER) is kin]
        if those:
            names = words.listed(f"{h.comm} (pid {h.pid})" for h in those)
            said.append(sentence.format(it=site.say("it", "them"), names=names))
    return said + replaced.copied_over_exec(site, [h for h in held if h.exec_ns is not None])


def held_too(site: TextSite) -> Answer:
    """Others have a descriptor beside the process that answers for it: to close it there alone changes nothing."""
    shared, names = site.too
    if not shared:
        return (), ()
    some = "" if shared == site.count else f" ({shared} of {site.count})"
    why = f"Held by {names}, too{some}: the kernel closes a socket only with its last descriptor."
    return (why,), tuple(_to_close(site))


def in_own_tables(site: TextSite) -> tuple[str, ...]:
    """Whose table has the descriptors, where it is not that of the process."""
    several = {(h.tid, h.comm, h.pid) for c in site.connections for h in c.holders if h.tid is not None}
    if not several:
        return ()
    whose = words.listed((f"thread {tid} of {comm} (pid {pid})" for tid, comm, pid in sorted(several)), most=2)
    has = "has for itself" if len(several) == 1 else "have for themselves"
    tables = "a descriptor table" if len(several) == 1 else "descriptor tables"
    return (
        f"{site.say('Its descriptor is', 'Their descriptors are')} in {tables} that {whose} {has} (unshare with"
        f" CLONE_FILES): a close in another thread does not reach {site.say('it', 'them')}.",
    )


def blocked_in_call(site: TextSite) -> Answer:
    """A thread is inside a call on it."""
    blocked = [b for c in site.connections for b in c.blocked]
    calls = words.listed(sorted({b.syscall for b in blocked}))
    threads = words.listed(sorted({words.thread(b.actor) for b in blocked}))
    are = "is" if len({b.actor.tid for b in blocked}) == 1 else "are"
    why = [f"{threads} {are} inside {calls} on {site.say('it', 'them')} now."]
    if any(_sends(c, b.syscall) for c in site.connections for b in c.blocked):
        return (*why, _full(site)), _limited(site)
    todo = "Give the call a timeout, and see below what it waits for: until it returns nobody can clean up."
    return tuple(why), (todo,)


def _sends(c: Connection, call: str) -> bool:
    """Whether a call waits for room in the send queue; splice and tee move data either way."""
    return "send" in call or "write" in call or (call in ("splice", "tee") and bool(c.tx_queue))


_TAKES_NOTHING_NS = 1_000_000_000


def _stalls(site: TextSite) -> list[Optional[int]]:
    """How long the peer of each takes nothing (ns); None where the kernel does not say."""
    known = (c.kernel is not None and c.kernel.last_ack_in_ns is not None and c.tx_queue for c in site.connections)
    return [send_stalled_ns(c, c.seen_ns) if told else None for c, told in zip(site.connections, known)]


def _full(site: TextSite) -> str:
    stalls = _stalls(site)
    if all(ns is not None and ns < _TAKES_NOTHING_NS for ns in stalls):
        return "A send waits for room in its buffer: the peer takes the data, but more slowly than they are sent."
    if all(ns is not None and ns >= _TAKES_NOTHING_NS for ns in stalls):
        return "A send waits for room in its buffer: the peer neither takes the data nor resets the connection."
    return "A send waits for room in its buffer: the peer takes no data or takes them slowly, and does not reset."


def _limited(site: TextSite) -> tuple[str, ...]:
    limit = (
        "Give sends a limit (SO_SNDTIMEO, TCP_USER_TIMEOUT, or the library's write timeout), and close the socket when"
        " it strikes."
    )
    if any(ns is not None and ns >= _TAKES_NOTHING_NS for ns in _stalls(site)):
        return (limit,)
    return (
        limit,
        "If the peer only ended its own sending and still reads, this is no leak: raise --linger above the time that"
        " such transfers take.",
    )


def _shut_down_still_open(site: TextSite) -> Answer:
    why = (
        f"The program shut {site.say('it', 'them')} down and the connection ended in order, but the descriptor is still"
        " open: ss and netstat no longer show the socket.",
    )
    todo = f"shutdown(2) ends the connection, not the descriptor: call close(2) as well{within(site)}."
    return why, (todo, *release(site))


def reset_still_open(site: TextSite) -> Answer:
    """The connection is gone, its descriptor is open."""
    if all(c.shutdown is not None and c.reset_ns is None for c in site.connections):
        return _shut_down_still_open(site)
    by_peer = sum(c.reset_by is Origin.PEER for c in site.connections)
    who = "the peer reset it" if by_peer == site.count else "it was reset or given up"
    why = (
        f"The connection is gone ({who}), but the descriptor is still open: ss and netstat no longer show the socket.",
        _what_it_knows(site),
    )
    if all(map(told_of_its_end, site.connections)):
        todo = (
            "Close the descriptor where a call fails (ECONNRESET, EPIPE, ETIMEDOUT) or a read returns 0"
            f"{within(site)}."
        )
        return why, (todo, *release(site))
    where = f"; the last call was{within(site)}" if site.where else ""
    todo = (
        f"Close the descriptor on ECONNRESET, EPIPE and ETIMEDOUT, and check idle connections from time to time{where}."
    )
    return why, (todo, *release(site))


def _what_it_knows(site: TextSite) -> str:
    """Whether a call has told the program that the connection is gone."""
    telling = [call for call in map(told_of_its_end, site.connections) if call is not None]
    if not telling:
        seen = all(ended_ns(c) is not None and not c.unseen and not c.missed_touches for c in site.connections)
        told = "A call on it would tell the program (by an error, or a read of 0); none has come"
        return f"{told}{'' if seen else ', or what it told was ignored'}."
    results = " or a ".join(sorted(set(map(words.result, telling))))
    if len(telling) == site.count:
        return f"The program knows: the last call was a {results}."
    return f"On {len(telling)} of the {site.count} sockets the program knows: the last call was a {results}."
