"""Connections that were not read, not read on, or read and not closed."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.diagnose.facts import (
    after_fin,
    end_with_last_read,
    failed_last,
    last_call,
    looked_last,
    may_be_close_notify,
    owes_an_answer,
    sent_last,
)
from tracer.diagnose.texts.site import CLOSE_NOTIFY, SECOND, UNSEEN, Answer, TextSite, release, span, within
from tracer.model.connection import Connection, Touch
from tracer.model.states import Op


def eof_ignored(site: TextSite) -> Answer:
    """A read returned 0."""
    why = [
        f"recv returned 0{within(site)}: the peer had hung up.",
        site.say("The program kept the socket open all the same.", "The program kept the sockets open all the same."),
    ]
    most = max((c.eof_reads for c in site.connections), default=0)
    if most > 10:
        why.append(f"It goes on reading the end ({most} times on one socket), which costs CPU time.")
    where = within(site)
    todo = [f"Close the socket where the read returns 0{where}; look at the branches for errors and retries too."]
    half = _half_closed(site)
    if half:
        why.append(half)
        todo.append("If the protocol has half-close and the other way is in use, this is no leak: raise --linger.")
    return tuple(why), tuple(todo + release(site))


def still_at_work(site: TextSite) -> Answer:
    """A thread that waits within what read the end may close the socket, once it goes on."""
    if not site.threads.still:
        return (), ()
    it = site.say("the socket", "the sockets")
    within_what = f"within {site.threads.within}" if site.threads.within else "in what read the end"
    why = f"{site.threads.still}, still or again {within_what}, perhaps not done with {it} yet."
    todo = (
        f"If the program closes {it} once that wait is over, find what is waited for there: a lock, a free connection,"
        " an answer. Give that wait a limit."
    )
    return (why,), (todo,)


def _half_closed(site: TextSite) -> str:
    """What speaks for a peer that only ended its own sending (FIN says no more than that); empty if nothing does."""
    sent = sum(after_fin(c, c.last_tx_ns) for c in site.connections)
    if sent:
        on = site.say("it", "them" if sent == site.count else f"{sent} of them")
        return (
            f"The program sent on {on} after FIN, and was not refused: perhaps the peer only ended its own sending (a"
            " half-close)."
        )
    if all(owes_an_answer(c) for c in site.connections):
        it = site.say("it", "them")
        return (
            f"Nothing was sent on {it} since the last data came: a peer that only ended its own sending may wait for an"
            " answer."
        )
    return ""


def end_with_data(site: TextSite) -> Answer:
    """The end has left the queue, though no read of 0 was seen."""
    if all(end_with_last_read(c) for c in site.connections):
        by_last_call = all(c.last is not None and c.last.op is Op.RECV for c in site.connections)
        where = within(site) if by_last_call else ""  # else the stack is that of a later call
        why = (
            f"The last data and the peer's end (FIN) were taken by one read{where}, which returned the data.",
            "No read returned 0, so the code may not know that the peer hung up.",
            *_by_tls(site),
        )
    else:
        why = (
            "The end has left the receive queue: a read returned 0, or one took it together with the last data; that"
            " was before the trace or unseen.",
            site.say("The socket was kept.", "The sockets were kept."),
        )
    todo = [
        "Once an answer is complete close the connection, or read once more until a read returns 0; poll and epoll tell"
        " of the end by EPOLLRDHUP.",
    ]
    if not all(c.passive for c in site.connections):
        todo.append("A client that gets `Connection: close` closes after the answer.")
    return why, (*todo, *release(site))


def apart_in_time(site: TextSite, others: list[Connection]) -> str:
    """Which sockets of the site the text speaks of, and that the others differ by the moment of FIN alone."""
    rest = "the other one" if len(others) == 1 else f"the other {len(others)}"
    which = f"{site.count} of the {site.count + len(others)} sockets"
    told = f"What follows is told of {which}. On {rest} only the moment of FIN differs"
    if all(map(end_with_last_read, others)):
        return f"{told}: the read that took the last data took FIN as well."
    return f"{told}: it came after the last read, and nobody has read since."


def _by_tls(site: TextSite) -> tuple[str, ...]:
    return (CLOSE_NOTIFY,) if all(may_be_close_notify(c) for c in site.connections) else ()


def never_read(site: TextSite) -> Answer:
    """Nobody has ever taken a byte from it."""
    it = site.say("it", "them")
    todo: tuple[str, ...]
    tried = any(c.rx_calls for c in site.connections)
    looked = all(map(looked_last, site.connections))
    errors = [failed_last(c) for c in site.connections]
    failed = sorted({error for error in errors if error is not None}) if all(errors) else []
    gave_up = "The reader gave up before they came, or has not come back since."
    why = [f"{site.unread()}, and no call has ever read from {it}."]
    if looked:
        why = [f"{site.unread()}; the last call looked at them (MSG_PEEK), and none has taken a byte."]
        gave_up = "The reader has seen what came, or a part of it, and has not come back to take it."
    elif failed:
        why = [f"{site.unread()}; the last read failed, and none has taken a byte."]
        gave_up = f"It failed with {words.listed(failed)}, and no other read followed."
    elif tried:
        why = [f"{site.unread()}; calls have tried to read {it} or looked at {it}, but none has taken a byte."]
    accepted = all(c.passive for c in site.connections)
    if failed:
        why += [f"The program accepted {it}. {gave_up}" if accepted else gave_up, *site.watching()]
        todo = (f"Find why the read failed{within(site)}; read again, or close the socket where a read fails.",)
    elif accepted and tried:
        why += [f"The program accepted {it}. {gave_up}", *site.watching()]
        todo = (
            f"Find what keeps {site.where or 'the program'} from coming back to read (a time limit, a worker that is"
            " stuck, an exception); close the socket when what came is not wanted.",
        )
    elif accepted:
        why.append(
            f"The program accepted {it}: {site.say('it waits', 'they wait')} for a worker, or nobody was given {it}."
        )
        todo = (
            f"Find what keeps the workers from taking {it}: all of them busy or stuck, a queue that nobody empties, an"
            " exception before the first read.",
            "Give a connection a time limit for its first request, and close it when that strikes.",
        )
    else:
        why.append(gave_up if tried else "The reader never started, or gave up waiting before they came.")
        why += site.watching()
        todo = (_first_read(site, looked),)
    return tuple(why), (*todo, *release(site))


def _first_read(site: TextSite, looked: bool) -> str:
    """What a program owes that opened the connection; an answer is only what it has asked for."""
    find = f"Find what keeps {site.where or 'the program'} from"
    if looked:
        return f"{find} taking what it has looked at; read it, or close the socket when it is not wanted."
    of_what = " of the answer" if any(c.tx_bytes for c in site.connections) else ""
    return f"{find} its first read{of_what}; read what came, or close the socket when it is not wanted."


def reading_paused(site: TextSite) -> Answer:
    """The event loop is not told of what lies unread."""
    watched = [bool(c.interests) for c in site.connections]
    where, paused = "without EPOLLIN in an epoll set", "reading is paused, and no event loop is told."
    if not all(watched):
        or_without = ", or without EPOLLIN in one" if any(watched) else ""
        where = f"in no epoll set{or_without}, although the program uses epoll"
        paused = (
            "no event loop is told. One that reads has paused, or a thread that reads with poll or select has stopped."
        )
    why = (
        f"{site.unread()}, and behind them the peer's FIN.",
        f"{site.say('The socket is', 'The sockets are')} {where}: {paused}",
    )
    todo = (
        f"Find who paused reading{within(site)} and did not resume: flow control, a consumer that takes no more, an"
        " answer that nobody reads.",
        "Read the response to its end, or close it when the rest is not wanted.",
    )
    return why, (*todo, *release(site))


def unread_data(site: TextSite) -> Answer:
    """A reader that stopped before the end."""
    why = [f"{site.unread()}, and behind them the peer's FIN: the reader stopped early."]
    later = [_came_later(c) for c in site.connections]
    if any(later):
        why = [f"{site.unread()}, and behind them the peer's FIN: nobody has read since the last call."]
    quiet = site.silences
    if quiet:
        why.append(f"The last call came {span(quiet)} before the peer hung up.")
    why += site.watching()
    if all(later) and not any(c.passive for c in site.connections):
        return tuple(why), (*_late(site), *release(site))
    todo = [
        f"Find what keeps {site.where or 'the program'} from reading on (an exception, a size limit, a stalled"
        " consumer); read to the end, or close the socket when the rest is not wanted."
    ]
    return tuple(why), tuple(todo + release(site))


def _came_later(c: Connection) -> bool:
    """Whether data came a second or more after the last call: its reader may have had all that there was."""
    came = c.kernel.last_data_in_ns if c.kernel is not None else None
    return came is not None and c.last is not None and not c.unseen and came - c.last.ns >= SECOND


def _late(site: TextSite) -> tuple[str, ...]:
    """Advice on what came to an opened connection after its last call: an answer, or a word to an idle connection."""
    where = site.where or "the program"
    last_word = (
        "If what came is a peer's last word to an idle connection (HTTP 408, GOAWAY, a notice), let the pool close idle"
        " connections before the peer does."
    )
    if all(sent_last(c) for c in site.connections):
        return (
            f"The last call was a send. If what came is the answer, find what keeps {where} from reading it: a time"
            " limit that struck, a thread that is busy elsewhere. Read it, or close the socket.",
            last_word,
        )
    return (
        last_word,
        f"If it is data that the program wanted, find what keeps {where} from reading them; read to the end, or close"
        " the socket.",
    )


def not_read_since(site: TextSite) -> Answer:
    """The end is unread, and the last call is known."""
    calls = [(last_call(c), c.fin_ns) for c in site.connections]
    after = [last for last, fin in calls if last is not None and fin is not None and last.ns > fin]
    if after:
        todo = [f"Close or release the connection once the answer is complete{within(site)}."]
        if all(map(words.failure, after)):
            todo = [f"Find why the call failed{within(site)}, and close the socket where a call fails."]
        return _not_to_the_end(site, after), tuple(todo + release(site))
    quiet = site.silences
    when = f" ({span(quiet)} after the last call)" if quiet else ""
    accepted = all(c.passive for c in site.connections)
    why = [f"The peer hung up{when}, and no thread has called on {site.say('the socket', 'the sockets')} since."]
    if site.unseen:
        why = ["The peer hung up.", UNSEEN]
    if accepted and not site.threads.stuck:
        why.append(_handler(site))
    why += site.watching()
    todo = [
        _what_keeps_it(site),
        "Give idle connections a timeout, or watch them with poll/epoll (EPOLLRDHUP) and close them when the peer"
        " hangs up.",
    ]
    return tuple(why), tuple(todo)


def _what_keeps_it(site: TextSite) -> str:
    """Where to look for what keeps the thread that served a connection from its next call on it."""
    if not site.threads.stuck:
        return (
            f"See what the handler does after its last call{within(site)}: a blocked call to something else, a lock, an"
            " exception that skips the close."
        )
    find = f"Find what is waited for there: {_WAITED_FOR}"
    if not site.threads.may_have_gone_on:
        return find
    waits = "they wait for their" if site.threads.several else "it waits for its"
    return (
        f"If that is where {waits} next work, what served the connection has returned without a close, or left"
        f" it to another thread: look at its branches for errors. If not, f{find[1:]}"
    )


_WAITED_FOR = "a lock, a free connection, an answer. Give that wait a limit."


def threads_now(site: TextSite) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Where the threads are that owe a call: to be explained, to be done first, and to be done second."""
    threads, it = site.threads, site.say("it", "them")
    why: list[str] = []
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    if threads.stopped:
        first = ("Let the stopped threads go on (SIGCONT, or the end of the debugger), and see who stopped them.",)
        why.append(f"{threads.stopped}.")
    if threads.stuck:
        has_run = ", but has run since the peer hung up: it tries again and again, or does other work"
        have_run = ", but have run since the peer hung up: they try again and again, or do other work"
        others = ", in poll or select for other descriptors" if threads.for_others else ""
        has = (have_run if threads.several else has_run) if threads.lately else ""
        why.append(f"{threads.stuck} now{others}{has}.")
    if threads.beside:
        it_was = site.say("it was", "they were")
        why.append(f"If {it_was} handed to another thread of the process: {threads.beside} now.")
        second = (f"If one of those threads has {it}, find what is waited for there: {_WAITED_FOR}",)
    return tuple(why), first, second


