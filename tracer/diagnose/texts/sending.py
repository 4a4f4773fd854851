"""Sockets that the program sends on after FIN."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.diagnose.facts import send_stalled_ns
from tracer.diagnose.texts.site import Answer, TextSite, release, sizes


def send_stalled(site: TextSite) -> Answer:
    """The peer takes nothing of what waits in the send queue."""
    waiting = sizes([c.tx_queue or 0 for c in site.connections])
    stalls = sorted(send_stalled_ns(c, c.seen_ns) for c in site.connections)
    low, high = words.duration(stalls[0]), words.duration(stalls[-1])
    why = (
        f"{waiting} wait in the send queue (Send-Q){site.say('', ' of each')}, and the peer has taken nothing of them"
        f" for {low if low == high else f'{low} to {high}'}.",
        "It has said that it sends no more (FIN), and does not read either; nor does it reset the connection.",
    )
    todo = (
        "Give sends a time limit, and close the socket when it strikes: SO_SNDTIMEO for calls that block, the library's"
        " write timeout, TCP_USER_TIMEOUT, or in an event loop a timer while it waits for EPOLLOUT.",
    )
    return why, (*todo, *release(site))


def half_closed_in_use(_site: TextSite) -> Answer:
    """It goes on sending, and the peer takes it."""
    why = (
        "The peer has said that it sends no more (FIN), and the program goes on sending; nothing has refused the data.",
        "That may be meant: a half-closed connection may carry data one way for as long as both sides like.",
    )
    todo = (
        "If the protocol has no half-close, read as well as write: take a recv of 0 as the end and close the socket.",
        "If it has, this is no leak: raise --linger above the time that such transfers take.",
    )
    return why, todo
