"""Where the threads behind a leak site are now, as lines."""

from __future__ import annotations

from tracer.diagnose import present, words
from tracer.model.finding import Site
from tracer.model.thread import Present
from tracer.reports.printable import clean
from tracer.reports.text import stacks
from tracer.reports.text.cells import wrap

_PROSE = 110
_PLACES = 3
"""Groups of threads whose place is told."""


def render(site: Site, now_ns: int, *, width: int, color: bool, all_frames: bool) -> list[str]:
    """Where the threads are now. A stack is shown if the program's functions are on it, and not those above again."""
    out: list[str] = []
    shown = site.now if all_frames else site.now[:_PLACES]
    for one in shown:
        line = f"now: {present.sentence(one, now_ns)}"
        out += ["", *wrap(clean(line), min(width, _PROSE), first="  ", rest="    ")]
        if one.stack is not None and (all_frames or _tells_more(one, site)):
            out += stacks.render(one.stack, one.note, width=width, color=color, all_frames=all_frames)
    rest = sum(len(one.threads) for one in site.now[len(shown) :])
    if rest:
        out += ["", f"  now: {words.plural(rest, 'thread')} elsewhere (--all-frames shows them)"]
    if site.not_looked_at and site.now:
        out += ["", f"  now: {words.plural(site.not_looked_at, 'thread')} more, not looked at"]
    return out


def _tells_more(one: Present, site: Site) -> bool:
    ours = present.place(one) is not None and one.stack is not None
    return ours and (site.stack is None or one.stack is None or not stacks.same_way(one.stack, site.stack))
