"""Oracle: sums over the report's own sockets, and bounds that hold whatever a host runs."""

from __future__ import annotations

import hashlib
import random
import threading
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import actor, connection, frame, judged, report, touch
from tracer.diagnose.sites import group
from tracer.model.connection import Connection, Endpoint, Holder, Losses
from tracer.model.finding import Cost, Finding, PortShare, Report, Verdict
from tracer.model.frame import Stack
from tracer.model.identity import Identity
from tracer.model.states import Op
from tracer.reports.figures import names
from tracer.reports.figures.feeder import TALLIES, Feeder, Tally
from tracer.reports.figures.figures import Figure, Figures
from tracer.reports.figures.news import Newsroom
from tracer.reports.figures.ranking import MOST_SITES, OTHER, label

DOCS = Path(__file__).parents[3] / "docs" / "fleet.md"


def of_path(path: str, serial: int, pid: int = 100, fin: float = 66.0) -> Connection:
    last = touch(Op.RECV, 1.006, 150, actor=actor(pid), stack=Stack((frame(path), frame("main")), True))
    return connection(serial, fin=fin, last=last, opened=None, holders=(Holder(pid, 9, "app"),))


def with_sites(findings: list[Finding], homes: dict[int, Identity] | None = None) -> Report:
    known = homes or {}
    sites = group(findings, lambda pid: f"app-{pid}" if pid > 5000 else "app", lambda pid: known.get(pid, Identity()))
    return replace(report(), sites=sites)


EMPTY, (FINDING,) = report(), judged(of_path("load", 1))
(SITE,) = group([FINDING], lambda _pid: "app")


def counted(sizes: dict[str, int]) -> Report:
    """A report with a site of so many sockets for each path."""
    ids = {path: hashlib.sha256(path.encode()).hexdigest()[:16] for path in sizes}
    sites = (replace(SITE, id=ids[path], findings=(FINDING,) * count) for path, count in sizes.items())
    return replace(EMPTY, sites=tuple(sorted(sites, key=lambda site: -site.count)))


def of(figures: tuple[Figure, ...], metric: names.Metric) -> dict[tuple[str, ...], float]:
    found = [figure for figure in figures if figure.metric is metric]
    assert len({figure.labels for figure in found}) == len(found)
    assert all(len(figure.labels) == len(metric.labels) for figure in found)
    return {figure.labels: figure.value for figure in found}


def test_a_site() -> None:
    """Its sockets, the age of the oldest, and whose they are."""
    homes = {100: Identity("shop.service"), 200: Identity("", "c" * 64, "pod-uid", "shop", "web-0", "app")}
    sockets = [of_path("load", 1), of_path("load", 2), of_path("load", 3, 200)]
    now = with_sites(judged(*sockets, of_path("load", 4, fin=50.0)), homes)
    (site,) = now.sites
    figures = Figures().of(now)
    one = ("app", site.id, site.verdict.value, "shop.service", "", "", "", "", "")
    other = ("app", site.id, site.verdict.value, "", "shop", "web-0", "app", "pod-uid", "c" * 64)
    assert of(figures, names.CLOSE_WAIT) == {one: 3, other: 1}
    assert of(figures, names.OLDEST)[one] == pytest.approx(150)
    assert (of(figures, names.SITES), of(figures, names.SITES_IN_OTHER)) == ({(): 1}, {(): 0})


def test_reset_and_never_accepted() -> None:
    """A socket that was reset is not in CLOSE_WAIT. One that waits to be accepted is."""
    (finding,) = judged(of_path("load", 1))
    several = [
        replace(finding, verdict=verdict, connection=of_path("load", serial))
        for serial, verdict in enumerate((Verdict.RESET_STILL_OPEN, Verdict.NEVER_ACCEPTED, Verdict.UNKNOWN), 1)
    ]
    figures = Figures().of(with_sites(several))
    assert sum(of(figures, names.CLOSE_WAIT).values()) == 2
    assert list(of(figures, names.NEVER_ACCEPTED).values()) == [1]
    assert list(of(figures, names.RESET_OPEN).values()) == [1]


