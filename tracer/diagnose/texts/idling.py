"""Connections that lie idle: the peer's silence, the pool's limit, or a release that never came."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import pooling, words
from tracer.diagnose.facts import may_be_close_notify, sent_last
from tracer.diagnose.rules.idling import goodbye
from tracer.diagnose.texts.held import in_a_request
from tracer.diagnose.texts.site import CLOSE_NOTIFY, SECOND, UNSEEN, Answer, TextSite, perhaps, span


def idle_in_pool(site: TextSite) -> Answer:
    """The peer hung up on an idle connection."""
    why = (_hung_up(site), _where(site), *_unused(site), *_goodbye(site), *site.watching(), *_opened_beside(site))
    if all(sent_last(c) for c in site.connections):
        why = (*why, f"The last call was a send: {site.say('it', 'they')} may wait for an answer that never came.")
    if all(may_be_close_notify(c) for c in site.connections):
        why = (*why, CLOSE_NOTIFY)
    quiet = site.silences
    if not quiet or quiet[-1] >= SECOND:
        told = site.library is not None and site.library.idle_says_all
        return why, (*_release_each(site, told), *_pool(site, quiet), *_in_advance(site))
    if site.never_used:
        return why, (*_in_advance(site), "See in the peer's log why it hung up.")
    at_once = "Let the client honour `Connection: close`, or turn keep-alive off for this peer."
    if site.never_reused:
        return why, (*_release_each(site), at_once)
    own = site.library.release if site.library else ""
    return why, (at_once, f"In {site.library.name}: {own}.") if site.library and own else (at_once,)


def _unused(site: TextSite) -> tuple[str, ...]:
    """That the program never used them."""
    if not site.never_used:
        return ()
    it = site.say("it", "them")
    return (f"The program opened {it} and never used {it}: it sent nothing, and read nothing.",)


def _in_advance(site: TextSite) -> tuple[str, ...]:
    """What to do about connections that were never used, beside a limit."""
    if not site.never_used:
        return ()
    it, was = site.say("it", "them"), site.say("it was", "they were")
    return (
        f"If {was} opened in advance (the least size of a pool, a warm-up, preconnect): open fewer, or open them when"
        " there is something to send.",
        f"If {was} opened for a request, find what keeps {site.where or 'the program'} from sending it, or from reading"
        f" where the peer speaks first, and close {it} when that is given up.",
    )


def _where(site: TextSite) -> str:
    """That nobody has touched it, and where it most likely is: in a pool, unless the pool would have closed it."""
    library = site.library
    pooled = library is not None and (library.pools or library.prefills)
    whose = f"{library.name}'s connection pool" if library and pooled else "a connection pool"
    if library is not None and library.pools and library.notices and not site.pooled:
        it = site.say("it", "them")
        not_idle = f"Most likely {site.say('it is', 'they are')} not idle in {whose}"
        return (
            f"{_untouched(site, not_idle)}, since {library.name} closes what is idle there when the peer hangs up: the"
            f" program has {it} in use, or has forgotten {it}."
        )
    if site.pooled:
        return f"{_untouched(site)} in {whose}."
    return f"{_untouched(site)} in {whose}, or {site.say('was', 'were')} forgotten."


def not_released(site: TextSite) -> Answer:
    """The pool never got the connections back: its limits do not reach them. Or a server's request is not complete."""
    if site.serving:
        return in_a_request(site)
    whose = f"{site.library.name}'s pool" if site.library else "the pool"
    lie = site.say("it lies", "they lie")
    why = (
        _hung_up(site),
        *_opened_beside(site),
        f"So {lie} in no pool that this code took from: {site.say('it was', 'they were')} not given back to {whose}, or"
        f" {site.say('has', 'each has')} a pool of its own (another client, host name or proxy).",
    )
    todo = (*_release_each(site), "A timeout of a pool reaches only what was given back.")
    if site.leased and site.holder is not None:
        has = f"{site.holder.library} has {site.say('it', 'them')} as leased to the program"
        why = (_hung_up(site), f"{has}: {site.say('it was', 'they were')} never given back.")
        cures_nothing = "A timeout of the pool cures nothing here: what is not given back is not in it."
        todo = (*_release_each(site), cures_nothing)
    return why, todo


