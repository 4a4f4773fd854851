"""What happened at a leak site and what to change, in plain sentences that name the mechanism."""

from __future__ import annotations

import math
from typing import Callable, Optional

from tracer.diagnose import words
from tracer.diagnose.facts import last_call, unread_bytes
from tracer.diagnose.libraries import application_frame, client_of
from tracer.model.finding import Finding, Verdict
from tracer.model.frame import Stack
from tracer.model.states import Op, Origin

_SECOND = 1_000_000_000
_UNSEEN = "Whether the program has used it since cannot be seen here: this kernel has no hook for receive and send."
_NAME = 80
"""Longest name of a function and its place within a sentence; the stack below has the whole."""


class _Site:
    """The sockets of one site, with what the sentences need to know of them."""

    def __init__(self, members: list[Finding], stack: Optional[Stack], opened: Optional[Stack]) -> None:
        self.members = members
        self.connections = [f.connection for f in members]
        self.count = len(members)
        self.unseen = any(c.unseen for c in self.connections)
        self.library = client_of(stack, opened)
        index = application_frame(stack)
        where = words.located(stack.frames[index]) if stack is not None and index is not None else None
        self.where = f"{where[: _NAME - 3]}..." if where is not None and len(where) > _NAME else where

    @property
    def one(self) -> bool:
        return self.count == 1

    def say(self, one: str, many: str) -> str:
        """The sentence for one socket or for several."""
        return one if self.one else many

    def silences(self) -> list[int]:
        """Times in ns between the last call and FIN, of the sockets for which both are known, ascending."""
        if self.unseen:
            return []
        calls = [(last_call(c), c.fin_ns) for c in self.connections]
        return sorted(fin - last.ns for last, fin in calls if last is not None and fin is not None and fin >= last.ns)

    def holders(self) -> str:
        """Who holds the descriptors, each process once."""
        held = {h.pid: h.comm for c in self.connections for h in c.holders}
        return words.listed(f"{comm} (pid {pid})" for pid, comm in sorted(held.items()))


Answer = tuple[tuple[str, ...], tuple[str, ...]]


def advise(verdict: Verdict, members: list[Finding], stack: Optional[Stack], opened: Optional[Stack]) -> Answer:
    """Explanation and advice for the sockets of one site. ``stack`` is the telling call's, ``opened`` the opener's."""
    return _BY_VERDICT[verdict](_Site(members, stack, opened))


def _span(values: list[int]) -> str:
    low, high = words.silence(values[0]), words.silence(values[-1])
    return low if low == high else f"{low.removesuffix(' s') if high.endswith(' s') else low} to {high}"


