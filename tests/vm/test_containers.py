"""A container with another libc than the host's, in a guest of matrix.py that has the files of another suite."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.closetrace_command import let_linger, tracing
from tests.live.namespaces import container, only_child
from tests.live.oracles import assert_stack_is, netns_of
from tests.live.workload import Workload, build

ARCHIVE = Path(__file__).resolve().parents[2] / ".vm/chroot.tar"
LIBC = "usr/lib/x86_64-linux-gnu/libc.so.6"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Another suite's file system with a leaking program."""
    subprocess.run(["tar", "-xf", ARCHIVE, "-C", tmp_path], check=True)
    shutil.copy(build("idle_pool"), tmp_path / "app")
    assert (tmp_path / LIBC).read_bytes() != (Path("/") / LIBC).read_bytes()
    return tmp_path


def test_another_libc(root: Path) -> None:
    """In a chroot and in its own namespaces: frames in the container's libc are exact and have names from its file."""
    with Workload(*container(f"exec chroot {root} /app 2")) as program:
        pid = only_child(program.root)
        with tracing(pid) as trace:
            trace.attached()
            program.all_steps()
            let_linger()
            netns = netns_of(pid)
            report = trace.stop().report()
    (site,) = report["sites"]
    assert (site["pid"], site["comm"], site["count"], site["verdict"]) == (pid, "app", 2, "idle-in-pool")
    assert site["stack_complete"] is True, site["stack_note"]
    assert_stack_is(site["stack"], program.touches("recv")[-1])
    assert "__libc_start_main" in [frame["function"] for frame in site["stack"]]
    assert all(one["netns"] == netns for one in site["sockets"])
    assert all(one["remote"].startswith("127.0.0.1:") for one in site["sockets"])
