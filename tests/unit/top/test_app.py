"""The live screen, driven by its keys at 80x24. What is asserted is what a person would see."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.unit.builders import S, accepted, connection, report, stack, touch
from tests.unit.cases import HOSTILE
from tracer.commands.top import _write
from tracer.errors import ClosetraceError
from tracer.model.connection import Actor
from tracer.model.finding import Report
from tracer.model.states import Op
from tracer.top.app import TopApp
from tracer.top.view import View

Play = Callable[[TopApp, Pilot[None]], Awaitable[None]]


def play(how: Play, *reports: Report, size: tuple[int, int] = (80, 24)) -> TopApp:
    """Show the reports, then do what ``how`` says."""

    async def run() -> TopApp:
        app = TopApp(View("own trace"), _write)
        async with app.run_test(size=size) as pilot:
            for one in reports:
                app.take(one)
            await pilot.pause()
            await how(app, pilot)
        return app

    return asyncio.run(run())


def seen(app: TopApp) -> str:
    """The characters on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def leak(count: int = 3, at_s: int = 0) -> Report:
    several = (connection(serial) for serial in range(1, count + 1))
    whole = report(*several, accepted(900, last=touch(Op.RECV, 1.0, 5, stack=stack("serve", "main"))))
    return replace(whole, now_ns=whole.now_ns + at_s * S)


async def write_to(app: TopApp, pilot: Pilot[None], name: str) -> None:
    """Write the report to this file."""
    await pilot.press("w")
    prompt = app.screen.query_one("#name", Input)
    assert prompt.value.startswith("closetrace-host1-")
    assert prompt.value.endswith(".json")
    await pilot.press("x")
    assert prompt.value == "x", "the name was selected"
    prompt.value = name
    await pilot.press("enter")
    await app.workers.wait_for_complete()
    await pilot.pause()


def test_sites_are_seen() -> None:
    """The headline, the source, the titles and each site, and no palette of Textual."""

    async def how(app: TopApp, _pilot: Pilot[None]) -> None:
        text = seen(app)
        assert "4 sockets in CLOSE_WAIT" in text
        assert "by sockets, from own trace of host1, app (pid 100)" in text
        assert "+minute" in text
        assert "idle-in-pool" in text
        assert "read_reply" in text
        assert "^p" not in text, "no palette"

    play(how, leak())


def test_growth_is_seen() -> None:
    """A site that grew by two says so in both columns."""

    async def how(app: TopApp, _pilot: Pilot[None]) -> None:
        row = next(one for one in seen(app).splitlines() if "read_reply" in one)
        assert row.split()[:3] == ["5", "+2", "+2"]

    play(how, leak(3), leak(5, 10))


def test_waits_for_the_first_report() -> None:
    """Before it, keys do no harm, and there is nothing to write."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        assert "waiting for the first report" in seen(app)
        await pilot.press("w", "enter", "s")
        assert "nothing to write yet" in seen(app)

    play(how)


def test_filter_as_you_type() -> None:
    """Each letter narrows the list. Enter keeps the filter, escape takes it away."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"serv")
        assert "read_reply" not in seen(app)
        assert "serve" in seen(app)
        await pilot.press("enter")
        assert "filter: serv" in seen(app)
        await pilot.press("escape")
        assert "read_reply" in seen(app)

    play(how, leak())


def test_letters_are_the_filters_while_it_is_typed() -> None:
    """q, p, s and w do nothing else then."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"qpsw")
        assert app.is_running
        assert not app.view.paused
        assert "filter: qpsw" in seen(app)

    play(how, leak())


def test_sort() -> None:
    """The key goes through all orders, and round."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        for name in ("growth", "age", "process", "sockets"):
            await pilot.press("s")
            assert f"by {name}" in seen(app)

    play(how, leak())


def test_site_socket_and_back() -> None:
    """Enter opens a site, then a socket; escape goes back, and never out."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        text = seen(app)
        assert "site 1: 3 sockets" in text
        assert "Do:" in text
        assert "3 sockets, by age" in text
        await pilot.press("tab", "down", "enter")
        text = seen(app)
        assert "F FIN from the peer 65.000 s" in text
        assert "127.0.0.1:40002 -> 127.0.0.1:8081" in text
        assert "still CLOSE_WAIT" in text
        await pilot.press("escape")
        assert "3 sockets, by age" in seen(app)
        await pilot.press("escape")
        assert "+minute" in seen(app)
        await pilot.press("escape", "escape")
        assert app.is_running

    play(how, leak())


def test_open_site_goes_on() -> None:
    """A site is told as it is now, and still stands when it has left."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        app.take(leak(7, 10))
        await pilot.pause()
        assert "7 sockets, by age" in seen(app)
        app.take(report())
        await pilot.pause()
        assert "this site has left" in seen(app)
        assert "site 1: 7 sockets" in seen(app)

    play(how, leak())


