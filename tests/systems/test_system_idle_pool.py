"""Idle pool behind nginx: HttpClient's pool keeps connections that nginx closed long ago."""

from __future__ import annotations

import re
import statistics
import time
from typing import Any

import pytest

from tests.live.closetrace_command import Ran, let_linger, tracing
from tests.live.oracles import SsLine, seconds, ss_close_wait
from tests.live.workload import Workload
from tests.systems.chain import AFTER_FIN_S, KEEPALIVE_S, ORDER_URL, PROXY
from tests.systems.java_oracles import application_frames, assert_in_order, recorded_frames
from tests.systems.software import Capture, Packet, nginx, program

COUNT = 10
WITHIN_S = 0.005
# The pool is closed after nginx's orphaned FIN_WAIT2 sockets have ended (2 s in this namespace).
FORGOTTEN_S = 3.0


class Incident:
    """One run: a report while the sockets linger, one after the pool was closed, the output of ss, and the packets."""

    def __init__(self, netns: str) -> None:
        with nginx(netns, PROXY, KEEPALIVE_S), Capture(netns, PROXY) as capture:
            with program(netns, "OrderClient", ORDER_URL, str(COUNT)) as self.orders:
                self._trace(self.orders, netns)
            self.packets: list[Packet] = capture.packets()

    def _trace(self, orders: Workload, netns: str) -> None:
        with tracing(orders.pid()) as leak, tracing(orders.pid()) as whole:
            leak.attached()
            whole.attached()
            orders.step()
            time.sleep(AFTER_FIN_S)
            let_linger()
            self.ss: dict[tuple[str, str], SsLine] = ss_close_wait({orders.pid()}, netns)
            self.leak: Ran = leak.stop()
            time.sleep(FORGOTTEN_S)
            orders.step()
            let_linger()
            self.whole: Ran = whole.stop()


@pytest.fixture(scope="module")
def incident(netns: str) -> Incident:
    """The incident, once for all tests."""
    return Incident(netns)


@pytest.fixture(scope="module")
def site(incident: Incident) -> dict[str, Any]:
    """The only leak site of the report."""
    (found,) = incident.leak.report()["sites"]
    return dict(found)


def test_one_site_with_the_sockets_of_ss(incident: Incident, site: dict[str, Any]) -> None:
    """There is one site with ten sockets, the same ones as in ss."""
    assert (site["verdict"], site["count"], site["remote"]) == ("idle-in-pool", COUNT, f"127.0.0.1:{PROXY}")
    assert {(one["local"], one["remote"]) for one in site["sockets"]} == set(incident.ss)
    assert (site["pid"], site["comm"]) == (incident.orders.pid(), "java")


def test_timeout_of_nginx_is_inferred(site: dict[str, Any]) -> None:
    """The idle time before FIN is nginx's keepalive_timeout. The report names it, correct to 0.2 s."""
    told = re.search(r"hung up after (\d+\.\d+) s of silence", " ".join(site["explanation"]))
    assert told, site["explanation"]
    assert abs(float(told.group(1)) - KEEPALIVE_S) <= 0.2
    for one in site["sockets"]:
        assert abs(seconds(one["fin"]) - seconds(one["last_touch"]["time"]) - KEEPALIVE_S) <= 0.2


def test_last_touch_is_named_in_java(incident: Incident, site: dict[str, Any]) -> None:
    """The stack goes from libc through the JDK and HttpClient to the application. Its lines are those of Throwable."""
    assert site["stack_complete"] is True, site["stack_note"]
    assert recorded_frames(incident.orders, "recv") == {tuple(application_frames(site["stack"]))}
    assert_in_order(
        site["stack"],
        "sun.nio.ch.NioSocketImpl.read",
        "org.apache.http.impl.conn.DefaultClientConnection.receiveResponseHeader",
        "org.apache.http.impl.client.CloseableHttpClient.execute",
        "com.acme.OrderClient.callBackend",
        "com.acme.OrderClient.placeOrder",
        "java.lang.Thread.run",
    )


