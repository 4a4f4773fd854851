"""Each leaking program gets the verdict that fits its source. ss, /proc and the program confirm the facts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.live.gallery import IDLE_S, Gallery
from tests.live.oracles import seconds

# What each program is, by its source; and the call that touched the socket last.
EXPECTED = {
    "idle pool": ("idle-in-pool", "recv", 3),
    "idle pool, IPv6": ("idle-in-pool", "recv", 2),
    "idle pool, v4-mapped": ("idle-in-pool", "recv", 2),
    "idle pool, stripped": ("idle-in-pool", "recv", 2),
    "idle pool, static": ("idle-in-pool", "recv", 2),
    "EOF ignored": ("eof-ignored", "recv", 2),
    "unread data": ("unread-data", "recv", 1),
    "fork held": ("held-elsewhere", None, 1),
    "passed descriptor": ("idle-in-pool", "recv", 1),
    "half-closed in use": ("half-closed-in-use", "send", 1),
    "blocked in send": ("blocked-in-call", None, 1),
    "dlopened": ("idle-in-pool", "recv", 1),
    "signal handler": ("idle-in-pool", "recv", 1),
    "C++": ("idle-in-pool", "recv", 1),
}
LINGERING = (*EXPECTED, "never accepted", "server leak", "shared socket", "shutdown read", "Python")
CLOSE_S = 0.05


@pytest.mark.parametrize("name", EXPECTED)
def test_verdict(gallery: Gallery, name: str) -> None:
    """One site, the verdict that the program's source calls for, and the right number of sockets."""
    verdict, last_op, count = EXPECTED[name]
    site = gallery[name].site()
    assert (site["verdict"], site["count"]) == (verdict, count)
    if last_op is not None:
        assert site["last_op"] == (last_op if gallery.sees(last_op) else "connect")
    assert site["advice"]


@pytest.mark.parametrize("name", LINGERING)
def test_sockets_are_those_of_ss(gallery: Gallery, name: str) -> None:
    """The reported sockets in CLOSE_WAIT are exactly those that ss lists, with the same queue, inode and cookie."""
    exhibit = gallery[name]
    told = {
        (one["local"], one["remote"]): (one["rx_queue"], one["inode"], one["cookie"])
        for one in exhibit.sockets()
        if one["state"] == "CLOSE_WAIT"
    }
    assert exhibit.ss
    assert told == {key: (line.rx_queue, line.inode, line.cookie) for key, line in exhibit.ss.items()}


@pytest.mark.parametrize("name", LINGERING)
def test_holders_are_those_of_proc(gallery: Gallery, name: str) -> None:
    """Every process with a descriptor on the socket is named, and no other."""
    exhibit = gallery[name]
    for one in exhibit.sockets():
        holders = {(holder["pid"], holder["fd"]) for holder in one["holders"]}
        assert holders == exhibit.holders.get(one["inode"], set())
        assert (one["fd"] is None) is (not holders)
        assert one["fd"] is None or one["fd"] in {fd for _, fd in holders}
        assert one["netns"] == exhibit.netns


@pytest.mark.parametrize("name", LINGERING)
def test_fin_came_when_the_peer_hung_up(gallery: Gallery, name: str) -> None:
    """FIN's wall-clock time lies between the peer's own word and the program's next, and the age follows from it."""
    exhibit = gallery[name]
    ended = seconds(gallery.report["ended"])
    for one in exhibit.sockets():
        fin = seconds(one["fin"])
        before, after = exhibit.workload.hung_up_between(one["local"])
        assert before - CLOSE_S < fin < after + CLOSE_S
        assert abs(one["close_wait_s"] - (ended - fin)) < 1


@pytest.mark.parametrize("name", [name for name in LINGERING if name not in ("never accepted", "Python")])
def test_site_names_the_process(gallery: Gallery, name: str) -> None:
    """Process id and command name are those of the process that holds the socket."""
    exhibit = gallery[name]
    site = exhibit.site()
    assert site["comm"] == exhibit.comms[site["pid"]]


def test_never_accepted(gallery: Gallery) -> None:
    """Sockets in the accept queue are reported for the listener, without descriptor, with their unread bytes."""
    exhibit = gallery["never accepted"]
    site = exhibit.site()
    assert (site["verdict"], site["count"]) == ("never-accepted", 3)
    assert site["pid"] == exhibit.workload.pid()
    assert all(one["fd"] is None and one["rx_queue"] == 21 for one in site["sockets"])


def test_forked_child_is_named(gallery: Gallery) -> None:
    """The parent closed its descriptor; the report names the child that still holds the socket."""
    exhibit = gallery["fork held"]
    site = exhibit.site()
    child = exhibit.workload.pid("child")
    assert [holder["pid"] for one in site["sockets"] for holder in one["holders"]] == [child]
    assert str(child) in site["advice"] + " ".join(site.get("explanation", []))


def test_passed_descriptor_has_two_stories(gallery: Gallery) -> None:
    """The parent opened it, and the child that got the descriptor by SCM_RIGHTS touched it last: the child is named."""
    exhibit = gallery["passed descriptor"]
    site = exhibit.site()
    assert site["pid"] == exhibit.workload.pid("child")
    names = [event.get("pid") for event in site["sockets"][0]["timeline"]]
    assert exhibit.workload.pid() in names


