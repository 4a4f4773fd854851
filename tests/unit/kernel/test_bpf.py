"""The bare bpf(2) calls, on this kernel."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracer.kernel import bpf
from tracer.kernel.btf import Btf
from tracer.kernel.features import discover
from tracer.kernel.hooks import TRACEPOINTS, hooks_in

pytestmark = pytest.mark.root


def descriptors() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


def test_an_empty_program_loads_attaches_and_leaves_nothing() -> None:
    """A raw tracepoint program attaches to a tracepoint that exists, and both descriptors are ours to close."""
    before = descriptors()
    with bpf.closing(bpf.load_empty(bpf.PROG_RAW_TRACEPOINT)) as program:
        info = Path(f"/proc/self/fdinfo/{program}").read_text()
        assert "prog_type:\t17" in info
        with bpf.closing(bpf.open_raw_tracepoint(program, "inet_sock_set_state")) as link:
            assert os.readlink(f"/proc/self/fd/{link}").startswith("anon_inode:")
    assert descriptors() == before


def test_an_unknown_tracepoint_is_refused_by_name() -> None:
    """ENOENT, as bpf(2) has it."""
    with bpf.closing(bpf.load_empty(bpf.PROG_RAW_TRACEPOINT)) as program:
        with pytest.raises(OSError, match="No such file") as caught:
            bpf.open_raw_tracepoint(program, "closetrace_does_not_exist")
        assert caught.value.errno == errno.ENOENT


def test_a_program_runs_on_request() -> None:
    """BPF_PROG_TEST_RUN of the empty program returns its r0, which is 0."""
    with bpf.closing(bpf.load_empty(bpf.PROG_RAW_TRACEPOINT)) as program:
        assert bpf.run_raw_tracepoint(program, (1, 2, 3, 4, 5)) == 0
        assert bpf.run_raw_tracepoint(program, (0,)) == 0
    with pytest.raises(OSError, match="Bad file") as caught:
        bpf.run_raw_tracepoint(program, (0,))
    assert caught.value.errno == errno.EBADF


def test_kprobes_are_tried_without_a_trace() -> None:
    """Whether or not this kernel has kprobes, the trial leaves no descriptor open and tells why it failed."""
    before = descriptors()
    if Path("/sys/bus/event_source/devices/kprobe/type").exists():
        bpf.try_kprobe("tcp_close")
    with pytest.raises(OSError, match=r"\w+"):
        bpf.try_kprobe("closetrace_does_not_exist")
    assert descriptors() == before


def test_features_of_this_host_agree_with_the_kernel() -> None:
    """Tracepoints found in BTF are exactly those that attach; nothing stays attached or open."""
    before = descriptors()
    btf = Btf()
    found = discover(hooks_in(btf))
    btf.close()
    without_btf = discover(None)
    assert found.tracepoints == without_btf.tracepoints
    assert found.tracepoints <= set(TRACEPOINTS)
    assert without_btf.functions == {}
    assert found.trampolines == ("fentry" not in found.refused)
    assert descriptors() == before


def test_without_rights_the_kernels_reason_is_told() -> None:
    """An ordinary user gets EPERM from the load, and the tool one line and exit code 4."""
    script = (
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from tracer.cli import run_command\n"
        "raise SystemExit(run_command(['--duration', '1']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "sudo" in done.stderr


def test_a_signal_in_the_moment_of_loading_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier's EAGAIN means only that it was interrupted: it is asked again, but not for ever."""
    asked: list[int] = []

    def interrupted(times: int) -> None:
        whole = bpf._bpf
        asked.clear()

        def call(command: int, attributes: bytes) -> int:
            asked.append(command)
            if len(asked) <= times:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return whole(command, attributes)

        monkeypatch.setattr(bpf, "_bpf", call)

    interrupted(2)
    with bpf.closing(bpf.load_empty(bpf.PROG_RAW_TRACEPOINT)):
        assert len(asked) == 3
    monkeypatch.undo()
    interrupted(100)
    with pytest.raises(BlockingIOError):
        bpf.load_empty(bpf.PROG_RAW_TRACEPOINT)
    assert len(asked) == 6
