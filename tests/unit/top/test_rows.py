"""Rows of the live screen: growth, filter, order, and lines that fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.builders import START, S, accepted, connection, report, stack, touch
from tests.unit.cases import HOSTILE
from tracer.model.finding import Report
from tracer.model.states import Op
from tracer.reports.json.reading.report import from_text
from tracer.reports.json.report import to_text
from tracer.reports.text.cells import width_of
from tracer.top import rows
from tracer.top.columns import header, line, shown
from tracer.top.drawing import drawn


def leak(count: int, at_s: int = 0) -> Report:
    """``count`` sockets of one site, and one of another, ``at_s`` later than reports usually are."""
    several = (connection(serial) for serial in range(1, count + 1))
    whole = report(*several, accepted(900, last=touch(Op.RECV, 1.0, 5, stack=stack("serve", "main"))))
    return replace(whole, now_ns=whole.now_ns + at_s * S)


def growths(growth: rows.Growth, whole: Report) -> dict[int, tuple[int, int]]:
    growth.take(whole)
    return {row.site.count: (row.grown, row.minute) for row in growth.rows(whole)}


def test_growth() -> None:
    """Since the first report, and within the last minute."""
    growth = rows.Growth()
    assert growths(growth, leak(3)) == {3: (0, 0), 1: (0, 0)}
    assert growths(growth, leak(5, 30)) == {5: (2, 2), 1: (0, 0)}
    assert growths(growth, leak(5, 61)) == {5: (2, 2), 1: (0, 0)}
    assert growths(growth, leak(5, 95)) == {5: (2, 0), 1: (0, 0)}
    assert growths(growth, leak(4, 100)) == {4: (1, -1), 1: (0, 0)}


def test_site_that_appears_grew_from_nothing() -> None:
    """What was not in the first report has grown by all that it has."""
    growth = rows.Growth()
    growth.take(report())
    whole = leak(3, 5)
    growth.take(whole)
    assert [(row.grown, row.minute) for row in growth.rows(whole)] == [(3, 3), (1, 1)]


def test_sites_with_one_id_are_told_apart() -> None:
    """A report from JSON has no keys, and sites that differ in their verdict alone have one id."""
    end = touch(Op.RECV, 66.5, 0, stack=stack("read_reply", "call_backend", "main"))
    whole = report(connection(1), connection(2), connection(3, eof=end, eof_reads=1, last=end, rx_queue=0))
    assert len({site.id for site in whole.sites}) == 1
    read = from_text("".join(to_text(whole)).encode())
    growth = rows.Growth()
    growth.take(read)
    assert [(row.site.count, row.grown) for row in growth.rows(read)] == [(2, 0), (1, 0)]


def test_growth_forgets() -> None:
    """In a day nothing grows but time."""
    growth = rows.Growth()
    for second in range(0, 3600, 2):
        growth.take(leak(2, second))
    assert len(growth._past) <= 32


def test_filter_has_all_words() -> None:
    """A row has each of the words, of either case, in whatever column."""
    whole = leak(3)
    growth = rows.Growth()
    growth.take(whole)
    by = rows.SITE_ORDERS[0].by
    assert len(rows.chosen(growth.rows(whole), "", by)) == 2
    assert [row.site.count for row in rows.chosen(growth.rows(whole), "READ_reply 8081", by)] == [3]
    assert rows.chosen(growth.rows(whole), "read_reply serve", by) == []


@pytest.mark.parametrize("order", rows.SITE_ORDERS, ids=lambda order: order.name)
def test_orders(order: rows.Order) -> None:
    """Each order has all rows, the largest first."""
    whole = leak(3)
    growth = rows.Growth()
    growth.take(whole)
    found = rows.chosen(growth.rows(whole), "", order.by)
    assert sorted(row.site.count for row in found) == [1, 3]
    if order.name == "sockets":
        assert found[0].site.count == 3


def test_sockets_by_age_and_remote() -> None:
    """The oldest comes first; the filter finds a port."""
    whole = report(connection(1, fin=90.0), connection(2, fin=70.0), connection(3, fin=80.0))
    found = rows.sockets(whole.sites[0], whole.now_ns)
    ages = [row.age_ns // S for row in rows.chosen(found, "", rows.SOCKET_ORDERS[0].by)]
    assert ages == [130, 120, 110]
    assert len(rows.chosen(found, "40002", rows.SOCKET_ORDERS[2].by)) == 1


@pytest.mark.parametrize("width", [40, 80, 99, 120, 200])
def test_lines_fit(width: int) -> None:
    """Every line is as wide as asked, whatever the names are, and has nothing that a terminal obeys."""
    whole = report(connection(1, last=touch(Op.RECV, 1.0, 9, stack=stack(HOSTILE * 9, "main"))))
    growth = rows.Growth()
    growth.take(whole)
    made = [header(rows.SITE_COLUMNS, width), line(rows.SITE_COLUMNS, growth.rows(whole)[0], width)]
    made += [line(rows.SOCKET_COLUMNS, row, width) for row in rows.sockets(whole.sites[0], whole.now_ns)]
    assert [width_of(one) for one in made] == [width] * 3
    assert all(one.isprintable() for one in made)


def test_narrow_terminal_leaves_columns_out() -> None:
    """At 80 columns the place in the code has room for a name."""
    fits = {column.title: room for column, room in shown(rows.SITE_COLUMNS, 80)}
    assert "remote" not in fits
    assert fits["first application frame"] >= 20
    assert "remote" in {column.title for column, _ in shown(rows.SITE_COLUMNS, 200)}


@pytest.mark.parametrize("width", [40, 76, 196])
def test_life_is_drawn(width: int) -> None:
    """Opened, data, then the FIN and nothing: in that order, and FIN about a third of the way."""
    made = drawn(connection(), width)
    life = made[0].strip()
    assert life.replace("-", "").replace("=", "") == "oddF>"
    assert "=" not in life[: life.index("F")]
    assert set(life[life.index("F") + 1 : -1]) == {"="}
    assert 0.2 < life.index("F") / len(life) < 0.45
    assert all(len(one) <= width for one in made)
    assert "F FIN from the peer 65.000 s" in " ".join(made)


def test_the_page_has_what_is_drawn() -> None:
    """docs/top.md shows the life of such a socket."""
    page = Path(__file__).resolve().parents[3] / "docs/top.md"
    life = drawn(connection(fin=2.505, seen_ns=START + 5_703_000_000), 76)
    assert "\n".join(life) in page.read_text(encoding="utf-8")


def test_life_that_began_unseen() -> None:
    """A socket that was in CLOSE_WAIT already: the peer had hung up from the start."""
    old = connection(
        fin=None, preexisting=True, transitions=(), opened=None, last=None, last_rx_ns=None, last_tx_ns=None
    )
    assert set(drawn(old, 80)[0].strip()) <= {"=", ">"}