def _not_to_the_end(site: TextSite, after: list[Touch]) -> tuple[str, ...]:
    """What the calls ``after`` FIN left undone; there may be fewer of them than sockets."""
    tls = _by_tls(site)
    end = "FIN" if tls else "on to the end"
    if len(after) < site.count:
        some = (
            f"On {len(after)} of the {site.count} sockets the last call came after the peer had hung up, on the others"
            f" before. None was read {end}, and none was closed."
        )
        return (some, *tls)
    what = "read the data that was there" if all(call.op is Op.RECV for call in after) else "made a call on it"
    so = "It took what it wanted and kept the socket."
    if not site.may_know:
        so = "So no read has told it that the connection is over: it took what it wanted and kept the socket."
    errors = [words.failure(call) for call in after]
    if all(errors):
        what = f"made a call on it, which failed with {words.listed(sorted({error for error in errors if error}))}"
        so = "It kept the socket." if site.may_know else "No read has told it that the connection is over."
    return (
        f"After the peer had hung up the program {what}, but it neither read {end} nor closed the socket.",
        *(tls or (so,)),
    )


def _handler(site: TextSite) -> str:
    """What may be with the handler of a server's connection."""
    it = site.say("it", "them")
    if all(owes_an_answer(c) for c in site.connections):
        return (
            f"The program accepted {it} and has sent nothing since the last data came: the handler is still at work on"
            " the answer, busy elsewhere, stuck, or gone."
        )
    return (
        f"The program accepted {it}, so the handler that served {it} is busy elsewhere, stuck, or gone without a close."
    )
