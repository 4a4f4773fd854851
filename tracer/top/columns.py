"""Tables of the screen as plain text: columns that fit a width. No text has anything that a terminal might obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Generic, TypeVar

from tracer.reports.printable import clean
from tracer.reports.text.cells import fit, pad, width_of

Row = TypeVar("Row")
_GAP = "  "


@dataclass(frozen=True)
class Column(Generic[Row]):
    """``cell`` makes a row's text for so many columns of the terminal; ``width`` 0: all that the others leave.

    The column is left out on a terminal of fewer than ``needs`` columns.
    """

    title: str
    width: int
    cell: Callable[[Row, int], str]
    right: bool = False
    needs: int = 0


def shown(columns: Sequence[Column[Row]], width: int) -> list[tuple[Column[Row], int]]:
    """The columns for a terminal of ``width`` columns, each with its own width."""
    chosen = [one for one in columns if width >= one.needs]
    rest = width - sum(one.width for one in chosen) - len(_GAP) * (len(chosen) - 1)
    return [(one, one.width or max(rest, 1)) for one in chosen]


def header(columns: Sequence[Column[Row]], width: int) -> str:
    """The titles as one line of exactly ``width`` columns."""
    return _line([_aligned(one.title, room, one.right) for one, room in shown(columns, width)], width)


def line(columns: Sequence[Column[Row]], row: Row, width: int) -> str:
    """A row as one line of exactly ``width`` columns."""
    return _line([_aligned(one.cell(row, room), room, one.right) for one, room in shown(columns, width)], width)


def _aligned(text: str, width: int, right: bool) -> str:
    text = fit(clean(text), width)
    return " " * (width - width_of(text)) + text if right else pad(text, width)


def _line(cells: Sequence[str], width: int) -> str:
    return pad(fit(_GAP.join(cells), width), width)
