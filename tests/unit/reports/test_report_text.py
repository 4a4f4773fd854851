"""Oracle: what a terminal does with the characters (ECMA-48, Unicode annex 11), RFC 3339."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cases import HOSTILE
from tracer.reports.printable import clean
from tracer.reports.text import cells as text
from tracer.reports.times import rfc3339


def test_control_characters_become_visible() -> None:
    """Escape, bell, C1, direction, line separators and undecodable bytes are shown, not sent."""
    shown = clean(HOSTILE)
    assert shown.isprintable()
    assert shown.startswith("a\\x1b[31mred\\x07\\x9b2J\\u202eevil\\u2028\\udcff\\x00\\x09b")


@given(st.text())
def test_clean_is_printable_and_keeps_the_rest(raw: str) -> None:
    """Everything printable stays as it is; nothing else gets through; the result can be encoded."""
    shown = clean(raw)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert clean(shown) == shown
    if raw.isprintable():
        assert shown == raw


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Z"))), st.integers(0, 40))
def test_fit_and_pad_keep_to_the_width(raw: str, width: int) -> None:
    """No cut text is wider than asked, from either side, and padding fills to the column."""
    assert text.width_of(text.fit(raw, width)) <= width
    assert text.width_of(text.fit_left(raw, width)) <= width
    assert text.width_of(text.pad(text.fit(raw, width), width)) == width


@pytest.mark.parametrize(("raw", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1)])
def test_width_of(raw: str, width: int) -> None:
    """Wide characters take two columns, combining marks none."""
    assert text.width_of(raw) == width


def test_cut_side() -> None:
    """Names are cut where they tell least."""
    assert text.fit("0123456789", 7) == "0123..."
    assert text.fit_left("com.acme.Client.call", 14) == "...Client.call"


def test_wrap_tears_no_address() -> None:
    """Words longer than the line stay whole."""
    address = "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:443"
    assert address in text.wrap(f"to {address} and on", 30, rest="  ")[1]


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_rfc3339_is_read_back(epoch_ns: int) -> None:
    """Python's own parser reads the same microsecond back."""
    stamp = datetime.fromisoformat(rfc3339(epoch_ns).replace("Z", "+00:00"))
    seconds = epoch_ns // 1_000_000_000
    assert int(stamp.timestamp() // 1) == seconds
    assert stamp.microsecond == epoch_ns % 1_000_000_000 // 1000


def test_no_color_unless_asked() -> None:
    """Styles are added only on request."""
    assert text.style("x", False, bold=True) == "x"
    assert text.style("x", True, bold=True) != "x"
