"""What must be in order before anything is attached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tracer.errors import HostUnsupported
from tracer.host import identity
from tracer.session import opening

CLOSETRACE = str(Path(sys.executable).with_name("closetrace"))


@pytest.mark.root
def test_root_on_this_host_may_trace() -> None:
    """Nothing is in the way here."""
    opening.require_rights()


@pytest.mark.root
def test_a_pid_namespace_of_its_own_is_refused() -> None:
    """BPF's process numbers are the first namespace's: --pid and stacks would be those of other processes."""
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", CLOSETRACE, "--pid", "1", "--duration", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert "--pid=host" in done.stderr


@pytest.mark.root
@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("[none] integrity confidentiality\n", None),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
        ("", None),
        (None, None),
    ],
)
def test_lockdown_is_read_as_the_kernel_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: str
) -> None:
    """Confidentiality forbids BPF to read kernel memory; integrity does not."""
    path = tmp_path / "lockdown"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(identity, "_LOCKDOWN", path)
    assert identity.lockdown() == mode
    if mode == "confidentiality":
        with pytest.raises(HostUnsupported, match="lockdown=integrity"):
            opening.require_rights()
    else:
        opening.require_rights()
