"""What a host may lack, simulated in a guest. closetrace still works, or says in one line what is wrong.

matrix.py runs each class on the kernel and with the boot parameters that kernels.json names.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.live.closetrace_command import LINGER, let_linger, run_closetrace, tracing
from tests.live.oracles import assert_nested
from tests.live.workload import start

MODULES = Path("/lib/modules") / os.uname().release
SHORT = (*LINGER, "--duration", "1")
NO_CAP_SYS_RESOURCE = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
LITTLE_MEMORY = ("prlimit", "--memlock=65536", *NO_CAP_SYS_RESOURCE)
HIDE_TYPES = "mount -t tmpfs none /sys/kernel/btf"
INSTALL_HEADERS = f"mount --bind {MODULES}/headers /usr/src"


def after(script: str) -> tuple[str, ...]:
    """A prefix that runs the command in its own mount namespace, after the shell text ``script``."""
    return ("unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh")


def assert_traces(*prefix: str) -> None:
    """A leak is found, with its stack."""
    with start("idle_pool", "2") as program, tracing(program.pid(), prefix=prefix) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == 0, ran.err
    (site,) = ran.report()["sites"]
    assert (site["count"], site["verdict"]) == (2, "idle-in-pool")
    assert_nested(site["stack"], "read_response", "do_request", "main")


def assert_refuses(*words: str, prefix: tuple[str, ...] = ()) -> None:
    """The exit code is 4, and one line on stderr has the words."""
    with start("clean", "1") as program:
        ran = run_closetrace("--pid", str(program.pid()), *SHORT, prefix=prefix)
    assert ran.code == 4, (ran.code, ran.err)
    assert len(ran.err.splitlines()) == 1, ran.err
    for word in words:
        assert word in ran.err, ran.err


class TestMissingParts:
    """On an ordinary boot; the kernel's headers are in the guest but not installed."""

    def test_headers_instead_of_types(self) -> None:
        """No BTF, but kernel headers: they are used."""
        assert (MODULES / "headers").is_dir()
        assert_traces(*after(f"{HIDE_TYPES} && {INSTALL_HEADERS}"))

    def test_headers_beside_types(self) -> None:
        """With BTF, installed headers do no harm."""
        assert_traces(*after(INSTALL_HEADERS))

    def test_neither_types_nor_headers(self) -> None:
        """No BTF and no headers: refused, and both are named."""
        assert_refuses("/sys/kernel/btf", "headers", prefix=after(HIDE_TYPES))

    def test_no_tracefs(self) -> None:
        """closetrace needs neither tracefs nor debugfs."""
        assert_traces(*after("umount /sys/kernel/tracing && umount /sys/kernel/debug"))

    def test_other_architecture(self) -> None:
        """A machine that is not x86-64 is refused, and its name is in the message."""
        assert_refuses("i686", prefix=("setarch", "i686"))

    def test_unprivileged_bpf_disabled(self) -> None:
        """This setting affects only users who may not load BPF."""
        setting = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
        setting.write_text("1")
        assert setting.read_text() == "1\n"
        assert_traces()

    def test_little_memory_may_be_locked(self) -> None:
        """Since Linux 5.11 BPF memory is not locked memory: the limit does not matter."""
        assert_traces(*LITTLE_MEMORY)


class TestOldKernel:
    """Before Linux 5.11."""

    def test_little_memory_may_be_locked(self) -> None:
        """BPF memory counts as locked memory. If the limit cannot be raised, the message names it."""
        assert_refuses("memlock", prefix=LITTLE_MEMORY)

    def test_limit_is_raised(self) -> None:
        """With CAP_SYS_RESOURCE closetrace raises the limit by itself."""
        assert_traces("prlimit", "--memlock=65536")


class TestLockdown:
    """Booted with lockdown=confidentiality."""

    @pytest.fixture(autouse=True)
    def _is_locked_down(self) -> None:
        assert "[confidentiality]" in Path("/sys/kernel/security/lockdown").read_text()

    def test_refused(self) -> None:
        """BPF may not read kernel memory. closetrace refuses, and the message names lockdown."""
        assert_refuses("lockdown")
