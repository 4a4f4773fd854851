"""Takes out of function names what a compiler, a runtime or a build numbers anew each time."""

from __future__ import annotations

import re
from typing import Callable

Rename = Callable[[str], str]


def replaced(*rules: tuple[str, str]) -> Rename:
    """A function that applies each rule (a regular expression, and what stands in its place) in turn."""
    compiled = [(re.compile(pattern), by) for pattern, by in rules]

    def rename(name: str) -> str:
        for pattern, by in compiled:
            name = pattern.sub(by, name)
        return name

    return rename
