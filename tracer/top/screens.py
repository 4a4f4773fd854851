"""The screens: the sites, a site with its sockets, a socket's life."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from tracer.diagnose import words
from tracer.reports.printable import clean
from tracer.reports.text import site as site_report
from tracer.reports.text import timeline
from tracer.reports.text.cells import wrap
from tracer.top import rows
from tracer.top.drawing import drawn
from tracer.top.listing import Listing

if TYPE_CHECKING:
    from tracer.top.view import View


class Top(Protocol):
    """What the screens need of the application."""

    view: View
    colored: bool


class Base(Screen[None]):
    """What all screens have: the application with its view, and its colours."""

    @property
    def top(self) -> Top:
        """The application."""
        return cast("Top", self.app)

    def say(self, name: str, lines: Sequence[str]) -> None:
        """Show lines of the text reporter. They may have its colours, and are no markup."""
        self.query_one(f"#{name}", Static).update(Text.from_ansi("\n".join(lines)))

    def renew(self) -> None:
        """Show what the view has now."""


class Filtered(Base):
    """A screen with a list that can be filtered and sorted."""

    BINDINGS = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
    ]
    ORDERS: Sequence[Any] = ()

    def __init__(self) -> None:
        super().__init__()
        self.wanted = ""
        self._order = 0

    def make_prompt(self) -> Input:
        """The line to type the filter in, not seen yet."""
        prompt = Input(placeholder="filter: words that a row has to have", id="filter", select_on_focus=False)
        prompt.display = False
        return prompt

    @property
    def order(self) -> Any:
        """The way in which the list is sorted now."""
        return self.ORDERS[self._order]

    def action_filter(self) -> None:
        """Begin to type a filter."""
        prompt = self.query_one("#filter", Input)
        prompt.display = True
        prompt.focus()

    def action_sort(self) -> None:
        """Sort in the next way."""
        self._order = (self._order + 1) % len(self.ORDERS)
        self.renew()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        self.wanted = event.value
        self.renew()

    @on(Input.Submitted, "#filter")
    def leave_filter(self) -> None:
        """The filter stays, and the keys are the list's again."""
        self.query_one("#filter", Input).display = False
        self.query_one(Listing).focus()

    def action_back(self) -> None:
        """Take the filter away; if there is none, go to the screen before."""
        prompt = self.query_one("#filter", Input)
        if prompt.display or prompt.value:
            prompt.value = ""
            self.leave_filter()
        elif len(self.app.screen_stack) > 2:
            self.app.pop_screen()


class SitesScreen(Filtered):
    """All sites."""

    BINDINGS = [Binding("escape", "back", "No filter", show=False)]
    ORDERS = rows.SITE_ORDERS

    def compose(self) -> ComposeResult:
        """Two lines, the list, the filter, the keys."""
        yield Static(id="status", markup=False)
        yield Listing(rows.SITE_COLUMNS, "no socket lingers, or none that the filter lets through", id="sites")
        yield self.make_prompt()
        yield Footer(show_command_palette=False)

    def renew(self) -> None:
        """Show the rows of the view."""
        view = self.top.view
        lines = Text("\n".join(view.lines(self.order.name, self.wanted)), no_wrap=True, overflow="ellipsis")
        self.query_one("#status", Static).update(lines)
        self.query_one("#sites", Listing).show(rows.chosen(view.rows(), self.wanted, self.order.by))

    def on_mount(self) -> None:
        """Begin with what there is."""
        self.renew()

    @on(Listing.Opened)
    def _open(self, event: Listing.Opened) -> None:
        self.app.push_screen(SiteScreen(event.row.key))


class SiteScreen(Filtered):
    """One site: its story as the report tells it, and its sockets. The one that has the focus is the larger one."""

    BINDINGS = [Binding("escape", "back", "Back"), Binding("tab", "app.focus_next", "Story/sockets")]
    ORDERS = rows.SOCKET_ORDERS

    def __init__(self, key: Hashable) -> None:
        super().__init__()
        self._key = key

    def compose(self) -> ComposeResult:
        """The story above, the sockets below."""
        with VerticalScroll(id="story"):
            yield Static(id="told", markup=False)
        yield Static(id="which", markup=False)
        yield Listing(rows.SOCKET_COLUMNS, "no socket that the filter lets through", id="sockets")
        yield self.make_prompt()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the story."""
        self.renew()
        self.query_one("#story").focus()

    def on_resize(self) -> None:
        """The story is made for the width of the screen."""
        self.renew()

    def renew(self) -> None:
        """Show the site as it is now. Of a site that has left, what was last seen stays."""
        report, site = self.top.view.report, self.top.view.site(self._key)
        which = self.query_one("#which", Static)
        if report is None or site is None:
            which.update(Text("this site has left: none of its sockets lingers any more"))
            return
        number = report.sites.index(site) + 1
        width = max(self.size.width - 4, 40)
        told = site_report.render(site, number, report.now_ns, width=width, color=self.top.colored, all_frames=False)
        self.say("told", told)
        found = rows.chosen(rows.sockets(site, report.now_ns), self.wanted, self.order.by)
        several = words.plural(site.count, "socket")
        said = f"{len(found)} of {several}" if self.wanted else several
        which.update(Text(f"{said}, by {self.order.name}{' (paused)' if self.top.view.paused else ''}"))
        self.query_one("#sockets", Listing).show(found)

    @on(Listing.Opened)
    def _open(self, event: Listing.Opened) -> None:
        self.app.push_screen(SocketScreen(self._key, event.row))


class SocketScreen(Base):
    """One socket's life: drawn, then told."""

    BINDINGS = [Binding("escape", "back", "Back")]

    def __init__(self, site: Hashable, row: rows.SocketRow) -> None:
        super().__init__()
        self._site, self._row = site, row

    def compose(self) -> ComposeResult:
        """A page that scrolls."""
        with VerticalScroll(id="story"):
            yield Static(id="told", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with what there is."""
        self.query_one("#story").focus()

    def on_resize(self) -> None:
        """The line is drawn for the width of the screen."""
        self.renew()

    def renew(self) -> None:
        """Show the socket as it is now. Of one that has left, what was last seen stays."""
        report, site = self.top.view.report, self.top.view.site(self._site)
        if report is None:
            return
        now = rows.sockets(site, report.now_ns) if site is not None else []
        found = next((row for row in now if row.key == self._row.key), None)
        self._row = found or self._row
        c = self._row.finding.connection
        width = max(self.size.width - 4, 40)
        told = timeline.render(c, report.clock_offset_ns, width=width, color=self.top.colored)
        left = [] if found is not None else ["it does not linger any more; this is how it was last seen", ""]
        self.say("told", [*left, *drawn(c, width), "", told, "", *_evidence(self._row, width)])

    def action_back(self) -> None:
        """Go back to the site."""
        self.app.pop_screen()


def _evidence(row: rows.SocketRow, width: int) -> list[str]:
    said = [line for one in row.finding.evidence for line in wrap(clean(one), width, first="  ", rest="    ")]
    return [f"{row.finding.verdict.value}:", *said]
