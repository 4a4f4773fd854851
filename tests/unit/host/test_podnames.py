"""Oracle: log folders as a kubelet lays them out (k8s 1.28 with containerd, and a pod from a file)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tracer.host import podnames
from tracer.host.podnames import LogFolders, Names, PodNames, checked
from tracer.model.identity import NOBODY, Identity

APP, SIDE, PAUSE, STATIC = "a1" * 32, "b2" * 32, "c3" * 32, "d4" * 32
UID, FILE_UID = "7f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e", "5e0a" * 8


def start(root: Path, namespace: str, pod: str, uid: str, container: str, key: str) -> None:
    """What the kubelet makes when a container starts: its log, and the link to it."""
    folder = root / "pods" / f"{namespace}_{pod}_{uid}" / container
    folder.mkdir(parents=True)
    (folder / "0.log").touch()
    links = root / "containers"
    links.mkdir(exist_ok=True)
    (links / f"{pod}_{namespace}_{container}-{key}.log").symlink_to(folder / "0.log")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    start(tmp_path, "shop", "web-7d4b9c6f5-x2x9q", UID, "app", APP)
    start(tmp_path, "shop", "web-7d4b9c6f5-x2x9q", UID, "envoy-2", SIDE)
    start(tmp_path, "kube-system", "etcd-node-1.example.org", FILE_UID, "etcd", STATIC)
    return tmp_path


@pytest.mark.parametrize(
    ("container", "pod", "names"),
    [
        (APP, UID, ("shop", "web-7d4b9c6f5-x2x9q", "app")),
        (SIDE, UID, ("shop", "web-7d4b9c6f5-x2x9q", "envoy-2")),
        (STATIC, FILE_UID, ("kube-system", "etcd-node-1.example.org", "etcd")),
        (PAUSE, UID, ("shop", "web-7d4b9c6f5-x2x9q", "")),
        ("", UID, ("shop", "web-7d4b9c6f5-x2x9q", "")),
        (PAUSE, UID.replace("7", "8"), ("", "", "")),
    ],
)
def test_names(logs: Path, container: str, pod: str, names: tuple[str, str, str]) -> None:
    """A container by its id, a pod by its uid; what holds a pod's namespaces has the pod's names alone."""
    assert PodNames(LogFolders(str(logs))).named(Identity("", container, pod)) == Identity("", container, pod, *names)


def test_what_is_no_pod_has_no_name(logs: Path) -> None:
    """Nothing is looked for."""
    names = PodNames(LogFolders(str(logs)))
    for one in (NOBODY, Identity("shop.service"), Identity("", APP)):
        assert names.named(one) == one


@pytest.mark.parametrize(
    "name",
    [
        f"web_shop_app-{APP[:63]}.log",
        f"web_shop_app-{APP}",
        f"web_shop_-{APP}.log",
        f"web_shop_a\x1b[31m-{APP}.log",
        f"Web_shop_app-{APP}.log",
        f"web_{'s' * 64}_app-{APP}.log",
        f"web__app-{APP}.log",
        f"web_shop_app-{APP}.log\n",
    ],
)
def test_what_kubernetes_would_not_allow_is_no_name(tmp_path: Path, name: str) -> None:
    """Whoever put it there: it is not told."""
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / name).touch()
    pods = tmp_path / "pods"
    pods.mkdir()
    for bad in ("shop_a\x1b[31m", "Shop_web", "shop_", "_web", "shop_web_x"):
        (pods / f"{bad}_{UID}").mkdir()
    assert PodNames(LogFolders(str(tmp_path))).named(Identity("", APP, UID)) == Identity("", APP, UID)


def test_checked() -> None:
    """Names that somebody told."""
    assert checked("shop", "web.1", "app") == Names("shop", "web.1", "app")
    assert checked("shop", "web", "") == Names("shop", "web")
    assert checked("shop", "", "app") is checked("Shop", "web", "app") is checked("shop", "web", "a b") is None


def test_a_container_that_starts_later_is_found(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also within the same tick of the file system's clock; and one that is gone keeps its names."""
    monkeypatch.setattr(podnames, "_SURELY_NS", 10**15)
    names, later = PodNames(LogFolders(str(logs))), Identity("", "e5" * 32, UID.replace("7", "9"))
    app = Identity("", APP, UID)
    assert names.named(later) == later
    before = os.stat(logs / "containers").st_mtime_ns
    start(logs, "bank", "ledger-0", later.pod, "db", later.container)
    os.utime(logs / "containers", ns=(before, before))
    assert names.named(later) == Identity("", later.container, later.pod, "bank", "ledger-0", "db")
    assert names.named(app).container_name == "app"
    for link in (logs / "containers").iterdir():
        link.unlink()
    assert names.named(app).container_name == "app"


def test_a_folder_is_read_again_only_when_it_has_changed(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has no name costs two calls of stat each time."""
    read: list[str] = []
    scan = os.scandir

    def counted(path: str) -> object:
        read.append(os.path.basename(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", counted)
    long_ago = time.time_ns() - 10**10
    for folder in ("pods", "containers"):
        os.utime(logs / folder, ns=(long_ago, long_ago))
    names = PodNames(LogFolders(str(logs)))
    for _ in range(100):
        names.named(Identity("", PAUSE, UID))
    assert read == ["containers", "pods"]


def test_bounded(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Months of pods that come and go take no more memory."""
    monkeypatch.setattr(podnames, "_MOST_KNOWN", 1)
    names = PodNames(LogFolders(str(logs)))
    for container, pod in ((APP, UID), (SIDE, UID), (STATIC, FILE_UID)):
        assert names.named(Identity("", container, pod)).container_name
    assert len(names._known) == 1


def test_without_a_kubelet(tmp_path: Path) -> None:
    """No folder, no name."""
    assert PodNames(LogFolders(str(tmp_path / "none"))).named(Identity("", APP, UID)) == Identity("", APP, UID)
    assert PodNames().named(Identity("", APP, UID)) == Identity("", APP, UID)
