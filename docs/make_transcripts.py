"""Writes what closetrace shows of docs/transcripts/NAME.json on terminals of 80 and 200 columns.

``python docs/make_transcripts.py``: NAME.80.txt and NAME.200.txt are what ``closetrace report NAME.json`` prints,
top.80.txt and top.200.txt the screens of ``closetrace top`` with demo.json. ``tests/advice/stories.py`` records them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tracer.model.finding import Report
from tracer.reports.json.reading.report import from_text
from tracer.reports.text import table
from tracer.top.app import TopApp
from tracer.top.view import View

HERE = Path(__file__).resolve().parent / "transcripts"
WIDTHS = (80, 200)
_HEIGHT = 24
_KEYS = (("the sites", ()), ("a site (enter)", ("enter",)), ("a socket (tab, enter)", ("enter", "tab", "enter")))


def transcripts() -> dict[Path, str]:
    """The text files and their contents."""
    found = {}
    for width in WIDTHS:
        for recording in sorted(HERE.glob("*.json")):
            report = from_text(recording.read_bytes())
            found[recording.with_suffix(f".{width}.txt")] = table.render(report, width=width, color=False)
        demo = from_text((HERE / "demo.json").read_bytes())
        screens = (f"[{title}]\n{_screen(demo, width, keys)}\n" for title, keys in _KEYS)
        found[HERE / f"top.{width}.txt"] = "\n".join(screens)
    return found


def _screen(report: Report, width: int, keys: tuple[str, ...]) -> str:
    """What is seen of the report after these keys; without scroll bars, which Textual draws as it likes."""

    async def run() -> str:
        app = TopApp(View("own trace"), lambda *_: None)
        async with app.run_test(size=(width, _HEIGHT)) as pilot:
            app.take(report)
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            strips = app.screen._compositor.render_strips()
        return "\n".join(strip.text.encode("ascii", "replace").decode().rstrip("? ") for strip in strips)

    return asyncio.run(run())


if __name__ == "__main__":
    for path, text in transcripts().items():
        path.write_text(text, encoding="utf-8")
