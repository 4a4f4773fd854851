"""Sockets that exec left open: another program has the descriptor now, and nothing of the old one knows of it."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.diagnose.texts.site import Answer, TextSite, within
from tracer.model.connection import Holder

_SET_IT = "SOCK_CLOEXEC (socket, accept4) or FD_CLOEXEC (fcntl)"
_LAST_STANDARD = 2


def kept_over_exec(site: TextSite) -> Answer:
    """The process that answers for them has called exec since its last call on them."""
    they, them = site.say("it was", "they were"), site.say("it", "them")
    kept = [h for several in site.kept.values() for h in several]
    now = words.listed(sorted({f"{h.comm} (pid {h.pid})" for h in kept}), most=2)
    owners = {(c.owner.pid, c.owner.comm) for c in map(site.connections.__getitem__, site.kept) if c.owner}
    before = words.listed((f"{comm} (pid {pid})" for pid, comm in sorted(owners)), most=2)
    used = "opened" if site.unseen else "used"
    some = "" if len(site.kept) == site.count else f" ({len(site.kept)} of {site.count})"
    has = f"the program that has {them} now is {now}"
    if owners:
        first = f"{before} {used} {them}{'' if site.unseen else ' last'} and then called exec{some}: {has}."
    else:
        first = f"The process called exec while {they} open{some}: {has}."
    known = "; the descriptors 0 to 2 it uses without being told" if _standard(kept) else ""
    why = [
        first,
        "Descriptors without close-on-exec (FD_CLOEXEC) stay open over exec. The objects, pools and threads that knew"
        f" of {them} do not: a program knows of what it got over exec only if it is told, by an argument, LISTEN_FDS or"
        f" the like{known}.",
    ]
    last = f" (the last call was{within(site)})" if site.where else ""
    fix = f"Set close-on-exec in the program that opened {them}: {_SET_IT}; or close {them}{last} before exec."
    todo = [fix, _meant(site, now)]
    if known:
        todo.reverse()
    if any(c.eof is not None for c in site.connections):
        why.append(f"Before that a read had returned 0, and {they} not closed.")
        todo.insert(0, f"Close {them} where the read returns 0{within(site)}.")
    return tuple(why), tuple(todo)


def copied_over_exec(site: TextSite, holders: list[Holder]) -> list[str]:
    """What to do with copies of which others called exec: they can have inherited them, or got them since."""
    if not holders:
        return []
    names = words.listed(f"{h.comm} (pid {h.pid})" for h in holders)
    they, them = site.say("it was", "they were"), site.say("it", "them")
    return [
        f"{names} called exec while {they} open. If {they} inherited, set close-on-exec in the program that opened"
        f" {them}: {_SET_IT}.",
        _meant(site, names),
    ]


def _standard(holders: list[Holder]) -> bool:
    """Whether they are known by their numbers: standard input, output and error."""
    return all(h.fd <= _LAST_STANDARD for h in holders)


def _meant(site: TextSite, names: str) -> str:
    they, them = site.say("it was", "they were"), site.say("it", "them")
    given = f"If {they} handed over on purpose (inetd, LISTEN_FDS, a unix socket, an upgrade)"
    return f"{given}, {names} must close {them} when the peer hangs up."
