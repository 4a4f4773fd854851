"""Rows as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

_PERCENT = ("share_of_untraced", "tracer_cpu", "cpu_at_rest")


def _cell(column: str, value: Any) -> str:
    if isinstance(value, dict) and "median" in value:
        middle, low, high = (_number(column, value[part]) for part in ("median", "low", "high"))
        return middle if low == high else f"{middle} ({low} to {high})"
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items() if count) or "none"
    return _number(column, value) if isinstance(value, float) else str(value)


def _number(column: str, value: float) -> str:
    if column in _PERCENT:
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One table. Where a row has no value for a column, the cell is empty. Spreads are quartiles."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(column, row[column]) if column in row else "" for column in columns] for row in rows]
    heads = [column.replace("_", " ") for column in columns]
    return tabulate(cells, heads, tablefmt="github", disable_numparse=True)
