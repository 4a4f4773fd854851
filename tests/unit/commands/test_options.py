"""Filters and tuning as people type them."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.commands.options import NetworkType, default_memory, describe, filters, make_scope, make_sizes
from tracer.errors import UsageError
from tracer.host import groups
from tracer.host.belonging import parse
from tracer.host.podnames import LogFolders
from tracer.model.scope import Scope

ME = os.getpid()


def scope(*arguments: str) -> Scope:
    """The scope of a command line, by way of click."""
    found: list[Scope] = []

    @click.command()
    @filters
    def command(**chosen: Any) -> None:
        found.append(make_scope(**chosen))

    command.main(list(arguments), standalone_mode=False)
    return found[0]


def test_no_filter_is_the_whole_host() -> None:
    """Nothing is narrowed that was not asked for."""
    assert scope() == Scope()
    assert describe(scope()) == "the whole host"


def test_every_filter_arrives() -> None:
    """Repeatable ones in order, processes once."""
    found = scope(
        *("--pid", str(ME), "--pid", str(ME), "--comm", "nginx", "--local-port", "80", "--local-port", "443"),
        *("--remote-port", "5432", "--remote", "10.0.0.0/8", "--remote", "::1", "--netns", str(ME)),
    )
    assert found.pids == (ME,)
    assert (found.comm, found.local_ports, found.remote_ports) == ("nginx", (80, 443), (5432,))
    assert found.remotes == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert found.netns == (os.stat("/proc/self/ns/net").st_ino,)
    text = describe(found)
    for word in (f"(pid {ME})", "nginx", "80 or 443", "5432", "10.0.0.0/8 or ::1/128", str(found.netns[0])):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--pid", "4194305"], "no process 4194305"),
        (["--pid", "0"], "0"),
        (["--pid", "x"], "x"),
        (["--local-port", "0"], "0"),
        (["--local-port", "65536"], "65536"),
        (["--remote", "10.0.0.0/33"], "10.0.0.0/33"),
        (["--remote", "example.com"], "example.com"),
        (["--remote", ""], ""),
        (["--netns", "no-such-namespace"], "/run/netns/no-such-namespace"),
        (["--netns", "/proc/self/no\0such"], "no network namespace"),
        (["--netns", "4194305"], "/proc/4194305/ns/net"),
        (["--cgroup", "/no/such/cgroup"], "/no/such/cgroup"),
        (["--cgroup", "a\0b"], "no such cgroup"),
        (["--comm", ""], "--comm"),
    ],
)
def test_values_that_make_no_sense_are_named(arguments: list[str], reason: str) -> None:
    """A usage error that says which value, and never anything else."""
    with pytest.raises((UsageError, click.UsageError)) as caught:
        scope(*arguments)
    message = caught.value.format_message() if isinstance(caught.value, click.UsageError) else str(caught.value)
    assert reason in message
    assert "\n" not in message


def test_a_thread_is_told_from_its_process() -> None:
    """BPF filters by thread group: a tid would match nothing, so it is refused with the number to use."""
    tid: list[int] = []
    release, known = threading.Event(), threading.Event()

    def linger() -> None:
        tid.append(threading.get_native_id())
        known.set()
        release.wait(30)

    thread = threading.Thread(target=linger)
    thread.start()
    known.wait(30)
    try:
        with pytest.raises(UsageError, match=f"use --pid {ME}"):
            scope("--pid", str(tid[0]))
    finally:
        release.set()
        thread.join()


@pytest.mark.root
def test_a_cgroup_is_known_by_inode_and_level() -> None:
    """Given by its path in the file system or from the root of the hierarchy, with or without a slash at its end."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if root is None:
        with pytest.raises(UsageError, match="no cgroup v2"):
            scope("--cgroup", "/")
        return
    made = Path(root, "closetrace-test-options", "below")
    made.mkdir(parents=True)
    try:
        expected = (made.stat().st_ino, 2)
        inside = "/closetrace-test-options/below"
        for spelling in (str(made), f"{made}/", inside, inside[1:], f"{root}/x/..{inside}"):
            found = scope("--cgroup", spelling)
            assert (found.cgroup, found.cgroup_path) == (expected, inside)
        assert scope("--cgroup", "/").cgroup == (os.stat(root).st_ino, 0)
        with pytest.raises(UsageError, match="no such cgroup"):
            scope("--cgroup", f"{inside}/../../../../etc")
    finally:
        made.rmdir()
        made.parent.rmdir()


@given(st.ip_addresses(), st.integers(0, 128))
def test_networks_are_read_as_ipaddress_reads_them(address: Any, bits: int) -> None:
    """Host bits are forgiven; brackets around an IPv6 address too; a v4-mapped network is the IPv4 one."""
    bits = min(bits, address.max_prefixlen)
    network = NetworkType().convert(f"[{address}]/{bits}".replace("[", "").replace("]", ""), None, None)
    expected = ipaddress.ip_network((address, bits), strict=False)
    if network.version == expected.version:
        assert network == expected
    else:
        assert address.ipv4_mapped in network
        assert network.prefixlen == bits - 96
    assert NetworkType().convert(network, None, None) is network


