"""Writes what closetrace shows of docs/transcripts/NAME.json on terminals of 80 and 200 columns.

``python docs/make_transcripts.py``: NAME.80.txt and NAME.200.txt are what ``closetrace report NAME.json`` prints,
top.80.txt and top.200.txt the screens of ``closetrace top`` with demo.json. ``tests/advice/stories.py`` records them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual.pilot import Pilot

from tracer.model.finding import Report
from tracer.reports.json.reading.report import from_text
from tracer.reports.text import table
from tracer.top.app import TopApp
from tracer.top.view import View

HERE = Path(__file__).resolve().parent / "transcripts"
WIDTHS = (80, 200)
_HEIGHT = 24
_SCREENS = (
    ("the sites", (), "idle-in-pool"),
    ("a site (enter)", ("enter",), "8 sockets, by age"),
    ("a socket (tab, enter)", ("enter", "tab", "enter"), "The end (FIN) is unread."),
)
"""Titles, the keys that lead there, and what is seen there and not before."""
_STILL = 5


def transcripts() -> dict[Path, str]:
    """The text files and their contents."""
    found = {}
    for width in WIDTHS:
        for recording in sorted(HERE.glob("*.json")):
            report = from_text(recording.read_bytes())
            found[recording.with_suffix(f".{width}.txt")] = table.render(report, width=width, color=False)
        demo = from_text((HERE / "demo.json").read_bytes())
        screens = (f"[{title}]\n{_screen(demo, width, keys, seen)}\n" for title, keys, seen in _SCREENS)
        found[HERE / f"top.{width}.txt"] = "\n".join(screens)
    return found


def _screen(report: Report, width: int, keys: tuple[str, ...], seen: str) -> str:
    """What is seen of the report after these keys, once ``seen`` is there."""

    async def run() -> str:
        app = TopApp(View("own trace"), lambda *_: None)
        async with app.run_test(size=(width, _HEIGHT)) as pilot:
            app.take(report)
            await _settled(app, pilot, "read_response", before="")
            for number, key in enumerate(keys, 1):
                before = _text(app)
                await pilot.press(key)
                await _settled(app, pilot, seen if number == len(keys) else "", before)
            return _text(app)

    return asyncio.run(run())


async def _settled(app: TopApp, pilot: Pilot[None], seen: str, before: str) -> None:
    """Wait until ``seen`` is on the screen, which is another one than ``before``, and has stayed as it is."""
    last, still = "", 0
    while still < _STILL or seen not in last or last == before:
        await pilot.pause(0.02)
        now = _text(app)
        last, still = now, still + 1 if now == last else 0


def _text(app: TopApp) -> str:
    """The characters on the screen, without scroll bars, which Textual draws as it likes."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.encode("ascii", "replace").decode().rstrip("? ") for strip in strips)


if __name__ == "__main__":
    for path, text in transcripts().items():
        path.write_text(text, encoding="utf-8")
