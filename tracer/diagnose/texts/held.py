"""What the program's own heap says: a server's request that is not complete."""

from __future__ import annotations

from tracer.diagnose.texts.site import Answer, TextSite


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
