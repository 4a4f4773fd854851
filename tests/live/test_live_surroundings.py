"""Special hosts and targets: containers, cgroups, missing parts, missing rights."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import END_LIMIT_S, LINGER, Ran, Trace, command, let_linger, run_closetrace, tracing
from tests.live.namespaces import container, inside, only_child
from tests.live.oracles import assert_nested, netns_of
from tests.live.workload import Workload, build, start


def with_mount(script: str) -> tuple[str, ...]:
    """A prefix that runs the command in its own mount namespace, after the shell text ``script``."""
    return ("unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh")


def hidden_by(directory: str) -> tuple[str, ...]:
    """A prefix that runs the command with that directory empty."""
    return with_mount(f"mount -t tmpfs none {directory}")


def refusal(ran: Ran) -> str:
    """The only line of a refusal with exit code 4."""
    assert ran.code == 4, (ran.code, ran.err)
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    return lines[0]


SHORT = (*LINGER, "--duration", "1")


def contained() -> tuple[str, ...]:
    """The command that runs a leaking program in a container. Its file exists only there."""
    return container(f"mount -t tmpfs none /mnt && cp {build('idle_pool')} /mnt/app && exec /mnt/app 2")


def assert_contained(report: dict[str, Any], pid: int, netns: int) -> None:
    """The report has that program's leak, with the host's pid, the namespace, and names from the container's file."""
    (site,) = report["sites"]
    assert (site["pid"], site["comm"], site["count"], site["verdict"]) == (pid, "app", 2, "idle-in-pool")
    assert site["stack_complete"] is True, site["stack_note"]
    toucher = "read_response" if report["plan"]["receive"] else "open_connection"
    assert_nested(site["stack"], toucher, "do_request", "main")
    for one in site["sockets"]:
        assert one["netns"] == netns
        assert {holder["pid"] for holder in one["holders"]} == {pid}


def test_container() -> None:
    """A program in its own user, mount, pid and network namespace is found by the host's pid."""
    with Workload(*contained()) as program:
        pid = only_child(program.root)
        assert pid != program.pid()
        with tracing(pid) as trace:
            trace.attached()
            program.all_steps()
            let_linger()
            netns = netns_of(pid)
            report = trace.stop().report()
    assert_contained(report, pid, netns)


def test_netns_filter(network_namespace: str) -> None:
    """--netns keeps the sockets of that namespace and no others, of any process."""
    words = (*inside(network_namespace), str(build("idle_pool")), "1")
    options = ("--netns", network_namespace, *LINGER, "--json")
    with Workload(*words) as within, start("idle_pool", "1") as outside, Trace(*options) as trace:
        trace.attached()
        within.all_steps()
        outside.all_steps()
        let_linger()
        report = trace.stop().report()
    assert {site["pid"] for site in report["sites"]} == {within.pid()}


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup v2 directory with another below it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next(Path(fields[1]) for fields in mounts if fields[2] == "cgroup2")
    below = root / f"closetrace-test-{os.getpid()}" / "below"
    below.mkdir(parents=True)
    yield below.parent
    while (below / "cgroup.procs").read_text():
        time.sleep(0.05)  # the peer ends a moment after its program
    below.rmdir()
    below.parent.rmdir()


def in_cgroup(directory: Path) -> tuple[str, ...]:
    """A prefix that runs the command in that cgroup."""
    return ("sh", "-c", f'echo $$ > {directory}/cgroup.procs && exec "$@"', "sh")


def test_container_by_cgroup(cgroup: Path) -> None:
    """The same program is found by its cgroup, as a user would give the cgroup of a pod."""
    with Workload(*in_cgroup(cgroup / "below"), *contained()) as program:
        pid = only_child(program.root)
        with Trace("--cgroup", str(cgroup), *LINGER, "--json") as trace:
            trace.attached()
            program.all_steps()
            let_linger()
            netns = netns_of(pid)
            report = trace.stop().report()
    assert_contained(report, pid, netns)


def test_cgroup_filter(cgroup: Path) -> None:
    """--cgroup keeps what runs in that directory or below it."""
    words = (*in_cgroup(cgroup / "below"), str(build("idle_pool")), "1")
    options = ("--cgroup", str(cgroup), *LINGER, "--json")
    with Workload(*words) as within, start("idle_pool", "1") as outside, Trace(*options) as trace:
        trace.attached()
        within.all_steps()
        outside.all_steps()
        let_linger()
        report = trace.stop().report()
    assert {site["pid"] for site in report["sites"]} == {within.pid()}


