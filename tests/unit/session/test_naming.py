"""Where the names of pods come from, as a configuration says."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Optional

import pytest

from tracer.errors import UsageError
from tracer.host import podnames
from tracer.host.podnames import PodNames
from tracer.model.identity import Identity
from tracer.session import naming

HOME = Identity("", "a1" * 32, "7f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e")


def test_off_tells_no_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Though there are some, which are told otherwise."""
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / f"web_shop_app-{HOME.container}.log").touch()
    monkeypatch.setattr(naming, "LogFolders", lambda: podnames.LogFolders(str(tmp_path)))

    def told(where: str) -> Identity:
        naming.check_pod_names(where)
        names: PodNames = naming.pod_names(where)
        found = names.named(HOME)
        names.close()
        return found

    assert told("off") == HOME
    assert told("logs").container_name == told(str(tmp_path / "runtime.sock")).container_name == "app"


def test_what_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what can be given, or what is to be installed."""
    with pytest.raises(UsageError, match="give logs, off, or the path"):
        naming.check_pod_names("yes")

    def find_spec(_name: str) -> Optional[ModuleSpec]:
        return None

    monkeypatch.setattr(naming, "find_spec", find_spec)
    monkeypatch.delitem(sys.modules, "grpc", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'closetrace\[cri\]'"):
        naming.check_pod_names("/run/crio/crio.sock")
