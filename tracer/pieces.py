"""A long text in pieces: a large report is never in memory as a whole, and has a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Iterator


def some(pieces: Iterator[str], size: int) -> str:
    """The next pieces as one text of about ``size`` characters; empty if there are no more."""
    return "".join(_next(pieces, size))


def _next(pieces: Iterator[str], size: int) -> Iterator[str]:
    for piece in pieces:
        yield piece
        size -= len(piece)
        if size <= 0:
            return
