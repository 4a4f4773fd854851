"""Times as people type them: ``90``, ``1.5``, ``90s``, ``5m``, ``1h``. Commands get seconds."""

from __future__ import annotations

from typing import Any, Optional

import click

_UNITS = {"s": 1, "m": 60, "h": 3600}
_WAYS = "give seconds, or a number with s, m or h: 1.5, 90s, 5m, 1h"
_LEAST_S = 0.1


class Time(click.ParamType):
    """A time of 0.1 s to ``most_s`` seconds. ``nan`` and ``inf``, which float() accepts, are refused."""

    name = "TIME"

    def __init__(self, most_s: float = 1e8) -> None:
        self._most_s = most_s

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        """Return the seconds; fails with click's usage error."""
        text = str(value)
        factor = _UNITS.get(text[-1:], 1)
        try:
            seconds = float(text[:-1] if text[-1:] in _UNITS else text) * factor
        except ValueError:
            self.fail(f"{text!r} is not a time: {_WAYS}.", param, ctx)
        if not _LEAST_S <= seconds <= self._most_s:
            self.fail(f"{text} is not between {_LEAST_S:g} and {self._most_s:g} seconds.", param, ctx)
        return seconds


TIME = Time()
