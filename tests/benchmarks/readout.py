"""Reads figures of a run for the documents: finds rows, takes medians, formats cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

Row = dict[str, Any]
Results = dict[str, Any]

NONE = "-"


def rows_of(results: Results, name: str) -> list[Row]:
    """The rows of that name; empty if they were not measured."""
    return list(results["rows"].get(name, ()))


def find(rows: Sequence[Row], **where: object) -> Optional[Row]:
    """The first row that has all these values, None if there is none."""
    return next((row for row in rows if all(row.get(key) == value for key, value in where.items())), None)


def value(row: Optional[Row], column: str) -> Optional[float]:
    """The figure in a column, or its median; None if there is none."""
    found = None if row is None else row.get(column)
    return found["median"] if isinstance(found, dict) else found


def ratio(above: Optional[float], below: Optional[float]) -> Optional[float]:
    """``above`` / ``below``, None if one was not measured."""
    return above / below if above is not None and below else None


def number(figure: Optional[float], digits: Optional[int] = None) -> str:
    """A number for people: about three figures, or ``digits`` after the point."""
    if figure is None:
        return NONE
    if digits is None:
        digits = 0 if abs(figure) >= 100 or figure == int(figure) else 1 if abs(figure) >= 10 else 2
    return f"{figure:,.{digits}f}"


def percent(figure: Optional[float], digits: int = 0) -> str:
    """A share as percentage."""
    return NONE if figure is None else f"{100 * figure:.{digits}f} %"


def share(row: Optional[Row], column: str = "share_of_untraced") -> str:
    """A share with its spread: ``84 % (80 to 91)``."""
    found = None if row is None else row.get(column)
    if found is None:
        return NONE
    low, high = (f"{100 * found[part]:.0f}" for part in ("low", "high"))
    return f"{percent(found['median'])} ({low} to {high})"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|" + " --- |" * len(head))
    return "\n".join(lines) + "\n"
