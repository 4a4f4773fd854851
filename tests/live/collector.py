"""A collector of a few lines that speaks OTLP over HTTP, and is away, refuses or stalls as a test says."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.live.closetrace_command import END_LIMIT_S

_REQUESTS: dict[str, Callable[[], Any]] = {
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}
AWAY, TAKES, REFUSES, STALLS = "away", "takes", "refuses", "stalls"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector = self.server.collector
        with collector.changed:
            collector.requests += 1
            collector.largest = max(collector.largest, len(body))
            collector.changed.notify_all()
            mode = collector.mode
        if mode == STALLS:
            self.connection.recv(1)  # until the client hangs up
            self.close_connection = True
            return
        if mode == TAKES:
            request = _REQUESTS[self.path]()
            request.ParseFromString(body)
            with collector.changed:
                collector.take(request)
                collector.changed.notify_all()
        self.send_response(200 if mode == TAKES else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_said: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    collector: Collector


class Collector:
    """It is away (nobody listens at its port) until :meth:`come`."""

    def __init__(self) -> None:
        self._kept = socket.socket()  # bound and not listening: connections are refused, and nobody else gets the port
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.port: int = self._kept.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.changed = threading.Condition()
        self.mode = TAKES
        self.requests = self.largest = 0
        self.events: list[dict[str, Any]] = []
        self.metrics: dict[str, list[Any]] = {}
        self._server: _Server | None = None

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._kept.close()

    def come(self, mode: str) -> None:
        """Listen, if it does not, and do so with each request from now on."""
        with self.changed:
            self.mode = mode
        if self._server is None and mode != AWAY:
            self._server = _Server(("127.0.0.1", self.port), _Handler)
            self._server.collector = self
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, request: Any) -> None:
        """Keep the events, and the newest points of each metric."""
        for resource in getattr(request, "resource_logs", ()):
            for scope in resource.scope_logs:
                self.events += map(_attributes, scope.log_records)
        for resource in getattr(request, "resource_metrics", ()):
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.metrics[metric.name] = [*metric.gauge.data_points, *metric.sum.data_points]

    def value(self, name: str, attribute: str, text: str) -> float:
        """The sum of the newest points of a metric of which an attribute is this text."""
        points = [one for one in self.metrics.get(name, ()) if _attributes(one).get(attribute) == text]
        return float(sum(one.as_double or one.as_int for one in points))

    def sockets(self, site: str) -> float:
        """How many a site has."""
        return self.value("closetrace.close_wait.sockets", "closetrace.site.id", site)

    def until(self, holds: Callable[[], bool], what: str, limit_s: float = END_LIMIT_S) -> None:
        """Wait until requests have brought that about."""
        end = time.monotonic() + limit_s
        with self.changed:
            while not holds():
                assert self.changed.wait(max(end - time.monotonic(), 0)), what


def _attributes(one: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in one.attributes}