CONTAINER = "3f4ec7c56b8a2a7e0a2f7c8b5d1e9f00112233445566778899aabbccddeeff00"


@pytest.mark.parametrize(
    ("name", "option", "told"),
    [
        ("closetrace-test.service", ("--unit", "closetrace-test"), ("closetrace-test.service", None)),
        (f"cri-containerd-{CONTAINER}.scope", ("--container", CONTAINER[:12]), (None, CONTAINER)),
    ],
)
def test_unit_and_container(cgroup: Path, name: str, option: tuple[str, str], told: tuple[Any, Any]) -> None:
    """A cgroup with the name that systemd or a container runtime gives is found by it, and told."""
    directory = cgroup.parent / name
    directory.mkdir()
    try:
        words = (*in_cgroup(directory), str(build("idle_pool")), "1")
        with Workload(*words) as within, start("idle_pool", "1") as outside, Trace(*option, *LINGER, "--json") as trace:
            trace.attached()
            within.all_steps()
            outside.all_steps()
            let_linger()
            report = trace.stop().report()
        (site,) = report["sites"]
        (process,) = site["processes"]
        assert (process["pid"], process["unit"], process["container"]) == (within.pid(), *told)
    finally:
        while (directory / "cgroup.procs").read_text():
            time.sleep(0.05)  # the peer ends a moment after its program
        directory.rmdir()


def test_root_without_capabilities() -> None:
    """Root that may not load BPF (a container's root): exit 4, one line, with the capability to ask for."""
    drop = "-sys_admin,-bpf,-perfmon,-net_admin,-sys_resource"
    bound = ("setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}")
    assert "CAP_" in refusal(run_closetrace("--pid", str(os.getpid()), *SHORT, prefix=bound))


def test_bcc_is_missing() -> None:
    """Without bcc, and without programs compiled before: exit 4, and the message names the packages to install."""
    directory = Path("/usr/lib/python3/dist-packages/bcc")
    assert directory.is_dir()
    gone = f"mount -t tmpfs none {directory} && echo 'raise ImportError(1)' > {directory}/__init__.py"
    prefix = with_mount(f"mount -t tmpfs none /var/cache && {gone}")
    line = refusal(run_closetrace("--pid", str(os.getpid()), *SHORT, prefix=prefix))
    assert "python3-bpfcc" in line
    assert "dnf" in line


def test_no_btf_and_no_headers() -> None:
    """A kernel without BTF on a host without its headers: exit 4, and the message says what to do."""
    release = os.uname().release
    build_tree = Path(f"/lib/modules/{release}/build")
    prefix = (*hidden_by("/sys/kernel/btf"), *(hidden_by(str(build_tree)) if build_tree.exists() else ()))
    line = refusal(run_closetrace("--pid", str(os.getpid()), *SHORT, prefix=prefix))
    assert "btf" in line.lower()
    assert "headers" in line


@pytest.mark.parametrize("mount", ["mount -t tmpfs -o size=4k none /var/cache", "mount -t tmpfs -o ro none /var/cache"])
def test_no_room_for_the_cache(mount: str) -> None:
    """The disk of the cache is full or read-only: the trace works all the same."""
    with start("idle_pool", "1") as program, tracing(program.pid(), prefix=with_mount(mount)) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == 0, ran.err
    assert ran.report()["sites"][0]["count"] == 1


def test_little_locked_memory() -> None:
    """A memlock limit of 64 KiB, as in a login shell, is raised."""
    with start("idle_pool", "1") as program, tracing(program.pid(), prefix=("prlimit", "--memlock=65536")) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        assert trace.stop().report()["sites"][0]["count"] == 1


def test_terminal_shows_that_it_is_alive() -> None:
    """On a terminal one line is rewritten in place: sockets watched, in CLOSE_WAIT, oldest."""
    with start("idle_pool", "2") as program:
        words, extra = command()
        shell = " ".join([*words, "--pid", str(program.pid()), "--linger", "30", "--duration", "4"])
        script = subprocess.Popen(
            ["script", "-qec", shell, "/dev/null"],
            cwd="/",
            env={**os.environ, **extra, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert script.stdout is not None
        assert any(b"tracing " in line for line in script.stdout)
        program.all_steps()
        seen, _ = script.communicate(timeout=END_LIMIT_S)
    assert b"\r\x1b[K" in seen
    assert b"2 in CLOSE_WAIT" in seen, seen
