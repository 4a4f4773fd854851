"""The application on Textual: it takes reports from a thread, hands them to the screens, and ends in good order."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Callable, Optional

from textual.app import App
from textual.binding import Binding
from textual.message import Message

from tracer.errors import ClosetraceError
from tracer.model.finding import Report
from tracer.reports.printable import clean
from tracer.top.dialogs import HelpScreen, WriteScreen
from tracer.top.screens import Base, SitesScreen
from tracer.top.view import View

Write = Callable[[str, Report], None]
"""Writes a report to a file, in the form that the name's end tells. Raises ClosetraceError and OSError."""


class TopApp(App[None]):
    """``write`` writes the report. ``view`` is what is shown. ``begun`` is called when the screen is there."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "closetrace top"
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #status { height: 2; text-style: bold; }
    Listing { height: 1fr; overflow-x: hidden; background: ansi_default; }
    #story { height: 1fr; background: ansi_default; }
    #story:focus { height: 3fr; }
    #sockets:focus { height: 3fr; }
    #which { height: 1; text-style: bold; }
    Input { border: none; height: 1; padding: 0; background: ansi_default; }
    HelpScreen, WriteScreen { align: left bottom; }
    #help { height: auto; max-height: 100%; border: ascii ansi_default; background: ansi_default; }
    #name { border: ascii ansi_default; height: 3; }
    """
    BINDINGS = [
        Binding("p", "pause", "Pause"),
        Binding("w", "write", "Write"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    class Came(Message):
        """The source has a report or a remark, or an error that ends all."""

        def __init__(
            self, report: Optional[Report] = None, remark: Optional[str] = None, error: Optional[BaseException] = None
        ) -> None:
            self.report, self.remark, self.error = report, remark, error
            super().__init__()

    def __init__(self, view: View, write: Write, begun: Callable[[], None] = lambda: None) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.view = view
        self.colored = not os.environ.get("NO_COLOR")
        self.error: Optional[BaseException] = None
        self.written: list[str] = []
        self._write, self._begun = write, begun
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def on_mount(self) -> None:
        """Begin with the sites."""
        self._loop = asyncio.get_running_loop()
        self.push_screen(SitesScreen())
        self._begun()

    def leave(self) -> None:
        """End; for handlers of signals, which do not wake the loop by themselves."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.exit)

    # The source's side; all of it is called in the source's thread.

    def take(self, report: Report) -> None:
        """Show a report."""
        self.post_message(self.Came(report=report))

    def say(self, text: str) -> None:
        """Show a remark; "" for none."""
        self.post_message(self.Came(remark=text))

    def fail(self, error: BaseException) -> None:
        """End with this error."""
        self.error = error
        self.post_message(self.Came(error=error))

    @property
    def wanted(self) -> bool:
        """Whether reports are wanted now."""
        return not self.view.paused

    def on_top_app_came(self, came: Came) -> None:
        """Show what came."""
        if came.error is not None:
            self.exit()
        if came.remark is not None:
            self.view.say(came.remark)
        if came.remark is not None or (came.report is not None and self.view.take(came.report)):
            self.renew()

    def renew(self) -> None:
        """Let all screens show the view."""
        for screen in self.screen_stack:
            if isinstance(screen, Base) and screen.is_mounted:
                screen.renew()

    def action_pause(self) -> None:
        """Hold what is shown, or let it go on."""
        self.view.paused = not self.view.paused
        self.renew()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(HelpScreen())

    def action_write(self) -> None:
        """Ask for a name, and write the report."""
        report = self.view.report
        if report is None:
            self._remark("nothing to write yet")
            return
        host = "".join(c if c.isalnum() or c in "-." else "_" for c in report.host.hostname)
        name = f"closetrace-{host}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(report.ended))}.json"
        self.push_screen(WriteScreen(report, name, self._start_writing))

    def _start_writing(self, name: str, report: Report) -> None:
        self._remark(f"writing {name}")
        self.run_worker(lambda: self._written(name, report), thread=True)

    def _written(self, name: str, report: Report) -> None:
        try:
            self._write(name, report)
        except (ClosetraceError, OSError) as error:
            self.say(f"not written: {clean(getattr(error, 'strerror', None) or str(error))}")
            return
        self.written.append(name)
        self.say(f"written to {clean(name)}")

    def _remark(self, text: str) -> None:
        self.view.say(text)
        self.renew()
