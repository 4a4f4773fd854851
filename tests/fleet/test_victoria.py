"""VictoriaMetrics takes the metrics by OTLP, and answers for ten thousand hosts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource

from tests.fleet.engine import VICTORIA, command, eventually, free_port, get, running
from tests.fleet.hosts import leak
from tracer.reports.figures import names
from tracer.reports.figures.figures import Figures
from tracer.reports.otlp.exporter import open_exporter
from tracer.reports.otlp.metrics import metrics_data

HOSTS = 10_000
_AT_A_TIME = 500


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. Names are turned into Prometheus' own, so that one rule and one dashboard fit both."""
    directory, port = tmp_path_factory.mktemp("victoria"), free_port()
    words = [
        *command(VICTORIA, "victoria-metrics"),
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={directory}/data",
        "-opentelemetry.usePrometheusNaming",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=256MB",
    ]
    with running(words, f"http://127.0.0.1:{port}/health", directory / "log"):
        yield f"http://127.0.0.1:{port}"


def query(url: str, text: str) -> list[dict[str, Any]]:
    found = get(f"{url}/api/v1/query", query=text, nocache="1")
    return list(found["data"]["result"])


def test_metrics_by_otlp(victoria: str) -> None:
    """Each metric has the name that docs/fleet.md tells, and the labels of the conventions."""
    exporter, now = open_exporter(f"{victoria}/opentelemetry"), leak(1)
    exporter.publish(now)
    (row,) = eventually(lambda: query(victoria, "closetrace_close_wait_sockets"), "nothing arrived")
    exporter.close()
    assert row["value"][1] == "25"
    metric = row["metric"]
    assert metric["closetrace_site_id"] == now.sites[0].id
    assert (metric["process_executable_name"], metric["host_name"]) == ("shop", "host-1")
    assert metric["container_id"] == now.sites[0].processes[0].identity.container
    taken = set(get(f"{victoria}/api/v1/label/__name__/values")["data"])
    expected = {figure.metric.prometheus for figure in Figures().of(now)} - {names.BUILD.prometheus}
    assert expected <= taken


def test_ten_thousand_hosts(victoria: str, tmp_path: Path) -> None:
    """Their leak is one site, and is added up within seconds."""
    template, figures = leak(1), Figures()
    known = [one for one in figures.of(template) if one.metric in (names.CLOSE_WAIT, names.OLDEST, names.WATCHED)]
    sender = OTLPMetricExporter(endpoint=f"{victoria}/opentelemetry/v1/metrics", timeout=60)
    begun = time.monotonic()
    for first in range(0, HOSTS, _AT_A_TIME):
        now = time.time_ns()
        parts = [
            metrics_data(tuple(known), Resource({"host.name": f"big-{host}"}), now, now).resource_metrics[0]
            for host in range(first, first + _AT_A_TIME)
        ]
        assert sender.export(MetricsData(parts)) is MetricExportResult.SUCCESS
    sent = time.monotonic() - begun
    text = 'count by (closetrace_site_id) (closetrace_close_wait_sockets{host_name=~"big-.*"})'
    eventually(lambda: (r := query(victoria, text)) and r[0]["value"][1] == str(HOSTS), "not all hosts arrived")
    begun = time.monotonic()
    total = query(victoria, 'sum by (closetrace_site_id) (closetrace_close_wait_sockets{host_name=~"big-.*"})')
    took = time.monotonic() - begun
    print(f"\n{HOSTS} hosts, {len(known) * HOSTS} series: sent in {sent:.1f} s, summed in {took:.2f} s")
    assert [(one["metric"]["closetrace_site_id"], one["value"][1]) for one in total] == [
        (template.sites[0].id, str(25 * HOSTS))
    ]
    assert took < 5