def test_opener_is_the_connection_operator(site: dict[str, Any]) -> None:
    """HttpClient's operator opened the connection, for the same application method."""
    assert_in_order(
        site["opened_stack"],
        "java.net.Socket.connect",
        "org.apache.http.impl.conn.DefaultClientConnectionOperator.openConnection",
        "com.acme.OrderClient.callBackend",
    )


def test_advice_names_the_pool_setting(site: dict[str, Any]) -> None:
    """The advice names the setting of this library."""
    assert "closeIdleConnections" in site["advice"]


def test_nothing_was_lost(incident: Incident) -> None:
    """No event, record, box or stack is missing in the two reports."""
    for ran in (incident.leak, incident.whole):
        assert set(ran.report()["losses"].values()) == {0}


def test_closed_at_last(incident: Incident) -> None:
    """After the pool is closed, the report says that the program closed the sockets, when, and that RST answered."""
    report = incident.whole.report()
    assert report["sites"] == []
    assert len(report["ended_findings"]) == COUNT
    for one in report["ended_findings"]:
        assert one["lingered_s"] >= FORGOTTEN_S
        assert "closed by" in one["how"]
        assert one["reset_by"] == "peer"
        names = [frame["function"] for frame in one["closed_stack"]]
        assert "com.acme.OrderClient.closeAtLast" in names, names


def _event(one: dict[str, Any], name: str) -> float:
    """Wall-clock time (seconds) of the first event with this name."""
    at = {event["event"]: event["t"] for event in reversed(one["timeline"])}
    return float(seconds(one["fin"]) + at[name] - at["CLOSE_WAIT"])


def _first(packets: list[Packet], source: str, flag: str) -> float:
    return next(p.time for p in packets if p.source == source and flag in p.flags)


def test_packets_agree_with_the_timeline(incident: Incident) -> None:
    """SYN, first and last data, FIN, late FIN and RST in the packets are each within 5 ms of the timeline.

    The answer waits in the queue until the program's thread has a CPU to read it. So no read is before its packet, and
    the median of the ten delays must be less than 5 ms.
    """
    ended = incident.whole.report()["ended_findings"]
    assert len(ended) == COUNT
    reads = []
    for one in ended:
        local, remote = one["local"], one["remote"]
        wire = [p for p in incident.packets if {p.source, p.destination} == {local, remote}]
        sent = [p.time for p in wire if p.source == local and p.length]
        received = [p.time for p in wire if p.source == remote and p.length]
        pairs = {
            "SYN_SENT": _first(wire, local, "S"),
            "send": sent[0],
            "CLOSE_WAIT": _first(wire, remote, "F"),
            "LAST_ACK": _first(wire, local, "F"),
            "reset": _first(wire, remote, "R"),
        }
        assert len(sent) == 1
        off = {name: _event(one, name) - at for name, at in pairs.items()}
        assert all(abs(value) < WITHIN_S for value in off.values()), (local, off)
        reads.append(_event(one, "recv") - received[-1])
    assert min(reads) > -WITHIN_S, reads
    assert statistics.median(reads) < WITHIN_S, reads


def _gate(orders: Workload) -> Ran:
    with tracing(orders.pid(), "--fail-over", "0") as trace:
        trace.attached()
        orders.step()
        time.sleep(AFTER_FIN_S)
        let_linger()
        return trace.stop()


def test_cure(netns: str) -> None:
    """If idle connections are closed regularly, the same program leaves nothing to find."""
    cured = (netns, "OrderClient", ORDER_URL, str(COUNT), "evictor")
    with nginx(netns, PROXY, KEEPALIVE_S), program(*cured) as orders:
        ran = _gate(orders)
    assert ran.code == 0
    assert ran.report()["sites"] == []
