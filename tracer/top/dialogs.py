"""What lies over a screen for a while: the help, and the question for a file's name."""

from __future__ import annotations

from typing import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tracer.model.finding import Report

HELP = """\
closetrace top shows the code that leaves sockets in CLOSE_WAIT, live.

  up, down, page up, page down, home, end    move
  enter     open the site, or the socket
  tab       from a site's story to its sockets and back
  escape    back; in the filter: no filter
  /         filter as you type: rows that have each of the words
  s         sort by the next column
  p         pause: nothing changes until p is pressed again
  w         write the whole report to a file: .json, .html, .pprof, else text
  ?         this help
  q         quit; Ctrl-C does it, too

+minute   sockets that came in the last minute, less those that left
+began    the same since this screen began
oldest    for how long the oldest socket lingers

What a verdict means: docs/verdicts.md.
"""


class HelpScreen(ModalScreen[None]):
    """The keys."""

    BINDINGS = [Binding("escape,question_mark,enter,q", "app.pop_screen", "Back", priority=True)]

    def compose(self) -> ComposeResult:
        """One text."""
        with VerticalScroll(id="help"):
            yield Static(HELP, markup=False)


class WriteScreen(ModalScreen[None]):
    """Asks for a file's name, and writes the report that was seen when it was asked for."""

    BINDINGS = [Binding("escape", "app.pop_screen", "Back")]

    def __init__(self, report: Report, name: str, write: Callable[[str, Report], None]) -> None:
        super().__init__()
        self._report, self._name, self._write = report, name, write

    def compose(self) -> ComposeResult:
        """A line to type in."""
        yield Input(self._name, id="name")  # it is selected: what is typed takes its place

    @on(Input.Submitted, "#name")
    def _named(self, event: Input.Submitted) -> None:
        self.app.pop_screen()
        if event.value:
            self._write(event.value, self._report)
