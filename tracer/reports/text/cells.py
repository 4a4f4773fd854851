"""Text for a terminal: cut, padded and wrapped so that nothing is wider than asked."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable
from typing import Any

import click

_MOST_MARKED = 4
"""Characters of a text for each column that it may take. Marks take no column; without end they cover other lines."""


def width_of(text: str) -> int:
    """Columns that ``text`` takes on a terminal (Unicode annex 11: wide characters take two, marks none)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, width: int) -> str:
    """``text``, its end cut to ``...`` if it is wider than ``width`` columns, or has very many marks on its letters."""
    most = _MOST_MARKED * width
    if width_of(text) <= width and len(text) <= most:
        return text
    if width <= 3:
        return "." * max(width, 0)
    room, end = width - 3, 0
    for end, character in enumerate(text):
        room -= width_of(character)
        if room < 0 or end >= most:
            break
    return text[:end] + "..."


def fit_left(text: str, width: int) -> str:
    """``text``, its beginning cut to ``...``: for dotted names, whose end tells most."""
    return fit(text[::-1], width)[::-1]


def pad(text: str, width: int) -> str:
    """``text`` filled with spaces on the right to ``width`` columns."""
    return text + " " * max(width - width_of(text), 0)


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of ``text``, broken between words only, so that no address or name is torn."""
    lines = textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def style(text: str, color: bool, **how: Any) -> str:
    """``text`` with ANSI styles (click.style's keywords) if ``color``."""
    return click.style(text, **how) if color and text else text


def lines(parts: Iterable[str]) -> str:
    """One text of lines, none with blanks at its end."""
    return "\n".join(part.rstrip() for part in parts)
