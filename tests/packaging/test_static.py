"""What an operator deploys, as its makers' tools see it: promtool, helm, kubernetes-validate, systemd-analyze, rpm."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracer
from tests.packaging.unit import UNIT, capabilities
from tests.wheel.installed import REPOSITORY, checked
from tracer.reports.figures import names

PACKAGING = REPOSITORY / "packaging"
RULES = PACKAGING / "prometheus/closetrace.rules.yml"
CHART = PACKAGING / "helm/closetrace"
#: Of the Prometheus operator; kubernetes-validate knows the kinds of Kubernetes only.
CUSTOM = ("PodMonitor", "PrometheusRule")
METRICS = {metric.prometheus for metric in names.ALL}
METERED = ("metrics.enabled=true",)


def test_the_rules_are_good_and_fire() -> None:
    """promtool accepts them; each alert fires in time, and not before, on the series of the rules' own test."""
    checked("promtool", "check", "rules", RULES)
    checked("promtool", "test", "rules", RULES.with_name("closetrace.rules.test.yml"))


def test_each_alert_has_a_test() -> None:
    """The file for promtool names each alert."""
    tested = RULES.with_name("closetrace.rules.test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert [alert for alert in alerts if alert not in tested] == []


def _used(text: str) -> set[str]:
    return set(re.findall(r"(?<![:\w])closetrace_\w+", text))


def test_the_rules_use_metrics_that_are_exported() -> None:
    """Each name in an expression is one of the exporter's."""
    expressions = re.sub(r"(?s)annotations:.*?(?=- alert|- name|\Z)", "", RULES.read_text())
    assert _used(expressions) <= METRICS


def _expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel["targets"])


def test_the_dashboard_is_good(tmp_path: Path) -> None:
    """Each query is PromQL, by promtool, and of the exporter's metrics; panels do not lie on each other."""
    board = json.loads((PACKAGING / "grafana/closetrace.json").read_text())
    queries = [*_expressions(board["panels"])]
    assert _used(json.dumps(board)) <= METRICS
    rules = [
        {"record": f"query{place}", "expr": query.replace("$__rate_interval", "5m")}
        for place, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked("promtool", "check", "rules", file)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.fixture(scope="module")
def helm() -> str:
    """Helm's path."""
    return checked(PACKAGING / "helm.sh").strip()


@pytest.mark.parametrize("choices", [(), METERED, (*METERED, "metrics.podMonitor=true", "metrics.rules=true")])
def test_the_chart_is_good(helm: str, choices: tuple[str, ...]) -> None:
    """Helm finds nothing, and each object fits Kubernetes' own schema, also with nothing beyond it (strict)."""
    import kubernetes_validate
    import yaml

    sets = [word for choice in choices for word in ("--set", choice)]
    checked(helm, "lint", "--strict", CHART, *sets)
    shown = checked(helm, "template", "closetrace", CHART, *sets)
    objects = list(yaml.safe_load_all(shown))
    for one in objects:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, "1.34", strict=True)
    kinds = [one["kind"] for one in objects]
    assert kinds == ["ConfigMap", "DaemonSet", *(CUSTOM if "metrics.rules=true" in choices else ())]


def test_the_chart_writes_numbers_as_the_agent_reads_them(helm: str) -> None:
    """Helm has each number of YAML as a float64, and would write a million as 1e+06."""
    import yaml

    # --set-json is the same as a file of values: --set would have integers
    words = ("--set-json", 'config.agent={"linger": 1000000, "max-overhead": 0.5, "memory": 32, "pod-names": "off"}')
    config = next(iter(yaml.safe_load_all(checked(helm, "template", "closetrace", CHART, *words))))
    assert config["data"]["agent.conf"].splitlines() == [
        "[agent]",
        "linger = 1000000",
        "max-overhead = 0.5",
        "memory = 32",
        "pod-names = off",
    ]