def test_the_host() -> None:
    """Losses, cost and ports are those of the report."""
    ports = (PortShare("10.0.0.1", Endpoint("10.0.0.9", 443), 2000, 1500, 4000),)
    cost = Cost(10.0, 1.5, 0.25, 1 << 20, 2 << 20)
    figures = Figures().of(report(losses=Losses(records=3, descriptors=2), cost=cost, ports=ports), (Tally("x", 1, 2),))
    assert of(figures, names.LOSSES)[("records",)] == 3
    assert of(figures, names.INCOMPLETE)[("descriptors",)] == 2
    assert of(figures, names.PORTS_USED) == {("10.0.0.1", "10.0.0.9", "443"): 0.5}
    assert of(figures, names.PORTS_TIME_WAIT) == {("10.0.0.1", "10.0.0.9", "443"): 0.375}
    assert [of(figures, m)[()] for m in (names.CPU, names.KERNEL_CPU, names.RESIDENT)] == [1.5, 0.25, 1 << 20]
    assert (of(figures, names.DROPPED), of(figures, names.FAILED)) == ({("x",): 1}, {("x",): 2})
    counts = {field for metric in (names.LOSSES, names.INCOMPLETE) for (field,) in of(figures, metric)}
    assert counts == set(vars(Losses()))


def test_ten_thousand_sites() -> None:
    """The largest have their own figures; the others are one, and no socket is left out."""
    sizes = {f"path_{i}": 1 + (i < 60) * (61 - i) for i in range(10_000)}
    now = counted(sizes)
    figures = Figures().of(now)
    rows = of(figures, names.CLOSE_WAIT)
    assert sum(rows.values()) == sum(sizes.values())
    own = {labels[1] for labels in rows} - {OTHER}
    assert len(own) == MOST_SITES
    assert own == {site.id for site in now.sites[:MOST_SITES]}
    assert of(figures, names.SITES_IN_OTHER) == {(): 10_000 - MOST_SITES}
    assert len(figures) < 200


