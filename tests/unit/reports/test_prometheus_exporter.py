"""Oracle: the official library's own parser, which reads what a scrape gets."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.builders import connection, report
from tests.unit.reports.test_figures import EMPTY, counted
from tracer.errors import ClosetraceError
from tracer.model.finding import Cost, Report
from tracer.reports.figures import names
from tracer.reports.prometheus.exporter import PrometheusExporter, open_exporter

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def exporter() -> Iterator[PrometheusExporter]:
    served = open_exporter("127.0.0.1:0")
    yield served
    served.close()


def scrape(port: int, host: str = "127.0.0.1") -> str:
    with closing(http.client.HTTPConnection(host, port, timeout=10)) as client:
        client.request("GET", "/metrics")
        answer = client.getresponse()
        assert answer.status == 200
        return answer.read().decode()


def scraped(exporter: PrometheusExporter, published: Report) -> Samples:
    """The samples of a report, by name and labels, when the exporter has taken it."""
    exporter.publish(published)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        families = list(text_string_to_metric_families(scrape(exporter.port)))
        samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
        if samples.get(("closetrace_last_look_timestamp_seconds", ())) == published.ended:
            return samples
        time.sleep(0.01)
    raise TimeoutError("the report was not taken")


def test_scrape(exporter: PrometheusExporter) -> None:
    """The figures come with name, labels and value."""
    now = report(connection(1), connection(2), cost=Cost(9.0, 1.5, 0.25, 1 << 20, 2 << 20))
    samples = scraped(exporter, now)
    labels = {"program": "app", "site": now.sites[0].id, "verdict": now.sites[0].verdict.value}
    nobody = dict.fromkeys(("unit", "namespace", "pod", "container", "pod_uid", "container_id"), "")
    whole = tuple(sorted({**labels, **nobody}.items()))
    assert samples["closetrace_close_wait_sockets", whole] == 2
    assert samples["closetrace_cpu_seconds_total", ()] == 1.5
    assert samples["closetrace_losses_total", (("kind", "records"),)] == 0
    assert {name for name, _ in samples} <= {metric.prometheus for metric in names.ALL}


def test_the_last_look_is_newer_than_the_figures(exporter: PrometheusExporter) -> None:
    """Who is alarmed by it wants to know whether closetrace looks, not how old its report is."""
    now = report(connection(1))
    scraped(exporter, now)
    for looked, told in ((now.ended + 100, now.ended + 100), (now.ended - 100, now.ended)):  # the clock was set
        exporter.looked(looked)
        families = text_string_to_metric_families(scrape(exporter.port))
        (sample,) = next(f.samples for f in families if f.name == "closetrace_last_look_timestamp_seconds")
        assert sample.value == told


def test_series_of_what_is_gone_end(exporter: PrometheusExporter) -> None:
    """A site that is closed is not told as 0 for ever: it is not told."""
    first = scraped(exporter, counted({"a": 5, "b": 1}))
    second = scraped(exporter, replace(counted({"b": 1}), ended=EMPTY.ended + 1))
    sites = [
        {dict(labels)["site"] for name, labels in found if name == "closetrace_close_wait_sockets"}
        for found in (first, second)
    ]
    assert len(sites[0]) == 2
    assert len(sites[1] & sites[0]) == len(sites[1]) == 1


def test_nothing_before_the_first_report(exporter: PrometheusExporter) -> None:
    """It answers at once, with no figure that could be taken for a clean host."""
    assert all(not family.samples for family in text_string_to_metric_families(scrape(exporter.port)))


def test_clients_that_say_nothing_hold_nobody_up(exporter: PrometheusExporter) -> None:
    """Some connections without a request, and a scrape beside them."""
    silent = [socket.create_connection(("127.0.0.1", exporter.port)) for _ in range(5)]
    assert "closetrace" in scrape(exporter.port)
    for one in silent:
        one.close()


def test_clients_that_send_byte_by_byte_are_left(exporter: PrometheusExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else eight of them would keep Prometheus out for ever."""
    monkeypatch.setattr("tracer.reports.prometheus.exporter._LONGEST_S", 0.5)
    slow = [socket.create_connection(("127.0.0.1", exporter.port)) for _ in range(8)]
    deadline = time.monotonic() + 10
    while slow and time.monotonic() < deadline:
        slow = [one for one in slow if _still_takes(one)]
        time.sleep(0.05)
    assert not slow
    assert "closetrace" in scrape(exporter.port)


def _still_takes(line: socket.socket) -> bool:
    try:
        line.sendall(b"G")
    except OSError:
        line.close()
        return False
    return True


def test_a_fault_in_an_answer_writes_nothing(
    exporter: PrometheusExporter, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Clients must not be able to fill the log. The next scrape is answered."""
    with monkeypatch.context() as broken:
        broken.setattr("tracer.reports.prometheus.exporter.families", lambda _figures: [None])
        with pytest.raises(AssertionError):
            scrape(exporter.port)
    assert "closetrace" in scrape(exporter.port)
    assert capfd.readouterr().err == ""


def test_publish_comes_back_at_once(exporter: PrometheusExporter) -> None:
    """The session must not wait for figures to be made."""
    now = counted({f"path_{i}": 1 for i in range(10_000)})
    begun = time.thread_time()
    exporter.publish(now)
    assert time.thread_time() - begun < 0.01


def test_ipv6() -> None:
    """An address of IPv6 stands in brackets."""
    served = open_exporter("[::1]:0")
    assert "closetrace" in scrape(served.port, "::1")
    served.close()


def test_the_port_is_free_afterwards() -> None:
    """A new start finds its port."""
    served = open_exporter("127.0.0.1:0")
    served.close()
    open_exporter(f"127.0.0.1:{served.port}").close()


@pytest.mark.parametrize(
    "address", ["9753", ":9753", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "192.0.2.1:9753", "\0:1"]
)
def test_bad_addresses(address: str) -> None:
    """One line says what is wrong."""
    with pytest.raises(ClosetraceError, match="--metrics ") as refused:
        open_exporter(address)
    assert "\n" not in str(refused.value)


def test_an_address_that_is_taken(exporter: PrometheusExporter) -> None:
    """The kernel's own words say so."""
    with pytest.raises(ClosetraceError, match="Address already in use"):
        open_exporter(f"127.0.0.1:{exporter.port}")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(ClosetraceError, match=r"pip install 'closetrace\[metrics\]'"):
        open_exporter("127.0.0.1:0")
