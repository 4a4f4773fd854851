"""A list of rows that draws only the lines that are seen, so that 10,000 sockets cost no more than ten."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracer.top.columns import Column, header, line


class Keyed(Protocol):
    """A row that can be found again in the next list."""

    @property
    def key(self) -> Hashable:
        """Equal for the same row in the next list."""


Row = TypeVar("Row", bound=Keyed)


class Listing(ScrollView, Generic[Row], can_focus=True):
    """Titles, and the rows below them. When a new list comes, a cursor that was moved stays on its row.

    A text is drawn as it is: it never is markup.
    """

    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home", "move(-1000000000)", "First", show=False),
        Binding("end", "move(1000000000)", "Last", show=False),
        Binding("enter", "open", "Open", key_display="enter"),
    ]

    class Opened(Message):
        """The row under the cursor was chosen."""

        def __init__(self, row: Any) -> None:
            self.row = row
            super().__init__()

    def __init__(self, columns: Sequence[Column[Row]], nothing: str, *, id: str) -> None:
        super().__init__(id=id)
        self._columns, self._nothing = columns, nothing
        self.rows: Sequence[Row] = ()
        self.cursor = 0
        self._moved = False

    def show(self, rows: Sequence[Row]) -> None:
        """Take these rows in place of those before."""
        key = self.rows[self.cursor].key if self.rows and self._moved else None
        found = next((number for number, row in enumerate(rows) if row.key == key), self.cursor)
        self.rows = rows
        self.virtual_size = Size(0, len(rows) + 1)
        self._go(found)

    def _go(self, number: int) -> None:
        self.cursor = max(0, min(number, len(self.rows) - 1))
        self._bring_into_view()
        self.refresh()

    def _bring_into_view(self) -> None:
        page, top = self._page(), int(self.scroll_target_y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, immediate=True)

    def _page(self) -> int:
        return max(self.size.height - 1, 1)

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self._bring_into_view()

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._moved = True
        self._go(self.cursor + rows)

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.action_move(pages * self._page())

    def action_open(self) -> None:
        """Tell that the row under the cursor is chosen, on which it stays."""
        self._moved = True
        if self.rows:
            self.post_message(self.Opened(self.rows[self.cursor]))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a double click opens the row."""
        number = int(self.scroll_offset.y) + event.y - 1
        if event.y >= 1 and number < len(self.rows):
            self.action_move(number - self.cursor)
            if event.chain == 2:
                self.action_open()

    def render_line(self, y: int) -> Strip:
        """The titles, or the row that is seen there."""
        width = self.scrollable_content_region.width
        style, text = self.rich_style, ""
        number = int(self.scroll_offset.y) + y - 1
        if y == 0:
            text, style = header(self._columns, width), style + Style(bold=True)
        elif not self.rows and y == 1:
            text = self._nothing
        elif number < len(self.rows):
            text = line(self._columns, self.rows[number], width)
            if number == self.cursor:
                style += Style(reverse=True) if self.has_focus else Style(underline=True)
        return Strip([Segment(text, style)]).adjust_cell_length(width, self.rich_style)