def test_a_week_of_churn() -> None:
    """Sites come and go each half hour: figures stay bounded and exact, and those of what is gone end."""
    chance, figures = random.Random(7), Figures()
    live: dict[str, int] = {}
    for look in range(7 * 24 * 2):
        for gone in chance.sample(sorted(live), len(live) // 4):
            del live[gone]
        live.update({f"path_{look}_{i}": chance.randint(1, 3) for i in range(40)})
        rows = of(figures.of(now := counted(live)), names.CLOSE_WAIT)
        assert sum(rows.values()) == sum(live.values())
        assert {labels[1] for labels in rows} - {OTHER} <= {site.id for site in now.sites}
        assert len(rows) <= MOST_SITES + 1
    assert len(figures._ranking._shown) == MOST_SITES


def test_figures_are_not_swapped() -> None:
    """A site that is a little larger for a moment does not take another's place."""
    figures = Figures()
    sizes = {f"path_{i}": 10 for i in range(80)}
    first = {labels[1] for labels in of(figures.of(counted(sizes)), names.CLOSE_WAIT)}
    chance = random.Random(7)
    for _ in range(5):
        wobbling = {path: chance.randint(10, 12) for path in sizes}
        assert {labels[1] for labels in of(figures.of(counted(wobbling)), names.CLOSE_WAIT)} == first
    grown = of(figures.of(counted({**sizes, "path_new": 30})), names.CLOSE_WAIT)
    assert 30 in grown.values()


def test_homes_whose_long_names_begin_alike_are_one_series() -> None:
    """Whoever owns a cgroup names what is below it. Prometheus drops what is told twice."""
    homes = {pid: Identity(f"{'x' * 200}{pid}.service") for pid in (100, 200)}
    figures = Figures().of(with_sites(judged(of_path("load", 1, 100), of_path("load", 2, 200)), homes))
    (known,) = of(figures, names.CLOSE_WAIT).items()
    assert known[0][3] == "x" * 128
    assert known[1] == 2


def test_many_versions_of_one_program() -> None:
    """They are one site. No socket is left out of the figures, however many versions and units there are."""
    sockets = [of_path("load", serial, 6000 + serial) for serial in range(1, 61)]
    sites = group(judged(*sockets), lambda pid: f"app-1.{pid}", lambda pid: Identity(f"app@{pid}.service"))
    assert len({site.id for site in sites}) == 1
    rows = of(Figures().of(replace(EMPTY, sites=sites)), names.CLOSE_WAIT)
    assert sum(rows.values()) == len(sockets)
    assert len(rows) <= 10 + len(Verdict)


def test_many_homes_of_one_site() -> None:
    """A thousand containers of one image leak by one path: their figures are bounded, too."""
    homes = {pid: Identity("", f"{pid:064x}") for pid in range(6000, 7000)}
    rows = of(Figures().of(with_sites(judged(*(of_path("load", p, p) for p in homes)), homes)), names.CLOSE_WAIT)
    assert sum(rows.values()) == 1000
    assert len(rows) <= MOST_SITES * (10 + len(Verdict))


def test_homes_are_not_swapped() -> None:
    """Thirty pods of one program leak about as much: the ten that are told stay the same."""
    chance, figures, told = random.Random(7), Figures(), set()
    homes = {pid: Identity("", f"{pid:064x}") for pid in range(100, 130)}
    for _ in range(20):
        sockets = [of_path("load", 100 * pid + n, pid) for pid in homes for n in range(chance.randint(10, 12))]
        rows = of(figures.of(with_sites(judged(*sockets), homes)), names.CLOSE_WAIT)
        assert sum(rows.values()) == len(sockets)
        told.add(frozenset(rows))
    assert len(told) == 1


@pytest.mark.parametrize("name", ["\x1b[31m", "\udcff", 'a"b\nc', "x" * 5000])
def test_hostile_names(name: str) -> None:
    """A label can be encoded and shown, and is bounded."""
    shown = label(name)
    assert shown.isprintable()
    assert len(shown.encode()) <= 512


def test_news() -> None:
    """A site is told when it is new, and again each time it has grown tenfold."""
    room = Newsroom()
    told = [
        [(one.sockets, one.grown_from) for one in room.news(counted({"a": n}))] for n in (2, 3, 19, 20, 100, 200, 1)
    ]
    assert told == [[(2, 0)], [], [], [(20, 2)], [], [(200, 20)], []]
    assert [one.sockets for one in room.news(counted({"a": 1, "b": 1}))] == [1]
    assert room.news(counted({})) == []
    assert room.news(counted({"a": 1})) == []


def test_news_are_bounded() -> None:
    """At the first look at a host with many leaks the largest are told first, and each of them once."""
    room, now = Newsroom(), counted({f"path_{i}": 1 + i for i in range(250)})
    told = [[one.sockets for one in room.news(now)] for _ in range(4)]
    assert told == [list(range(250, 150, -1)), list(range(150, 50, -1)), list(range(50, 0, -1)), []]


def test_news_for_which_there_is_no_room_come_later() -> None:
    """Each once, when there is room."""
    room, now = Newsroom(), counted({"a": 3, "b": 2, "c": 1})
    assert [[one.sockets for one in room.news(now, most)] for most in (0, 2, 0, 5, 5)] == [[], [3, 2], [], [1], []]


def test_a_feeder_never_waits() -> None:
    """While it is busy the newest reports are kept, and the others counted."""
    busy, taken, seen = threading.Event(), threading.Event(), []

    def consume(one: Report) -> None:
        seen.append(one.watched)
        taken.set()
        assert busy.wait(10)

    feeder = Feeder("test", consume, most=2)
    feeder.put(report(watched=0))
    assert taken.wait(10)
    for number in range(1, 6):
        feeder.put(report(watched=number))
    assert TALLIES["test"] == Tally("test", dropped=3)
    busy.set()
    for _ in range(1000):
        if len(seen) == 3:
            break
        threading.Event().wait(0.01)
    feeder.close()
    assert seen == [0, 4, 5]
    assert "test" not in TALLIES


def test_a_feeder_lets_a_report_go() -> None:
    """A report of many sockets takes much memory, and the next one may be long in coming."""
    gone = threading.Event()
    feeder: Feeder[Report] = Feeder("test", lambda _: None, most=1)
    one = report(connection(1))
    weakref.finalize(one, gone.set)
    feeder.put(one)
    del one
    assert gone.wait(10)
    feeder.close()


def test_a_feeder_survives_its_exporter() -> None:
    """What a library raises is counted, and the next report is tried."""
    done = threading.Event()

    def consume(one: Report) -> None:
        if one.watched:
            done.set()
        raise ValueError("no")

    feeder = Feeder("test", consume, most=2)
    for number in (0, 1):
        feeder.put(report(watched=number))
    assert done.wait(10)
    feeder.close()
    assert feeder.tally.failed == 2


def test_every_metric_is_documented() -> None:
    """docs/fleet.md lists each metric with its name in Prometheus and in OpenTelemetry, and its labels."""
    text = DOCS.read_text(encoding="utf-8")
    for metric in names.ALL:
        row = f"| `{metric.prometheus}` | `{metric.name}` | {', '.join(f'`{one.name}`' for one in metric.labels)} |"
        assert row.replace("|  |", "| |") in text, row
    assert Counter(metric.name for metric in names.ALL).most_common(1)[0][1] == 1


def test_every_label_is_documented() -> None:
    """And each label with its attribute in OpenTelemetry."""
    text = DOCS.read_text(encoding="utf-8")
    labels: set[Any] = {one for metric in names.ALL for one in metric.labels}
    assert [one for one in labels if f"| `{one.name}` | `{one.attribute}` |" not in text] == []