def test_cursor_stays_on_its_site() -> None:
    """The site under a cursor that was moved is opened, though it has become the first."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        app.take(report(*(accepted(n, last=touch(Op.RECV, 1.0, 5, stack=stack("serve", "main"))) for n in range(9))))
        await pilot.pause()
        await pilot.press("enter")
        assert "9 sockets" in seen(app)

    play(how, leak())


def test_pause() -> None:
    """What comes meanwhile is not shown, and none is wanted."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("p")
        assert not app.wanted
        app.take(leak(9, 10))
        await pilot.pause()
        assert "PAUSED" in seen(app)
        assert "4 sockets in CLOSE_WAIT" in seen(app)
        await pilot.press("p")
        app.take(leak(9, 20))
        await pilot.pause()
        assert "10 sockets in CLOSE_WAIT" in seen(app)

    play(how, leak())


@pytest.mark.parametrize(("name", "begins"), [("a.json", "{"), ("a.html", "<!DOCTYPE html>"), ("a.txt", "4 sockets")])
def test_write(name: str, begins: str, tmp_path: Path) -> None:
    """The end of the file's name tells the form."""
    path = tmp_path / name

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await write_to(app, pilot, str(path))
        assert app.written == [str(path)]
        assert "written to" in seen(app)

    play(how, leak(), size=(200, 24))
    assert path.read_text(encoding="utf-8").lower().startswith(begins.lower())
    if name.endswith(".json"):
        assert len(json.loads(path.read_text(encoding="utf-8"))["sites"]) == 2


def test_write_that_fails() -> None:
    """Why is on the screen, which goes on."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await write_to(app, pilot, "/nonexistent/a.json")
        assert "not written: No such file or directory" in seen(app)

    play(how, leak())


def test_help() -> None:
    """All keys, in 24 lines; q leaves the help alone."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        text = seen(app)
        assert "filter as you type" in text
        assert "docs/verdicts.md" in text, "it fits 24 lines"
        await pilot.press("q")
        assert app.is_running
        assert "+minute" in seen(app)

    play(how, leak())


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_quit(key: str) -> None:
    """Both keys end it without an error."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert not app.is_running

    assert play(how, leak()).return_code == 0


def test_error_of_the_source_ends_it() -> None:
    """It is kept for who began the screen."""

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        app.fail(ClosetraceError("no more"))
        await pilot.pause()

    assert str(play(how, leak()).error) == "no more"


@pytest.mark.parametrize("name", ["[red]evil[/red]", "[@click=app.quit]evil", "[/]", "[bold", "\\[x]", HOSTILE])
def test_hostile_names_are_inert(name: str) -> None:
    """A program can be called anything: no markup, no action, no character that a terminal obeys."""
    by = Actor(100, 100, name)
    calls = stack(name, "main")
    bad = [
        connection(n, last=touch(Op.RECV, 1.0, 9, actor=by, stack=calls), opened=touch(Op.CONNECT, 1.0, 0, actor=by))
        for n in range(1, 4)
    ]
    whole = report(*bad, target=name)

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        for keys in ((), ("enter",), ("tab", "enter"), ("question_mark",), ("escape", "escape", "w")):
            await pilot.press(*keys)
            text = seen(app)
            assert all(line.isprintable() for line in text.split("\n"))
            if keys in ((), ("enter",)) and name is not HOSTILE:
                assert name in text
        await pilot.press("escape", "escape")
        await pilot.click("#sites", offset=(60, 1))
        await pilot.click("#status", offset=(20, 1))
        assert app.is_running

    play(how, whole, size=(120, 50))


@pytest.mark.parametrize("value", ["1", None])
def test_no_color(value: Optional[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR nothing has a colour, and the cursor is still seen."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        colors, reversed_text = set(), ""
        for keys in ((), ("enter",)):
            await pilot.press(*keys)
            for y in range(24):
                for segment in app.screen._compositor.render_strips()[y]:
                    style = segment.style
                    if style is not None:
                        colors |= {one.name for one in (style.color, style.bgcolor) if one and not one.is_default}
                        reversed_text += segment.text if style.reverse else ""
        assert "read_reply" in reversed_text
        assert bool(colors) == (value is None)

    play(how, leak())


def test_ten_thousand_sockets() -> None:
    """A site of 10,000 sockets opens, moves, filters and renews in little CPU time."""
    many = report(*(connection(serial) for serial in range(1, 10_001)))

    async def how(app: TopApp, pilot: Pilot[None]) -> None:
        began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        await pilot.press("enter", "tab", "end")
        assert ":50000 ->" in seen(app)
        await pilot.press("slash", *"49999")
        assert "1 of 10000 sockets" in seen(app)
        await pilot.press("escape")
        app.take(replace(many, now_ns=many.now_ns + 5 * S))
        await pilot.pause()
        assert "10000 sockets" in seen(app)
        assert len(list(app.screen.walk_children())) < 40, "no widget for each socket"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - began < 10

    play(how, many)