def test_eof_was_read(gallery: Gallery) -> None:
    """A recv that returned 0 is evidence, and only the program that read it has it."""
    assert all(one["eof_read"] for one in gallery["EOF ignored"].sockets())
    assert not any(one["eof_read"] for one in gallery["idle pool"].sockets())


def test_byte_counts(gallery: Gallery) -> None:
    """Bytes sent and received are those that the program sent and received; a call that is missing is counted."""
    for one in gallery["idle pool"].sockets():
        assert (one["tx_bytes"], one["rx_bytes"]) == (120, 150)
    assert gallery["unread data"].sockets()[0]["rx_bytes"] == 10
    sent, most_missing = 4 * 500 * 10, gallery.report["losses"]["nested"] * 10
    assert sent - most_missing <= gallery["shared socket"].sockets()[0]["tx_bytes"] <= sent


def test_reset_with_descriptor_open(gallery: Gallery) -> None:
    """After RST no tool that lists sockets shows it any more, yet the descriptor is open, and reported."""
    exhibit = gallery["reset while open"]
    site = exhibit.site()
    assert site["verdict"] == "reset-still-open"
    one = site["sockets"][0]
    assert one["state"] == "CLOSE"
    assert one["inode"] == exhibit.workload.sockets()[0]["inode"]
    assert {(holder["pid"], holder["fd"]) for holder in one["holders"]} == exhibit.holders[one["inode"]]


def test_shutdown_read_is_the_last_touch(gallery: Gallery) -> None:
    """shutdown(SHUT_RD) leaves the socket in CLOSE_WAIT: seen where shutdown has a hook, else said to be missed."""
    site = gallery["shutdown read"].site()
    if gallery.report["plan"]["shutdown"]:
        assert site["last_op"] == "shutdown"
    else:
        assert site["last_op"] == "connect"
        assert "shutdown" in gallery.cost("shutdown")


def test_timeline_is_in_order(gallery: Gallery) -> None:
    """A connection's events stand in the order in which they happened, from SYN_SENT to the peer's FIN."""
    for one in gallery["idle pool"].sockets():
        events = [event["event"] for event in one["timeline"]]
        times = [event["t"] for event in one["timeline"]]
        assert times == sorted(times)
        states = [event for event in events if event in ("SYN_SENT", "ESTABLISHED", "CLOSE_WAIT")]
        assert states == ["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT"]
        fin = next(event for event in one["timeline"] if event["event"] == "CLOSE_WAIT")
        assert fin["origin"] == "peer"
        assert fin["t"] >= IDLE_S


def test_opened_when_the_program_connected(gallery: Gallery) -> None:
    """The time of opening lies between the program's own words before and after the call."""
    exhibit = gallery["idle pool"]
    for one in exhibit.sockets():
        before, after = exhibit.workload.connected_between(one["inode"])
        assert before - CLOSE_S < seconds(one["opened"]) < after + CLOSE_S


@pytest.mark.parametrize("name", ["clean", "SO_LINGER 0"])
def test_no_finding(gallery: Gallery, name: str) -> None:
    """A program that closes what it opens, orderly or not, leaves no finding."""
    assert gallery[name].sites == []


def test_shutdown_without_close(gallery: Gallery) -> None:
    """shutdown(SHUT_WR) after FIN ends the connection, and ss shows it no more; the descriptor leaks, and is told."""
    exhibit = gallery["shutdown write"]
    site = exhibit.site()
    (one,) = site["sockets"]
    assert exhibit.ss == {}
    assert (site["verdict"], site["last_op"], one["state"]) == ("reset-still-open", "shutdown", "CLOSE")
    assert {(holder["pid"], holder["fd"]) for holder in one["holders"]} == exhibit.holders[one["inode"]]
    assert "shutdown(2)" in site["advice"]


def test_nothing_was_lost(gallery: Gallery) -> None:
    """No event, record, box or stack was lost. Only the socket that four threads use at once may be contended."""
    losses = dict(gallery.report["losses"])
    losses.pop("contended")
    assert set(losses.values()) == {0}


def test_report_is_of_this_run(gallery: Gallery) -> None:
    """Exit 0, times in order, a plan for each hook family."""
    assert gallery.ran.code == 0
    assert seconds(gallery.report["started"]) < seconds(gallery.report["ended"])
    assert gallery.report["plan"]["state"]


@pytest.mark.parametrize(("family", "tracepoint"), [("receive", "sock_recv_length"), ("send", "sock_send_length")])
def test_missing_hook_is_told(gallery: Gallery, family: str, tracepoint: str) -> None:
    """Raw tracepoints alone miss these calls on a kernel without that one (before 6.3), and the report says so."""
    told = next(one for one in gallery.report["plan_details"] if one["family"] == family)
    here = f"__tracepoint_{tracepoint}" in Path("/proc/kallsyms").read_text()
    if here or os.environ.get("CLOSETRACE_TEST_PROBES") != "tracepoint":
        assert gallery.report["plan"][family]
    else:
        assert gallery.report["plan"][family] is None
        assert tracepoint in told["reason"]
        assert f"{family}s are not seen: no last-touch stack" in told["cost"]
