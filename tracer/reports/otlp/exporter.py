"""Sends metrics and events to an OpenTelemetry collector, over HTTP or gRPC, from a thread of its own.

One thread makes figures and events of a report, and lets it go. Another one sends them: a collector may take minutes,
or be away for hours. Meanwhile the newest figures wait, which have all that older ones had, and events up to a number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tracer import __version__
from tracer.errors import ClosetraceError, UsageError
from tracer.reports.figures.feeder import TALLIES, Feeder
from tracer.reports.figures.figures import Figures
from tracer.reports.figures.news import News, Newsroom
from tracer.reports.otlp.outbox import Outbox

if TYPE_CHECKING:
    from tracer.model.finding import Report

_TIMEOUT_S = 10
_SUCCESS = "SUCCESS"  # of the SDK's enumerations, whose own names differ from release to release
_HTTP, _GRPC = ("http", "https"), ("grpc", "grpcs")
_SENDERS = "opentelemetry.exporter.otlp.proto"


class BadUrl(UsageError):
    """The URL is none of a collector."""


class NoLibrary(ClosetraceError):
    """The SDK is not installed."""


class NotTaken(Exception):
    """The collector did not take what was sent."""


def open_exporter(url: str) -> OtlpExporter:
    """Send to ``http://HOST:4318`` or ``grpc://HOST:4317`` (``https``, ``grpcs`` with TLS). Raises ClosetraceError."""
    return OtlpExporter(url)


class OtlpExporter:
    """One collector. Nothing is sent before the first report. Raises BadUrl, NoLibrary."""

    def __init__(self, url: str) -> None:
        _quiet()
        self._metrics, self._logs = _senders(url)
        self._figures, self._newsroom, self._outbox = Figures(), Newsroom(), Outbox()
        self._feeder: Feeder[Report] = Feeder("otlp", self._prepare, most=1)
        self._feeder.tally.waiting = 0
        self._sender: Feeder[Any] = Feeder("otlp", self._send, most=1, tally=self._feeder.tally)

    def publish(self, report: Report) -> None:
        """Send this report's figures and what is new in it."""
        self._feeder.put(report)

    def looked(self, at: float) -> None:
        """Nothing is sent for that: the next report has its own time."""

    def close(self) -> None:
        """End. What was not sent is not sent any more."""
        for sender in (self._metrics, self._logs):
            sender.shutdown()
        self._feeder.close()
        self._sender.close()

    def _prepare(self, report: Report) -> None:
        from tracer.reports.otlp.metrics import metrics_data

        resource = _resource(report)
        started_ns, now_ns = round(report.started * 1e9), round(report.ended * 1e9)
        figures = self._figures.of(report, tuple(TALLIES.values()))
        news = self._newsroom.news(report, self._outbox.room)
        self._outbox.add(*_records(news, resource, now_ns))
        self._feeder.tally.waiting = len(self._outbox)
        self._sender.put(metrics_data(figures, resource, started_ns, now_ns))

    def _send(self, metrics: Any) -> None:
        taken = told = False
        try:
            taken = self._metrics.export(metrics).name == _SUCCESS
        finally:  # whatever a library raises: events do not wait for metrics
            told = self._tell()
        if not (taken and told):
            raise NotTaken(" and ".join(["metrics"] * (not taken) + ["events"] * (not told)))

    def _tell(self) -> bool:
        """Send the events that wait, until one request is not taken: then again after the next report."""
        taken = True
        while taken and (batch := self._outbox.take()):
            taken = False
            try:
                taken = self._logs.export([one.record for one in batch]).name == _SUCCESS
            finally:
                self._outbox.done(batch, taken=taken)
                self._feeder.tally.waiting = len(self._outbox)
        return taken


def _senders(url: str) -> tuple[Any, Any]:
    """What sends metrics, and what sends events."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in (*_HTTP, *_GRPC) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadUrl(f"--otlp {url}: give http://HOST:4318 or grpc://HOST:4317")
    way = "http" if parts.scheme in _HTTP else "grpc"
    try:
        metrics = import_module(f"{_SENDERS}.{way}.metric_exporter").OTLPMetricExporter
        logs = import_module(f"{_SENDERS}.{way}._log_exporter").OTLPLogExporter
        import_module("opentelemetry.sdk.metrics.export")
    except ImportError:
        raise NoLibrary("--otlp needs OpenTelemetry's libraries: pip install 'closetrace[otlp]'") from None
    if way == "grpc":
        secure = parts.scheme == "grpcs"
        where = f"{'https' if secure else 'http'}://{parts.netloc}"
        return tuple(kind(endpoint=where, insecure=not secure, timeout=_TIMEOUT_S) for kind in (metrics, logs))
    base = url.rstrip("/")
    return (
        metrics(endpoint=f"{base}/v1/metrics", timeout=_TIMEOUT_S),
        logs(endpoint=f"{base}/v1/logs", timeout=_TIMEOUT_S),
    )


def _resource(report: Report) -> Any:
    from opentelemetry.sdk.resources import Resource

    host = report.host
    return Resource(
        {
            "service.name": "closetrace",
            "service.version": __version__,
            "service.instance.id": host.hostname,
            "host.name": host.hostname,
            "host.arch": {"x86_64": "amd64"}.get(host.architecture, host.architecture),
            "os.type": "linux",
            "os.version": host.kernel,
        }
    )


def _records(news: Sequence[News], resource: Any, now_ns: int) -> tuple[list[Any], list[int]]:
    """The events as the SDK's own logger makes them, and how many bytes their texts take."""
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor

    from tracer.reports.otlp import events

    made: list[Any] = []

    class Gather(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            made.append(log_record)

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002
            return True

    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(Gather())
    logger = provider.get_logger("closetrace", __version__)
    sizes = []
    for one in news:
        attributes = events.attributes(one)
        sizes.append(sum(len(value) for value in attributes.values() if isinstance(value, str)))
        logger.emit(
            LogRecord(
                timestamp=now_ns,
                observed_timestamp=time.time_ns(),
                severity_text="WARN",
                severity_number=SeverityNumber.WARN,
                event_name=events.event_name(one),
                body=events.body(one),
                attributes=attributes,
            )
        )
    return made, sizes


def _quiet() -> None:
    """The SDK tells of each failure in the log. Ours are counted, and stderr is the agent's."""
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
