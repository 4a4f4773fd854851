"""Prometheus scrapes three hosts with one leak, and a rule that is shipped reaches Alertmanager's receiver."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.engine import PROMETHEUS, command, command_inside, eventually, free_port, get, running
from tests.fleet.hosts import leak
from tracer.reports.prometheus.exporter import PrometheusExporter, open_exporter

RULES = Path(__file__).parents[2] / "packaging" / "prometheus" / "closetrace.rules.yml"
HOSTS = 3


@pytest.fixture
def exporters() -> Iterator[list[PrometheusExporter]]:
    """An exporter for each host, with its report."""
    with ExitStack() as stack:
        opened = []
        for host in range(1, HOSTS + 1):
            exporter = open_exporter("127.0.0.1:0")
            stack.callback(exporter.close)
            exporter.publish(leak(host))
            opened.append(exporter)
            eventually(partial(tells_the_leak, exporter.port), "no figures")
        yield opened


def tells_the_leak(port: int) -> bool:
    return 'program="shop"' in scrape(port)


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_promtool_has_nothing_to_object_to(exporters: list[PrometheusExporter]) -> None:
    """Names, types and help are as Prometheus' own conventions want them."""
    text = scrape(exporters[0].port)
    assert text.count("# TYPE closetrace_") == text.count("# HELP closetrace_") > 20
    done = subprocess.run(
        [*command(PROMETHEUS, "promtool"), "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


class Receiver:
    """Alertmanager's webhook."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                with receiver._changed:
                    receiver.alerts += told["alerts"]
                    receiver._changed.notify_all()

            def log_message(self, *_said: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def wait(self, name: str, instances: int) -> list[dict[str, str]]:
        """The labels of all alerts of this name, as soon as so many instances have one."""

        def told() -> list[dict[str, str]]:
            return [labels for alert in self.alerts if (labels := alert["labels"])["alertname"] == name]

        with self._changed:
            assert self._changed.wait_for(
                lambda: len({one["instance"] for one in told()}) >= instances, 60
            ), self.alerts
            return told()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_shipped_rule_fires(exporters: list[PrometheusExporter], tmp_path: Path) -> None:
    """The three hosts' leak is one site, and each host's alert names it."""
    receiver, alerts, web = Receiver(), free_port(), free_port()
    # Only the waiting is shortened.
    rules = re.sub(r"(?m)^(\s+for:) .*$", r"\1 1s", RULES.read_text())
    (tmp_path / "closetrace.rules.yml").write_text(rules)
    targets = ", ".join(f"'127.0.0.1:{exporter.port}'" for exporter in exporters)
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [closetrace.rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alerts}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: closetrace, static_configs: [{{targets: [{targets}]}}]}}]\n"
    )
    (tmp_path / "alertmanager.yml").write_text(
        "route: {receiver: test, group_wait: 0s, group_interval: 1s, group_by: [alertname, instance]}\n"
        f"receivers: [{{name: test, webhook_configs: [{{url: '{receiver.url}', send_resolved: false}}]}}]\n"
    )
    manager = [
        *command_inside(PROMETHEUS, tmp_path, "prometheus-alertmanager"),
        "--config.file=/test/alertmanager.yml",
        "--storage.path=/test/alerts",
        f"--web.listen-address=127.0.0.1:{alerts}",
        "--cluster.listen-address=",
    ]
    server = [
        *command(PROMETHEUS, "prometheus"),
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=series",
        f"--web.listen-address=127.0.0.1:{web}",
    ]
    base = f"http://127.0.0.1:{web}"
    with (
        running(manager, f"http://127.0.0.1:{alerts}/-/ready", tmp_path / "alertmanager.log"),
        running(server, f"{base}/-/ready", tmp_path / "prometheus.log"),
    ):

        def sites() -> Any:
            query = "count by (site) (closetrace_close_wait_sockets)"
            found = get(f"{base}/api/v1/query", query=query)["data"]["result"]
            return found if found and found[0]["value"][1] == str(HOSTS) else None

        (one,) = eventually(sites, "not all hosts were scraped")
        site = leak(1).sites[0].id
        assert one["metric"] == {"site": site}
        leaks = receiver.wait("ClosetraceSocketsLeak", HOSTS)
    receiver.close()
    assert {labels["site"] for labels in leaks} == {site}
    assert {labels["instance"] for labels in leaks} == {f"127.0.0.1:{exporter.port}" for exporter in exporters}
    assert {labels["program"] for labels in leaks} == {"shop"}
