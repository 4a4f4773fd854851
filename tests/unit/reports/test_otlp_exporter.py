"""Oracle: servers that read requests by the official protocol package, and the semantic conventions' own package."""

from __future__ import annotations

import pkgutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from typing import Any, Callable

import grpc
import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

from tests.unit.builders import accepted, connection, frame, report
from tests.unit.reports.test_figures import counted
from tracer.errors import ClosetraceError
from tracer.model.finding import Report
from tracer.model.frame import Stack
from tracer.model.states import TcpState
from tracer.reports.figures import names
from tracer.reports.figures.feeder import TALLIES
from tracer.reports.figures.news import News
from tracer.reports.otlp import events, outbox
from tracer.reports.otlp.exporter import open_exporter


def records(request: Any) -> list[Any]:
    """The events of a request; none if it has metrics."""
    return [r for rl in getattr(request, "resource_logs", ()) for s in rl.scope_logs for r in s.log_records]


def until(holds: Callable[[], bool]) -> None:
    """What a thread of the exporter notes has no event."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


class Collector:
    """What came in. ``refuse`` answers with an error."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []
        self.logs: list[Any] = []
        self.refuse, self.poison = False, ""
        self.taken: list[str] = []
        self.changed = threading.Condition()

    def take(self, kind: str, request: Any) -> None:
        with self.changed:
            getattr(self, kind).append(request)
            self.changed.notify_all()

    def wait(self, metrics: int, logs: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.metrics) >= metrics and len(self.logs) >= logs, 20)

    def points(self, name: str) -> list[Any]:
        """The points of a metric in the last request."""
        (resource,) = self.metrics[-1].resource_metrics
        found = [m for scope in resource.scope_metrics for m in scope.metrics if m.name == name]
        return [point for m in found for point in (*m.gauge.data_points, *m.sum.data_points)]

    def events(self, after: int = 0) -> list[Any]:
        """Those of all requests but the first ``after`` ones."""
        return [record for request in self.logs[after:] for record in records(request)]

    def accepts(self, request: Any) -> bool:
        """Whether a request is taken; of events, their sites are noted then."""
        sites = [attributes(record)["closetrace.site.id"] for record in records(request)]
        if self.refuse or self.poison in sites:
            return False
        self.taken += sites
        return True


@pytest.fixture
def over_http() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests: dict[str, tuple[str, Any]] = {
                "/v1/metrics": ("metrics", metrics_service_pb2.ExportMetricsServiceRequest()),
                "/v1/logs": ("logs", logs_service_pb2.ExportLogsServiceRequest()),
            }
            kind, request = requests[self.path]
            request.ParseFromString(body)
            self.send_response(200 if collector.accepts(request) else 400)
            self.end_headers()
            collector.take(kind, request)

        def log_message(self, *_said: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield collector, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def over_grpc() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, _context: Any) -> Any:
            collector.take("metrics", request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, _context: Any) -> Any:
            collector.take("logs", request)
            return logs_service_pb2.ExportLogsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"grpc://127.0.0.1:{port}"
    server.stop(None).wait(5)


def attributes(one: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in one.attributes}


@pytest.mark.parametrize("way", ["over_http", "over_grpc"])
def test_metrics_and_events(way: str, request: pytest.FixtureRequest) -> None:
    """Both arrive, with the resource that says which host."""
    collector, url = request.getfixturevalue(way)
    exporter = open_exporter(url)
    now = report(connection(1), connection(2))
    exporter.publish(now)
    collector.wait(1, 1)
    exporter.close()
    (site,) = now.sites
    (point,) = collector.points("closetrace.close_wait.sockets")
    assert attributes(point)["closetrace.site.id"] == site.id
    assert (point.as_double or point.as_int) == 2
    (event,) = collector.events()
    told = attributes(event)
    assert event.event_name == "closetrace.site.new"
    assert told["closetrace.site.id"] == site.id
    assert told["closetrace.verdict"] == site.verdict.value
    assert told["code.stacktrace"].splitlines()[1] == "read_reply (app)"
    assert told["closetrace.opener.stacktrace"].splitlines()[1] == "connect_backend (app)"
    assert told["code.function.name"] == "read_reply"
    assert told["closetrace.advice"] == " ".join(site.advice)
    assert told["network.peer.address"] == "127.0.0.1"
    resource = {pair.key: pair.value.string_value for pair in collector.logs[0].resource_logs[0].resource.attributes}
    assert (resource["service.name"], resource["host.name"]) == ("closetrace", "host1")


