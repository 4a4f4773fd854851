"""Runs the screen and, in a thread beside it, the source of its reports."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tracer.errors import ClosetraceError
from tracer.top.app import TopApp, Write
from tracer.top.view import View

if TYPE_CHECKING:
    from tracer.top.ending import Ending
    from tracer.top.snapshots import Source


def run(source: Source, stop: Ending, write: Write) -> str:
    """Show what ``source`` finds until the user or a signal ends it. Returns the last line.

    The terminal is what it was before. Raises what the source raises, and ClosetraceError if the screen failed.
    """
    view = View(source.name)
    follower = threading.Thread(target=lambda: _follow(source, app), name="closetrace-top")

    def begun() -> None:
        stop.wake = app.leave
        follower.start()
        if stop.asked:
            app.exit()

    app = TopApp(view, write, begun)
    try:
        if not stop.asked:
            app.run()
    finally:
        stop.end()
        if follower.ident is not None:
            follower.join()
        source.close()
    if app.error is not None:
        raise app.error
    if app.return_code:
        raise ClosetraceError("the screen failed; closetrace without top prints a report")
    written = "".join(f"; written to {name}" for name in app.written)
    return f"{view.end()}{written}"


def _follow(source: Source, app: TopApp) -> None:
    try:
        source.run(app)
    except BaseException as error:  # it is raised again where the screen has ended
        app.fail(error)