def _mounts(helm: str, *words: str) -> dict[str, bool]:
    """The paths that the chart's container gets, and whether it can only read there."""
    import yaml

    daemons = list(yaml.safe_load_all(checked(helm, "template", "closetrace", CHART, *words)))[1]
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    return {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}


def test_the_chart_has_what_tells_the_names_of_pods(helm: str) -> None:
    """The kubelet's log folders, to read only; nothing of them if no names are wanted."""
    logs = {"/var/log/pods": True, "/var/log/containers": True}
    assert logs.items() <= _mounts(helm).items()
    assert not logs.keys() & _mounts(helm, "--set", "config.agent.pod-names=off").keys()
    assert logs.items() <= _mounts(helm, "--set", "config.agent=null").items()


@pytest.mark.parametrize(("version", "has_field"), [("1.29.0", False), ("1.30.0", True), ("1.34.1-eks-abc", True)])
def test_no_profile_hides_the_processes_of_the_node(helm: str, version: str, has_field: bool) -> None:
    """The runtime's own of AppArmor and SELinux would. Kubernetes 1.30 has a field where there was an annotation."""
    import yaml

    shown = checked(helm, "template", "closetrace", CHART, "--kube-version", version)
    template = list(yaml.safe_load_all(shown))[1]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    rights = container["securityContext"]
    annotation = f"container.apparmor.security.beta.kubernetes.io/{container['name']}"
    assert (rights.get("appArmorProfile") == {"type": "Unconfined"}) == has_field
    assert (template["metadata"]["annotations"].get(annotation) == "unconfined") != has_field
    assert rights["seLinuxOptions"] == {"type": "spc_t"}


def test_unit_and_chart_ask_for_the_same_capabilities(helm: str) -> None:
    """All others are dropped."""
    import yaml

    daemons = list(yaml.safe_load_all(checked(helm, "template", "closetrace", CHART)))[1]
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    asked = container["securityContext"]["capabilities"]
    assert asked["drop"] == ["ALL"]
    assert [f"CAP_{name}" for name in asked["add"]] == capabilities()


def test_the_unit_is_good(tmp_path: Path) -> None:
    """systemd finds nothing to object to in a root that has the command; the exposure is called OK."""
    units = tmp_path / "usr/lib/systemd/system"
    shutil.copytree("/usr/lib/systemd/system", units, symlinks=True)
    shutil.copy(UNIT, units)
    for shell in ("bin/sh", "usr/bin/sh"):
        (tmp_path / shell).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/sh", tmp_path / shell)
    checked(PACKAGING / "install.sh", tmp_path)
    said = subprocess.run(
        ["systemd-analyze", f"--root={tmp_path}", "verify", UNIT.name], capture_output=True, text=True, check=False
    )
    assert [line for line in said.stderr.splitlines() if UNIT.name in line] == []
    shown = checked("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    assert re.search(r"Overall exposure level for \S+: [\d.]+ OK", shown), shown


def test_the_rpm_is_good() -> None:
    """It is built, and rpmlint finds nothing but what packaging/rpm/rpmlint.toml tells with reasons."""
    said = checked(PACKAGING / "rpm/build.sh")
    assert "0 errors, 0 warnings" in said
    (built,) = (REPOSITORY / "build/rpm/RPMS/noarch").glob("*.rpm")
    assert checked("rpm", "--query", "--package", "--queryformat", "%{VERSION}", built) == tracer.__version__


def test_deb_rpm_and_chart_have_the_version_of_the_source() -> None:
    """It is written in each of them."""
    versions = {
        *re.findall(r"\Aclosetrace \((.+?)-\d+\)", (PACKAGING / "debian/changelog").read_text()),
        *re.findall(r"^Version: +(\S+)$", (PACKAGING / "rpm/closetrace.spec").read_text(), re.MULTILINE),
        *re.findall(r'^(?:appV|v)ersion: "?([\d.]+)"?$', (CHART / "Chart.yaml").read_text(), re.MULTILINE),
    }
    assert versions == {tracer.__version__}