def test_totals_are_sums(over_http: tuple[Collector, str]) -> None:
    """What only grows is a monotonic sum since the recording began; all else is a gauge."""
    collector, url = over_http
    exporter = open_exporter(url)
    exporter.publish(now := report(connection(1)))
    collector.wait(1, 1)
    exporter.close()
    (resource,) = collector.metrics[0].resource_metrics
    sent = {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    known = {metric.name: metric for metric in names.ALL}
    for name, metric in sent.items():
        assert metric.HasField("sum" if known[name].total else "gauge")
        assert metric.unit == known[name].unit
    lost = sent["closetrace.losses"].sum
    assert (lost.is_monotonic, lost.data_points[0].start_time_unix_nano) == (True, round(now.started * 1e9))


def test_what_is_gone_ends_and_growth_is_told(over_http: tuple[Collector, str]) -> None:
    """Nothing is kept of earlier reports but what was told."""
    collector, url = over_http
    exporter = open_exporter(url)
    for looks, sizes in enumerate(({"a": 2, "b": 1}, {"a": 20}), 1):
        exporter.publish(counted(sizes))
        collector.wait(looks, looks)
    exporter.close()
    assert len(collector.points("closetrace.close_wait.sockets")) == 1
    grown = collector.events()[-1]
    assert (grown.event_name, attributes(grown)["closetrace.sockets.before"]) == ("closetrace.site.grown", 2)
    assert "20 sockets (2 before)" in grown.body.string_value


def test_events_wait_for_a_collector_that_refuses(over_http: tuple[Collector, str]) -> None:
    """However many reports that takes, each event is taken once in the end; reports that were lost are counted."""
    collector, url = over_http
    collector.refuse = True
    exporter = open_exporter(url)
    for number in range(1, 4):
        exporter.publish(counted({f"path_{number}": 1}))
        collector.wait(number, number)
    until(lambda: TALLIES["otlp"].failed == 3)
    assert TALLIES["otlp"].waiting == 3
    before = len(collector.logs)
    collector.refuse = False
    exporter.publish(counted({}))
    until(lambda: TALLIES["otlp"].waiting == 0)
    exporter.publish(counted({}))
    collector.wait(5, before)
    exporter.close()
    taken = collector.events(before)
    ids = [attributes(event)["closetrace.site.id"] for event in taken]
    assert len(ids) == len(set(ids)) == 3
    assert len(collector.events()) > 3
    (waiting,) = collector.points("closetrace.export.waiting")
    assert (waiting.as_double or waiting.as_int) == 0


def test_an_event_that_is_always_refused_is_in_nobodys_way(over_http: tuple[Collector, str]) -> None:
    """It ends up alone, behind all others."""
    collector, url = over_http
    collector.poison = counted({"bad": 1}).sites[0].id
    exporter = open_exporter(url)
    for number in range(20):
        exporter.publish(counted({f"path_{one}": 1 for one in range(number)} | {"bad": 1}))
        collector.wait(number + 1, 1)
    for number in range(21, 40):
        exporter.publish(counted({}))
        collector.wait(number, 1)
    until(lambda: TALLIES["otlp"].waiting == 1)
    assert len(collector.taken) == len(set(collector.taken)) == 19
    exporter.close()


def test_no_event_is_lost_for_want_of_room(over_http: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that find no room are told once there is some. What waits is bounded."""
    monkeypatch.setattr(outbox, "MOST_WAITING", 30)
    collector, url = over_http
    collector.refuse = True
    exporter, now = open_exporter(url), counted({f"path_{one}": 1 + one for one in range(50)})
    for number in (1, 2):
        exporter.publish(now)
        collector.wait(number, number)
    until(lambda: TALLIES["otlp"].failed == 2)
    assert TALLIES["otlp"].waiting == 30
    collector.refuse, before = False, len(collector.logs)
    for most in (30, 50):
        exporter.publish(now)
        until(lambda most=most: len(collector.taken) == most)  # type: ignore[misc]
        until(lambda: TALLIES["otlp"].waiting == 0)
    exporter.close()
    assert len(set(collector.taken)) == len(collector.taken) == len(collector.events(before)) == 50


def test_nobody_listens() -> None:
    """Publishing does not wait, what cannot wait is counted, and neither does the end wait for a collector."""
    exporter, now = open_exporter("http://127.0.0.1:9"), report(connection(1))
    begun = time.thread_time()
    for _ in range(1000):
        exporter.publish(now)
    assert time.thread_time() - begun < 0.5
    assert TALLIES["otlp"].dropped > 900
    begun = time.monotonic()
    exporter.close()
    assert time.monotonic() - begun < 9  # a collector would be waited for ten seconds


@pytest.mark.parametrize(
    "url", ["", "collector:4317", "ftp://a:1", "http://", "http://a:99999", "grpc://:4317", "http://[::1"]
)
def test_bad_urls(url: str) -> None:
    """One line says what to give."""
    with pytest.raises(ClosetraceError, match="give http://HOST:4318 or grpc://HOST:4317"):
        open_exporter(url)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how to get it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with pytest.raises(ClosetraceError, match=r"pip install 'closetrace\[otlp\]'"):
        open_exporter("http://127.0.0.1:4318")


def conventions() -> set[str]:
    """All attribute names of the semantic conventions' package."""
    found = set()
    for package in (stable, incubating):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            found |= {value for value in vars(import_module(module.name)).values() if isinstance(value, str)}
    return found


def test_names_are_those_of_the_conventions(over_http: tuple[Collector, str]) -> None:
    """Each attribute is one of the conventions, or begins with our own name."""
    collector, url = over_http
    exporter = open_exporter(url)
    exporter.publish(report(accepted(1), connection(2)))
    collector.wait(1, 1)
    exporter.close()
    resource = {pair.key for pair in collector.metrics[0].resource_metrics[0].resource.attributes}
    used = {key for event in collector.events() for key in attributes(event)} | resource
    used |= {one.attribute for metric in names.ALL for one in metric.labels}
    known = conventions()
    assert "code.stacktrace" in known
    assert {name for name in used if name not in known and not name.startswith("closetrace.")} == set()


def test_states_are_those_of_the_conventions() -> None:
    """The kernel calls some otherwise, among them the state of a socket that was reset."""
    (site,) = report(connection(1)).sites
    states = import_module(
        "opentelemetry.semconv._incubating.attributes.network_attributes"
    ).NetworkConnectionStateValues
    told = set()
    for state in TcpState:
        (finding,) = site.findings
        there = replace(finding, connection=replace(finding.connection, state=state))
        told.add(events.attributes(News(replace(site, findings=(there,)), 1, 0))["network.connection.state"])
    assert told == {state.value for state in states}


def test_events_are_bounded() -> None:
    """However deep a stack and however long a name is."""
    now: Report = report(connection(1))
    deep = Stack(tuple(frame("x" * 10_000, file="\x1b" * 9000, line=1) for _ in range(5000)), True)
    told = events.attributes(News(replace(now.sites[0], stack=deep, advice=("y" * 100_000,)), 1, 0))
    assert sum(len(str(value)) for value in told.values()) < 100_000
    assert all(str(value).replace("\n", "").isprintable() for value in told.values())
