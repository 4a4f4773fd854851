"""An OpenTelemetry Collector takes metrics and events, over HTTP and over gRPC."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fleet.engine import eventually, free_port, running
from tests.fleet.hosts import leak
from tracer.reports.otlp.exporter import open_exporter

PROGRAM = os.environ.get("CLOSETRACE_COLLECTOR", "")
"""Built by collector.sh, which takes some minutes: `make test-fleet` leaves this test out."""


class Collector(NamedTuple):
    """Where it listens, and what it writes of all that comes in."""

    http: str
    grpc: str
    log: Path


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    assert PROGRAM, "make test-fleet-collector builds the collector and runs this"
    http, grpc, web = free_port(), free_port(), free_port()
    (tmp_path / "otelcol.yaml").write_text(
        "receivers: {otlp: {protocols: {"
        f"http: {{endpoint: '127.0.0.1:{http}'}}, grpc: {{endpoint: '127.0.0.1:{grpc}'}}}}}}}}\n"
        "exporters: {debug: {verbosity: detailed, sampling_initial: 1000}}\n"
        "service:\n"
        "  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: "
        f"{{host: 127.0.0.1, port: {web}}}}}}}}}]}}}}\n"
        "  pipelines:\n"
        "    metrics: {receivers: [otlp], exporters: [debug]}\n"
        "    logs: {receivers: [otlp], exporters: [debug]}\n"
    )
    words = [PROGRAM, f"--config=file:{tmp_path}/otelcol.yaml"]
    log = tmp_path / "otelcol.log"
    with running(words, f"http://127.0.0.1:{web}/metrics", log):
        yield Collector(f"http://127.0.0.1:{http}", f"grpc://127.0.0.1:{grpc}", log)


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_metrics_and_events(collector: Collector, way: str) -> None:
    """What it took has the site, the stack, the advice and the host; no metric is refused."""
    now = leak(7)
    exporter = open_exporter(getattr(collector, way))
    exporter.publish(now)
    text = eventually(lambda: "closetrace.site.new" in (t := collector.log.read_text()) and t, "no event came in")
    exporter.close()
    site = now.sites[0]
    assert f"closetrace.site.id: Str({site.id})" in text
    assert re.search(r"EventName: closetrace\.site\.new", text)
    assert "host.name: Str(host-7)" in text
    assert "fetch_price (/build/7/price.c:17)" in text
    assert f"closetrace.advice: Str({site.advice[0][:20]}" in text
    assert "-> Name: closetrace.close_wait.sockets" in text
    assert "-> Unit: {socket}" in text