def test_mapped_networks_are_ipv4() -> None:
    """Connections of Java programs are shown as IPv4, so filters on their mapped form must find them."""
    for text, expected in (("::ffff:10.1.2.3", "10.1.2.3/32"), ("::ffff:0:0/96", "0.0.0.0/0"), ("[::1]", "::1/128")):
        assert str(NetworkType().convert(text, None, None)) == expected


@pytest.mark.parametrize("size", [4096, 8192, 65536])
def test_whole_pages_of_stack(size: int) -> None:
    """The kernel side copies page by page."""
    assert make_sizes(size, 64).stack_bytes == size
    with pytest.raises(UsageError, match="multiple of 4096"):
        make_sizes(size + 1, 64)


def test_memory_is_a_64th_of_ram_within_bounds() -> None:
    """At least 16 MB, at most 128 MB (free(1) is the witness)."""
    total = int(subprocess.run(["free", "-b"], capture_output=True, text=True, check=True).stdout.split()[7])
    assert default_memory() == pytest.approx(min(128 << 20, max(16 << 20, total / 64)), rel=0.05)
    assert make_sizes(4096, None).memory == default_memory()
    assert make_sizes(4096, 32).memory == 32 << 20


ID = "3f4ec7c56b8a2a7e0a2f7c8b5d1e9f00112233445566778899aabbccddeeff00"


def cgroups_here(monkeypatch: pytest.MonkeyPatch, *paths: str, processes: dict[int, str] | None = None) -> None:
    """A host with these cgroups of version 2, and processes in cgroups of version 1."""
    texts = {pid: f"1:name=systemd:{path}".encode() for pid, path in (processes or {}).items()}
    monkeypatch.setattr("tracer.host.cgroups.directories", lambda: iter(("/", *paths)))
    monkeypatch.setattr(groups, "pids", lambda: list(texts))
    monkeypatch.setattr("tracer.host.belonging.identity_of", lambda pid: parse(texts[pid]))
    monkeypatch.setattr("tracer.host.cgroups.find", lambda path: ((paths.index(path) + 1, 2), path))


def test_unit_and_container_become_their_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outermost one: what a service or container makes below is in it."""
    service, container = "/system.slice/nginx.service", f"/system.slice/docker-{ID}.scope"
    cgroups_here(monkeypatch, "/system.slice", service, f"{service}/worker", container, f"{container}/init.scope")
    assert scope("--unit", "nginx").cgroup_path == scope("--unit", "nginx.service").cgroup_path == service
    assert scope("--container", ID[:12]).cgroup_path == scope("--container", ID).cgroup_path == container


def test_a_container_by_its_name_in_kubernetes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its last parts suffice if they are of one container alone; an id that begins so counts more."""
    uids = ("7f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e", "8f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e")
    paths = [f"/kubepods/burstable/pod{uid}/{key}" for uid, key in zip(uids, (ID, ID[::-1]))]
    cgroups_here(monkeypatch, *paths)
    (tmp_path / "containers").mkdir()
    for pod, key in (("web-0", ID), ("web-1", ID[::-1])):
        (tmp_path / "containers" / f"{pod}_shop_app-{key}.log").touch()
    monkeypatch.setattr(groups, "LogFolders", lambda: LogFolders(str(tmp_path)))
    assert scope("--container", "shop/web-0/app").cgroup_path == paths[0]
    assert scope("--container", "web-1/app").cgroup_path == paths[1]
    assert scope("--container", ID[:2]).cgroup_path == paths[0]
    for name, reason in (
        ("app", "2 cgroups have this name"),
        ("bank/web-0/app", "no such container"),
        ("pp", "no such"),
    ):
        with pytest.raises(UsageError, match=reason):
            scope("--container", name)


def test_unit_and_container_where_they_have_cgroups_of_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their processes are traced, with the children that they will have."""
    cgroups_here(monkeypatch, processes={ME: f"/docker/{ID}", os.getppid(): "/system.slice/nginx.service"})
    found = scope("--container", ID[:12])
    assert (found.pids, found.follow_forks, found.cgroup_path) == ((ME,), True, "")
    with pytest.raises(UsageError, match=f"process {ME} is not in nginx"):
        scope("--unit", "nginx", "--pid", str(ME))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--unit", "apache2"), "no such unit has processes here"),
        (("--container", "ffff"), "no such container runs here"),
        (("--container", ""), "is empty"),
        (("--container", "3"), "2 cgroups have this name"),
        (("--unit", "nginx", "--container", "3f"), "give one of"),
    ],
)
def test_no_unit_or_container(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str) -> None:
    """One line says what to do."""
    paths = ("/system.slice/nginx.service", f"/docker/{ID}", f"/docker/{ID[::-1].replace('0', '3')}")
    cgroups_here(monkeypatch, *paths)
    with pytest.raises(UsageError, match=reason):
        scope(*arguments)


def test_a_process_without_a_name_is_told_by_its_number() -> None:
    """It ended between the check and the first line."""
    assert describe(Scope(pids=(4194305,))) == "pid 4194305"
