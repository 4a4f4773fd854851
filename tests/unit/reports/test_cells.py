"""Texts cut for a terminal. Oracle: the columns that each character takes."""

from __future__ import annotations

import time

import pytest

from tracer.reports.text.cells import fit, fit_left, width_of


@pytest.mark.parametrize(
    ("text", "width", "cut", "cut_left"),
    [
        ("short", 5, "short", "short"),
        ("longer", 5, "lo...", "...er"),
        ("\u6f22\u6f22\u6f22", 6, "\u6f22\u6f22\u6f22", "\u6f22\u6f22\u6f22"),
        ("\u6f22\u6f22\u6f22\u6f22", 6, "\u6f22...", "...\u6f22"),
        ("e\u0301" * 5, 5, "e\u0301" * 5, "e\u0301" * 5),
        ("longer", 2, "..", ".."),
        ("longer", 0, "", ""),
    ],
)
def test_what_is_too_wide_is_cut(text: str, width: int, cut: str, cut_left: str) -> None:
    """At its end, or at its beginning."""
    assert fit(text, width) == cut
    assert fit_left(text, width) == cut_left


@pytest.mark.parametrize("text", ["\u6f22" * 65536, "\u6f22\u0301" * 32768, "\u0301" * 65536, "a" + "\u0301" * 65536])
def test_the_longest_names(text: str) -> None:
    """They are cut in a moment, and no letter has marks without end."""
    begun = time.process_time()
    for cut in (fit(text, 80), fit_left(text, 80)):
        assert width_of(cut) <= 80
        assert len(cut) <= 4 * 80 + 3
    assert time.process_time() - begun < 5
