"""How far work has come that may take seconds. Who does it says so; a command may show that to a person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Underway:
    """Where work is told. This one shows nothing; ``tracer/reports/text/progress.py`` has one that does."""

    def begin(self, what: str, total: int = 0) -> None:
        """Say what is done now, and of how many things it consists; 0: nobody knows."""

    def at(self, done: int) -> None:
        """Say that so many are done. It may be called thousands of times."""

    def end(self) -> None:
        """Say that this work is over."""

    def each(self, what: str, things: Sequence[T]) -> Iterator[T]:
        """Yield ``things``, and tell the way through them."""
        if not things:
            return
        with self.during(what, len(things)):
            for done, thing in enumerate(things):
                self.at(done)
                yield thing

    @contextlib.contextmanager
    def during(self, what: str, total: int = 0) -> Iterator[None]:
        """Tell ``what`` for the time of the block, however it ends."""
        self.begin(what, total)
        try:
            yield
        finally:
            self.end()