def _untouched(site: TextSite, then: str = "") -> str:
    """Who has touched it since; to be ended by where it waits, or by what ``then`` begins."""
    likely = then or f"Most likely {site.say('it waits', 'they wait')}"
    if site.unseen:
        return f"{UNSEEN} {likely}"
    if site.taken_unseen:
        return (
            "Some of the data were taken by calls that were not seen (splice, sendfile and zero-copy receive show in no"
            f" hook), so who read last is not known. {likely}"
        )
    sockets, then = site.say("the socket", "the sockets"), then or site.say("It waits", "They wait")
    knows = "" if site.may_know else ", so no read has told it of that"
    return f"Nothing in this process has touched {sockets} since{knows}. {then}"


def _goodbye(site: TextSite) -> tuple[str, ...]:
    if not all(goodbye(c, c.seen_ns) for c in site.connections):
        return ()
    return ("The last of what lies unread came right before FIN: most likely a goodbye to an idle connection.",)


def _opened_beside(site: TextSite) -> tuple[str, ...]:
    if not site.never_reused:
        return ()
    return ("New connections to the same peer were opened while older ones lay idle, and those were never used again.",)


def _release_each(site: TextSite, how_is_told: bool = False) -> tuple[str, ...]:
    """To give each back, and how, unless what follows tells that."""
    if not site.never_reused and not site.leased:
        return ()
    each = (
        "Release each connection when its answer is complete: read the response to its end, or close it; and keep one"
        " client for all calls, for each has connections of its own."
    )
    own = site.library.release if site.library else ""
    return (each, f"In {site.library.name} that is {own}.") if site.library and own and not how_is_told else (each,)


_NO_LIMIT = (
    "No limit helps against a restart of the peer: then only a pool that watches its idle connections (poll, epoll)"
    " closes them in time."
)


def _pool(site: TextSite, quiet: list[int]) -> tuple[str, ...]:
    if _at_one_moment(site):
        return (*_limit(site, None), _NO_LIMIT)
    return _limit(site, quiet[0] if quiet else None)


def _limit(site: TextSite, lasted: Optional[int]) -> tuple[str, ...]:
    if site.pooled:
        return pooling.idle_advice(site.library, lasted)
    told = pooling.advice(site.library, lasted, is_released=not site.never_reused)
    return (*told, *perhaps(site))


def _hung_up(site: TextSite) -> str:
    quiet = site.silences
    if not quiet:
        return (
            site.say("The peer hung up", "The peer hung up on them")
            + "; when the last call was before that is not known."
        )
    middle = words.silence(quiet[len(quiet) // 2])
    if quiet[-1] < SECOND and site.never_used:
        made = f"The peer hung up right after the connection was made ({span(quiet)} later)"
        return f"{made}, as one does that turns a client away (a limit, no backend)."
    if quiet[-1] < SECOND:
        later = f"({span(quiet)} later)"
        return f"The peer hung up right after the last call {later}, as one does that keeps no connections open."
    if site.one:
        return f"The peer hung up after {middle} of silence: a keep-alive or idle timeout on its side, or its end."
    on = "both" if site.count == 2 else f"all {site.count}"
    on = on if len(quiet) == site.count else f"the {len(quiet)} of {site.count} seen in full"
    if _at_one_moment(site):
        return (
            f"The peer hung up on {on} at one moment, after {span(quiet)} of silence: it ended or was restarted, or it"
            " closes idle connections in sweeps."
        )
    if _steady(quiet):
        spread = f" ({span(quiet)})" if words.silence(quiet[0]) != words.silence(quiet[-1]) else ""
        or_its_end = ", or its end" if site.fin_spread <= _MOMENT else ""
        return f"The peer hung up after {middle} of silence on {on}{spread}: its keep-alive timeout{or_its_end}."
    silence = f"{span(quiet)} of silence on {on}, {middle} in the middle"
    return f"The peer hung up after {silence}: no single timeout explains that."


_MOMENT = SECOND // 10
_SCATTER = SECOND // 2


def _at_one_moment(site: TextSite) -> bool:
    """Whether all FINs came together though the last calls did not: that is no timeout of each connection."""
    quiet = site.silences
    return not site.one and bool(quiet) and site.fin_spread <= _MOMENT and quiet[-1] - quiet[0] > _SCATTER


def _steady(values: list[int]) -> bool:
    """Whether times are so alike that one configured limit must have caused them."""
    return values[-1] - values[0] <= max(2 * SECOND, values[0] // 10)
