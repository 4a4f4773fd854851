"""What the program's own heap says: a server's request is not complete, or nothing refers to a socket any more."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.diagnose.texts.site import Answer, TextSite

_MIXED = (
    "Those that are channels not even a garbage collection closes, only the end of the process does; the others a"
    " collection will close."
)


def in_a_request(site: TextSite) -> Answer:
    """The server has given the connection to the program, and the program has not ended what it does with it."""
    assert site.holder is not None
    it = site.say("it", "them")
    why = (
        f"{site.holder.library} has {it} in a request that is not complete, or in an upgraded connection (WebSocket).",
        f"The peer hung up meanwhile. {site.holder.library} closes {it} when the program ends that.",
    )
    return why, (
        "End each request: complete what was started asynchronously also when it fails, and give it a time limit"
        " (AsyncContext.setTimeout).",
        "Give what a handler waits for a time limit, too. Close a WebSocket that is idle (setMaxIdleTimeout).",
    )


def look_into_the_heap(site: TextSite) -> str:
    """What names the program's part where the calls have none: a coroutine waits in no call of its own."""
    pids = sorted({h.pid for c in site.connections for h in c.holders})
    pid = f" --pid {pids[0]}" if pids else ""
    return (
        f"No function of the program is in these calls: `closetrace{pid} --lineage` tells which of its objects, tasks"
        f" or variables {site.say('holds it', 'hold them')} now."
    )


def nothing_refers(site: TextSite) -> str:
    """How many of the site's sockets the program has lost, and what will close them."""
    them = "it" if site.one else words.number(site.lost)
    lost_ones = f"Nothing in the program refers to {them} any more"
    if site.abandoned == site.lost:
        return f"{lost_ones}: not even a garbage collection closes a channel, only the end of the process does."
    if site.abandoned:
        return f"{lost_ones}. {_MIXED}"
    return f"{lost_ones}: only a garbage collection will close {them}."


def lost(site: TextSite) -> Answer:
    """The program let go of its objects without a close; a collection would close them, and none has come since."""
    it, was = site.say("it", "them"), site.say("it was", "they were")
    closes = (
        f"Only a garbage collection will close {it}, and a program that makes little garbage may run none for hours."
    )
    if site.abandoned == site.lost:
        closes = "Not even a garbage collection closes a channel, only the end of the process does."
    elif site.abandoned:
        closes = _MIXED
    why = (f"Nothing in the program refers to {it} any more: {was} lost without a close.", closes)
    todo = [
        "Close each connection before the last reference to it goes, on every path: a `with` block,"
        " try-with-resources, or `finally`.",
    ]
    if all(c.opened is None and c.last is None for c in site.connections):
        todo.append("Leave closetrace running: sockets that are opened from now on have the stack of who opened them.")
    return why, tuple(todo)
