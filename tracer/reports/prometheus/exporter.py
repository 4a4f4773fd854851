"""Serves the figures of the last report over HTTP, for Prometheus to scrape."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from tracer.errors import ClosetraceError, UsageError
from tracer.reports.figures import names
from tracer.reports.figures.feeder import TALLIES, Feeder
from tracer.reports.figures.figures import Figure, Figures

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

    from tracer.model.finding import Report

_MOST_SCRAPES = 8
"""So many are answered at the same time; more are refused."""
_PATIENCE_S = 5.0
"""A client that sends or takes nothing for so long is left."""
_LONGEST_S = 15.0
"""So long a client may take for all of a scrape, however often it sends a byte."""


class BadAddress(ClosetraceError):
    """The figures cannot be served at the address that was asked for."""


class NoLibrary(ClosetraceError):
    """The official library is not installed."""


def families(figures: tuple[Figure, ...]) -> Iterator[Family]:
    """The figures as the library's metric families. A series that has no figure any more is not in them."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    values: dict[names.Metric, list[Figure]] = {metric: [] for metric in names.ALL}
    for figure in figures:
        values[figure.metric].append(figure)
    for metric, several in values.items():
        labels = [one.name for one in metric.labels]
        kind = CounterMetricFamily if metric.total else GaugeMetricFamily
        family = kind(metric.prometheus, metric.help, labels=labels)
        for figure in several:
            family.add_metric(figure.labels, figure.value)
        yield family


class PrometheusExporter:
    """Answers ``GET /metrics`` at ``address`` (HOST:PORT). Raises UsageError, BadAddress, NoLibrary."""

    def __init__(self, address: str) -> None:
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ImportError:
            raise NoLibrary(
                "--metrics needs Prometheus' library: pip install 'closetrace[metrics]', or Debian's"
                " python3-prometheus-client"
            ) from None
        host, port = _split(address)
        registry = CollectorRegistry()
        registry.register(self)
        self._server = _serve(address, host, port, make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True)
        self._figures, self._now = Figures(), tuple[Figure, ...]()
        self._looked = 0.0
        self._feeder = Feeder("prometheus", self._take, most=1)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is served; that which the kernel chose if 0 was asked for."""
        return int(self._server.server_address[1])

    def publish(self, report: Report) -> None:
        """Serve this report's figures from now on."""
        self._feeder.put(report)

    def looked(self, at: float) -> None:
        """Tell from now on that closetrace looked at ``at``. Where a report takes long its figures are minutes old."""
        self._looked = at

    def collect(self) -> Iterator[Family]:
        """What the library asks for at each scrape."""
        return families(tuple(map(self._fresh, self._now)))

    def _fresh(self, figure: Figure) -> Figure:
        return figure._replace(value=max(figure.value, self._looked)) if figure.metric is names.LAST_LOOK else figure

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._feeder.close()

    def _take(self, report: Report) -> None:
        self._now = self._figures.of(report, tuple(TALLIES.values()))


def open_exporter(address: str) -> PrometheusExporter:
    """Serve at ``ADDRESS:PORT``. Raises ClosetraceError with one sentence."""
    return PrometheusExporter(address)


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--metrics {address}: give ADDRESS:PORT, such as 127.0.0.1:9753")
    return host, int(port)


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_S

    def log_message(self, *_said: Any) -> None:
        """Write nothing: stderr is the agent's."""

    def get_stderr(self) -> Any:
        """Where a fault's traceback goes: nowhere, or clients could fill the agent's log."""
        return io.StringIO()


class _Server(ThreadingMixIn, WSGIServer):
    """Each scrape has a thread of its own, up to a number: a client that is slow holds nobody up."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *given: Any) -> None:
        self._open: dict[Any, float] = {}
        super().__init__(*given)

    def server_bind(self) -> None:
        """Bind without asking a name server what this host is called."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= _MOST_SCRAPES:
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread for it
            self._open.pop(request, None)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)

    def service_actions(self) -> None:
        """Leave those that take too long. The server calls this some times a second."""
        now = time.monotonic()
        for request, begun in list(self._open.items()):
            if now - begun > _LONGEST_S:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Write nothing: clients come and go."""


def _serve(address: str, host: str, port: int, application: Any) -> _Server:
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server_class = type("_FamilyServer", (_Server,), {"address_family": family})
        server: _Server = server_class(where[:2], _Handler)
    except (OSError, UnicodeError) as error:
        raise BadAddress(f"--metrics {address}: {getattr(error, 'strerror', None) or error}") from None
    server.set_app(application)
    return server
