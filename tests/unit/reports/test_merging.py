"""Reports of several hosts and hours as one. Oracle: the counts that went in."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.unit.builders import NOW, OFFSET, S, connection, report
from tests.unit.cases import EOF_READ
from tracer.errors import ClosetraceError
from tracer.model.finding import Report, Verdict
from tracer.reports.html import data
from tracer.reports.json import merged as merged_json
from tracer.reports.json import report as json_report
from tracer.reports.json.reading.merging import Merging
from tracer.reports.json.reading.report import document
from tracer.reports.text import merged as merged_text


def recorded(live: Report, hostname: str, **changes: Any) -> bytes:
    """The file of a host."""
    told = json.loads("".join(json_report.to_text(live)))
    told["host"]["hostname"] = hostname
    return json.dumps({**told, **changes}).encode()


def later(live: Report, hours: int) -> Report:
    """The same report, made later."""
    from dataclasses import replace

    more = hours * 3600
    return replace(live, started=live.started + more, ended=live.ended + more, clock_offset_ns=OFFSET + more * S)


def merging(*files: bytes) -> Merging:
    """All files added."""
    found = Merging()
    for number, content in enumerate(files):
        found.add(document(content), f"file{number}")
    return found


IDLE = report(connection(1), connection(2))
MORE = report(connection(2), connection(3), connection(4, **EOF_READ))


def test_a_socket_counts_once_for_its_host() -> None:
    """Two hours of one host share a socket; another host's has the same cookie and is another socket."""
    found = merging(recorded(IDLE, "a"), recorded(later(MORE, 1), "a"), recorded(IDLE, "b")).merged()
    assert (found.reports, found.hosts, found.sockets) == (3, 2, 6)
    idle, ignored = found.sites
    assert (idle.site.verdict, idle.sockets, idle.reports) == (Verdict.IDLE_IN_POOL, 5, 3)
    assert [(host.hostname, host.sockets) for host in idle.hosts] == [("a", 3), ("b", 2)]
    assert (ignored.site.verdict, ignored.sockets) == (Verdict.EOF_IGNORED, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"inode": 0}, {}),  # it was accepted in between
        ({}, {"cookie": 0, "state": "CLOSE"}),  # the peer has reset it: the kernel lists it no more
        ({"inode": 0}, {"inode": 0}),
    ],
)
def test_a_socket_is_known_by_what_two_reports_have_in_common(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Its inode or its cookie may be missing in one of them."""
    files = [json.loads(recorded(later(IDLE, hours), "a")) for hours in (0, 1)]
    for file, changes in zip(files, (before, after)):
        for socket in file["sites"][0]["sockets"]:
            socket.update(changes)
    for order in (files, files[::-1]):
        assert merging(*(json.dumps(file).encode() for file in order)).merged().sockets == 2


def test_a_socket_of_three_reports_counts_once_in_any_order() -> None:
    """Two of them have nothing in common, and the third has something in common with each."""
    states: tuple[dict[str, object], ...] = ({"inode": 0}, {}, {"cookie": 0, "state": "CLOSE"})
    files = [json.loads(recorded(later(IDLE, hours), "a")) for hours in range(3)]
    for file, changes in zip(files, states):
        for socket in file["sites"][0]["sockets"]:
            socket.update(changes)
    for order in itertools.permutations(json.dumps(file).encode() for file in files):
        assert merging(*order).merged().sockets == 2


def test_a_socket_of_which_more_is_known_belongs_to_its_newest_site() -> None:
    """The program read the end of one of two sockets between two reports: still two, whatever the order of the files.

    When both have another verdict nothing is left of the site that they had.
    """
    first = recorded(IDLE, "a")
    one = recorded(later(report(connection(1), connection(2, **EOF_READ)), 1), "a")
    both = recorded(later(report(connection(1, **EOF_READ), connection(2, **EOF_READ)), 2), "a")
    for order in ((first, one), (one, first)):
        told = {site.site.verdict: site.sockets for site in merging(*order).merged().sites}
        assert told == {Verdict.IDLE_IN_POOL: 1, Verdict.EOF_IGNORED: 1}
    for three in ((first, one, both), (both, first, one)):
        told = {site.site.verdict: site.sockets for site in merging(*three).merged().sites}
        assert told == {Verdict.EOF_IGNORED: 2}


def test_a_boot_begins_cookies_anew() -> None:
    """A host counts its sockets' cookies from the start after a reboot: other addresses are other sockets."""
    before = json.loads(recorded(IDLE, "a"))
    for socket in before["sites"][0]["sockets"]:
        socket["local"] = f"{socket['local']}1"
    assert merging(json.dumps(before).encode(), recorded(later(IDLE, 1), "a")).merged().sockets == 4


def test_a_report_of_1970() -> None:
    """Its end may be the epoch itself."""
    found = merging(recorded(IDLE, "a", now_ns=0)).merged()
    assert (found.sockets, found.sites[0].last_ns) == (2, 0)


def test_the_newest_tells() -> None:
    """First and last seen, and the text of the newest report, whatever the order of the files."""
    files = [recorded(later(MORE, 1), "a"), recorded(IDLE, "b")]
    for order in (files, files[::-1]):
        idle = merging(*order).merged().sites[0]
        assert (idle.newest_host, idle.newest_ns) == ("a", NOW + OFFSET + 3600 * S)
        assert idle.first_ns == NOW + OFFSET - 134 * S
        assert idle.last_ns == NOW + OFFSET + 3600 * S


def test_older_files_get_their_ids() -> None:
    """A file without ids and records is the same site."""
    old = json.loads(recorded(IDLE, "b"))
    for site in old["sites"]:
        del site["id"], site["advice_parts"]
        for socket in site["sockets"]:
            del socket["record"]
    found = merging(recorded(IDLE, "a"), json.dumps(old).encode()).merged()
    assert [(one.sockets, len(one.hosts)) for one in found.sites] == [(4, 2)]


def test_text_and_json() -> None:
    """Both tell hosts and times; the text fits its width."""
    found = merging(recorded(IDLE, "a"), recorded(later(MORE, 1), "b\x1b[31m")).merged()
    told = merged_text.render(found, width=80, color=False)
    head = "5 sockets from 2 leak sites on 2 hosts, in 2 reports of 11-14 22:30 to 11-14 23:33 UTC"
    assert " ".join(told.split()).startswith(head)
    assert "hosts: a (2) and b\\x1b[31m (2)" in told
    assert all(len(line) <= 80 for line in told.splitlines() if "127.0.0.1" not in line)
    document = json.loads("".join(merged_json.to_text(found)))
    assert document["schema"] == "closetrace.merged/1"
    first = document["sites"][0]
    assert (first["sockets"], first["hosts"][0]) == (4, {"hostname": "a", "sockets": 2})
    assert first["newest"]["verdict"] == "idle-in-pool"
    assert first["first_seen"] == "2023-11-14T22:31:06.000000Z"


@pytest.mark.parametrize(
    "change",
    [
        {"host": {}},
        {"sites": [{}]},
        {"sites": [{"verdict": "unknown", "sockets": [3]}]},
        {"started": "yesterday"},
        {"now_ns": -1},
    ],
)
def test_what_is_no_report_adds_nothing(change: dict[str, Any]) -> None:
    """A file that cannot be read leaves the rest as it is."""
    found = merging(recorded(IDLE, "a"))
    with pytest.raises(ClosetraceError):
        found.add(document(recorded(MORE, "b", **change)), "other")
    assert (found.merged().reports, found.merged().sockets) == (1, 2)


def test_reports_that_may_lack_sockets_are_counted() -> None:
    """No site in them is no clean bill: text, JSON and page say so."""
    none = json.loads(recorded(report(), "a"))
    whole = {**none, "reconciliation": {"complete": True}}
    half = {**none, "reconciliation": {"complete": False}}
    clear = merging(*(json.dumps(one).encode() for one in (none, whole))).merged()
    found = merging(*(json.dumps(one).encode() for one in (whole, half, half))).merged()
    assert (clear.incomplete, found.incomplete) == (0, 2)
    said = "2 of 3 reports could not read everything: there may be more"
    assert said in merged_text.render(found, width=80, color=False).splitlines()
    assert "could not" not in merged_text.render(clear, width=80, color=False)
    assert json.loads("".join(merged_json.to_text(found)))["incomplete"] == 2
    page = data.of_merged(found)
    assert (page["clear"], page["notes"][0]) == (False, f"{said}.")
    assert data.of_merged(clear)["clear"]


def test_a_site_that_cannot_be_shown_is_told_with_its_file() -> None:
    """What was not looked at while it was added is told with the name of the file."""
    site = json.loads(recorded(IDLE, "a"))["sites"][0]
    found = merging(recorded(IDLE, "a", sites=[{**site, "pid": "x"}]))
    with pytest.raises(ClosetraceError, match=r"file0: sites\[0\]\.pid is not a whole number"):
        found.merged()