def _steady(values: list[int]) -> bool:
    """Whether times are so alike that one configured limit must have caused them."""
    return values[-1] - values[0] <= max(2 * _SECOND, values[0] // 10)


def _hung_up(site: _Site) -> str:
    quiet = site.silences()
    if not quiet:
        return (
            site.say("The peer hung up", "The peer hung up on them")
            + "; when the last call was before that is not known."
        )
    middle = words.silence(quiet[len(quiet) // 2])
    if quiet[-1] < _SECOND:
        return f"The peer hung up right after the last call ({_span(quiet)} later): it does not keep connections open."
    if site.one:
        return f"The peer hung up after {middle} of silence: a keep-alive or idle timeout on its side."
    on = f"all {site.count}" if len(quiet) == site.count else f"the {len(quiet)} of {site.count} seen in full"
    if _steady(quiet):
        spread = f" ({_span(quiet)})" if words.silence(quiet[0]) != words.silence(quiet[-1]) else ""
        return f"The peer hung up after {middle} of silence on {on}{spread}: its keep-alive timeout."
    span = f"{_span(quiet)} of silence on {on}, {middle} in the middle"
    return f"The peer hung up after {span}: no single timeout explains that."


def _limit(quiet_ns: int) -> str:
    """A round time safely below the peer's, for settings."""
    seconds = quiet_ns * 0.9 / _SECOND
    if seconds < 1:
        return words.duration(int(seconds * _SECOND))
    step = 1 if seconds < 20 else 5 if seconds < 100 else 10 if seconds < 600 else 60
    return words.duration(math.floor(seconds / step) * step * _SECOND)


def _idle_in_pool(site: _Site) -> Answer:
    process = site.say(
        "Nothing in this process has touched the socket since, so it does not know. It waits",
        "Nothing in this process has touched the sockets since, so it does not know. They wait",
    )
    if site.unseen:
        process = f"{_UNSEEN} Most likely {site.say('it waits', 'they wait')}"
    whose = f"{site.library.name}'s connection pool" if site.library else "a connection pool"
    why = (_hung_up(site), f"{process} in {whose}, or {site.say('was', 'were')} forgotten.")
    quiet = site.silences()
    if quiet and quiet[-1] < _SECOND:
        todo = ["Let the client honour `Connection: close`, or turn keep-alive off for this peer."]
        if site.library and site.library.release:
            todo.append(f"In {site.library.name}: {site.library.release}.")
        return why, tuple(todo)
    waits = f" (it waits {words.silence(quiet[0])}; a limit of {_limit(quiet[0])} would do)" if quiet else ""
    todo = [
        f"Let the pool close idle connections before the peer does{waits}, or check a connection before reuse;"
        " a one-off sweep is not enough."
    ]
    if site.library and site.library.pool:
        limit = _limit(quiet[0]) if quiet else "a time below the peer's"
        todo.append(f"In {site.library.name}: {site.library.pool.format(limit=limit)}.")
    return why, tuple(todo)


def _release(site: _Site) -> list[str]:
    if site.library and site.library.release:
        return [f"In {site.library.name} a connection is given back with {site.library.release}."]
    return []


def _in(site: _Site) -> str:
    return f" in {site.where}" if site.where else ""


def _eof_ignored(site: _Site) -> Answer:
    seen = [c for c in site.connections if c.eof is not None or c.eof_reads]
    if seen:
        why = [
            f"recv returned 0{_in(site)}: the peer had hung up, and the code was told so.",
            site.say("It kept the socket open all the same.", "It kept the sockets open all the same."),
        ]
    else:
        why = [
            "The receive queue is empty, which in CLOSE_WAIT means that the program has read the end,",
            site.say(
                "before the trace or unseen, and kept the socket.", "before the trace or unseen, and kept the sockets."
            ),
        ]
    most = max((c.eof_reads for c in site.connections), default=0)
    if most > 10:
        why.append(f"It goes on reading the end ({most} times on one socket), which costs CPU time.")
    where = _in(site) if seen else ""
    todo = [f"Close the socket where the read returns 0{where}; look at the branches for errors and retries too."]
    return tuple(why), tuple(todo + _release(site))


def _unread_data(site: _Site) -> Answer:
    sizes = sorted(unread_bytes(c) for c in site.connections)
    low, high = words.byte_count(sizes[0]), words.byte_count(sizes[-1])
    size = low if low == high else f"{low} to {high}"
    each = site.say("", " on each")
    why = [f"{size} of data lie unread{each}, and behind them the peer's FIN: the reader stopped early."]
    quiet = site.silences()
    if quiet:
        why.append(f"The last call came {_span(quiet)} before the peer hung up.")
    todo = [
        f"Find what keeps {site.where or 'the program'} from reading on (an exception, a size limit, a stalled"
        " consumer); read to the end, or close the socket when the rest is not wanted."
    ]
    return tuple(why), tuple(todo + _release(site))


def _never_accepted(site: _Site) -> Answer:
    listeners = words.listed(sorted({str(c.local) for c in site.connections}))
    waits = site.say("The connection waits", f"{site.count} connections wait")
    why = [f"{waits} in the accept queue of {listeners}: no accept has taken {site.say('it', 'them')}."]
    waited = sorted(c.fin_ns - c.birth_ns for c in site.connections if c.fin_ns is not None and not c.preexisting)
    if waited and waited[0] >= 0:
        why.append(f"The peer gave up after {_span(waited)}.")
    todo = (
        "Find what keeps the accepting thread from calling accept: a full worker pool, a blocking call in the accept"
        " loop, too many open files (EMFILE), or a listener that nobody serves.",
        "`ss -ltn` shows the length of that queue as Recv-Q; a restart of the listener drops it.",
    )
    return tuple(why), todo


def _held_elsewhere(site: _Site) -> Answer:
    owners = sorted({(c.owner.pid, c.owner.comm) for c in site.connections if c.owner is not None})
    owner = words.listed(f"{comm} (pid {pid})" for pid, comm in owners[:1])
    it = site.say("it", "them")
    used = "opened" if site.unseen else "used"
    why = (
        f"{owner} {used} {it}{'' if site.unseen else ' last'} and has let go: it closed {it}, or exited.",
        f"Still held by {site.holders()}: the kernel closes a socket only with its last descriptor.",
    )
    todo = (
        "If the descriptor was inherited over fork: open sockets close-on-exec (SOCK_CLOEXEC, accept4), or close them"
        " in the child.",
        "If it was passed over a unix socket: the receiver must close it.",
    )
    return why, todo


def _half_closed_in_use(_site: _Site) -> Answer:
    why = (
        "The peer has said that it sends no more (FIN), and the program goes on sending; nothing has refused the data.",
        "That may be meant: a half-closed connection may carry data one way for as long as both sides like.",
    )
    todo = (
        "If the protocol has no half-close, read as well as write: take a recv of 0 as the end and close the socket.",
        "If it has, this is no leak: raise --linger above the time that such transfers take.",
    )
    return why, todo


def _blocked_in_call(site: _Site) -> Answer:
    blocked = [b for c in site.connections for b in c.blocked]
    calls = words.listed(sorted({b.syscall for b in blocked}))
    threads = words.listed(sorted({words.thread(b.actor) for b in blocked}))
    are = "is" if len({b.actor.tid for b in blocked}) == 1 else "are"
    why = [f"{threads} {are} inside {calls} on {site.say('it', 'them')} now."]
    if any("send" in b.syscall or "write" in b.syscall for b in blocked):
        why.append("A send waits for room in its buffer: the peer neither takes the data nor resets the connection.")
        todo = (
            "Give sends a limit (SO_SNDTIMEO, TCP_USER_TIMEOUT, or the library's write timeout), and close the socket"
            " when it strikes."
        )
    else:
        todo = "Give the call a timeout, and see below what it waits for: until it returns nobody can clean up."
    return tuple(why), (todo,)


def _shut_down_still_open(site: _Site) -> Answer:
    why = (
        f"The program shut {site.say('it', 'them')} down and the connection ended in order, but the descriptor is still"
        " open: ss and netstat no longer show the socket.",
    )
    todo = f"shutdown(2) ends the connection, not the descriptor: call close(2) as well{_in(site)}."
    return why, (todo, *_release(site))


def _reset_still_open(site: _Site) -> Answer:
    if all(c.shutdown is not None and c.reset_ns is None for c in site.connections):
        return _shut_down_still_open(site)
    by_peer = sum(c.reset_by is Origin.PEER for c in site.connections)
    who = "the peer reset it" if by_peer == site.count else "it was reset or given up"
    why = (
        f"The connection is gone ({who}), but the descriptor is still open: ss and netstat no longer show the socket.",
        "The next call on it would fail; none has come, or its error was ignored.",
    )
    where = f"; the last call was{_in(site)}" if site.where else ""
    todo = [
        f"Close the descriptor on ECONNRESET, EPIPE and ETIMEDOUT, and check idle connections from time to time{where}."
    ]
    return why, tuple(todo + _release(site))


def _not_read_since(site: _Site) -> Answer:
    calls = [(last_call(c), c.fin_ns) for c in site.connections]
    after = [last.op for last, fin in calls if last is not None and fin is not None and last.ns > fin]
    if after:
        reads = all(op is Op.RECV for op in after)
        what = "read the data that was there" if reads else "made a call on it"
        why = [
            f"After the peer had hung up the program {what}, but it neither read on to the end nor closed the socket.",
            "So it does not know that the connection is over: it took what it wanted and kept the socket.",
        ]
        todo = [f"Close or release the connection once the answer is complete{_in(site)}."]
        return tuple(why), tuple(todo + _release(site))
    quiet = site.silences()
    when = f" ({_span(quiet)} after the last call)" if quiet else ""
    accepted = all(c.passive for c in site.connections)
    why = [f"The peer hung up{when}, and no thread has called on {site.say('the socket', 'the sockets')} since."]
    if site.unseen:
        why = ["The peer hung up.", _UNSEEN]
    if accepted:
        why.append(
            "The program accepted it, so the handler that served it is busy elsewhere, stuck, or gone without a close."
        )
    todo = [
        f"See what the handler does after its last call{_in(site)}: a blocked call to something else, a lock, an"
        " exception that skips the close.",
        "Give idle connections a timeout, or watch them with poll/epoll (EPOLLRDHUP) and close them when the peer"
        " hangs up.",
    ]
    return tuple(why), tuple(todo)


def _unknown(site: _Site) -> Answer:
    older = all(c.preexisting for c in site.connections)
    held = any(c.holders for c in site.connections)
    why = [
        site.say("It is", "They are")
        + " older than the trace and no call has touched "
        + site.say("it", "them")
        + " since."
        if older
        else "No call was seen on " + site.say("it.", "them.")
    ]
    if site.unseen:
        why = [_UNSEEN]
    if held:
        why.append(f"Held by {site.holders()}.")
    if any(c.rx_queue == 1 for c in site.connections):
        why.append("The end (FIN) is unread, so the program does not know that the peer hung up.")
    pids = sorted({h.pid for c in site.connections for h in c.holders})
    pid = f" --pid {pids[0]}" if pids else ""
    todo = (
        f"Leave `closetrace{pid}` running until the program opens new connections: those are told with their stacks.",
    )
    return tuple(why), todo


_BY_VERDICT: dict[Verdict, Callable[[_Site], Answer]] = {
    Verdict.EOF_IGNORED: _eof_ignored,
    Verdict.IDLE_IN_POOL: _idle_in_pool,
    Verdict.UNREAD_DATA: _unread_data,
    Verdict.NEVER_ACCEPTED: _never_accepted,
    Verdict.HELD_ELSEWHERE: _held_elsewhere,
    Verdict.HALF_CLOSED_IN_USE: _half_closed_in_use,
    Verdict.BLOCKED_IN_CALL: _blocked_in_call,
    Verdict.RESET_STILL_OPEN: _reset_still_open,
    Verdict.NOT_READ_SINCE: _not_read_since,
    Verdict.UNKNOWN: _unknown,
}
