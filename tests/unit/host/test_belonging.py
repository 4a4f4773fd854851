"""Oracle: paths as the container runtimes' and systemd's documents and hosts have them."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.host.belonging import identity_of, parse
from tracer.model.identity import NOBODY, Identity

ID = "3f4ec7c56b8a2a7e0a2f7c8b5d1e9f00112233445566778899aabbccddeeff00"
POD = "7f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e"
LOW = POD.replace("-", "_")
BURST = f"kubepods-burstable-pod{LOW}.slice"

CASES = {
    "docker, systemd driver, v2": (f"0::/system.slice/docker-{ID}.scope", Identity("", ID)),
    "docker, cgroupfs, v1": (f"12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/", Identity("", ID)),
    "docker, with a systemd inside": (f"0::/system.slice/docker-{ID}.scope/system.slice/a.service", Identity("", ID)),
    "docker in docker": (f"0::/docker/{'a' * 64}/docker/{ID}", Identity("", ID)),
    "containerd, kubelet with systemd driver": (
        f"0::/kubepods.slice/kubepods-burstable.slice/{BURST}/cri-containerd-{ID}.scope",
        Identity("", ID, POD),
    ),
    "containerd, kubelet with cgroupfs": (f"0::/kubepods/burstable/pod{POD}/{ID}", Identity("", ID, POD)),
    "containerd 1.4, systemd driver": (
        f"1:name=systemd:/system.slice/containerd.service/{BURST}:cri-containerd:{ID}",
        Identity("containerd.service", ID, POD),
    ),
    "guaranteed pod": (
        f"0::/kubepods.slice/kubepods-pod{LOW}.slice/cri-containerd-{ID}.scope",
        Identity("", ID, POD),
    ),
    "static pod": (f"0::/kubepods/besteffort/pod{'5' * 32}/{ID}", Identity("", ID, "5" * 32)),
    "CRI-O": (
        f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{LOW}.slice/crio-{ID}.scope",
        Identity("", ID, POD),
    ),
    "CRI-O, with crun's own part": (f"0::/kubepods.slice/{BURST}/crio-{ID}.scope/container", Identity("", ID, POD)),
    "CRI-O's monitor": (f"0::/system.slice/crio-conmon-{ID}.scope", Identity(f"crio-conmon-{ID}.scope")),
    "podman as root": (f"0::/machine.slice/libpod-{ID}.scope/container", Identity("", ID)),
    "podman as a user": (
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        Identity("user@1000.service", ID),
    ),
    "podman as a service": (f"0::/system.slice/shop.service/libpod-payload-{ID}", Identity("shop.service")),
    "podman, cgroupfs": (f"0::/libpod_parent/libpod-{ID}", Identity("", ID)),
    "kind: a node is a container": (
        f"0::/system.slice/docker-{'b' * 64}.scope/kubelet.slice/{BURST}/cri-containerd-{ID}.scope",
        Identity("", ID, POD),
    ),
    "agent in a cgroup namespace": (f"0::/../../a.slice/{BURST}/cri-containerd-{ID}.scope", Identity("", ID, POD)),
    "a service": ("0::/system.slice/nginx.service", Identity("nginx.service")),
    "a service's delegated part": ("0::/system.slice/shop.service/worker/3", Identity("shop.service")),
    "a template's instance": (
        r"0::/system.slice/system-getty.slice/getty@tty1.service",
        Identity("getty@tty1.service"),
    ),
    "an escaped name": (r"0::/system.slice/dev-disk\x2d1.swap", Identity(r"dev-disk\x2d1.swap")),
    "a name of the kernel's, escaped": ("0::/system.slice/_cpu.service", Identity("cpu.service")),
    "a session": ("0::/user.slice/user-1000.slice/session-3.scope", Identity("session-3.scope")),
    "a user's service": (
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
        Identity("shop.service"),
    ),
    "a user's slice": ("0::/user.slice/user-1000.slice", Identity("user-1000.slice")),
    "v1 with systemd": (
        "4:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/nginx.service\n",
        Identity("nginx.service"),
    ),
    "hybrid": (f"9:name=systemd:/system.slice/a.service\n4:memory:/docker/{ID}\n0::/\n", Identity("a.service", ID)),
    "root": ("0::/", NOBODY),
    "nothing": ("", NOBODY),
}


@pytest.mark.parametrize("one", CASES)
def test_paths(one: str) -> None:
    """Each way of naming gives unit, container and pod."""
    text, identity = CASES[one]
    assert parse(text.encode()) == identity


@pytest.mark.parametrize(
    "path",
    [
        b"/system.slice/a b.service",
        b"/system.slice/\x1b[31m.service",
        b"/system.slice/\xff\xfe.service",
        b"/system.slice/" + b"x" * 300 + b".service",
        b"/docker/" + b"G" * 64,
        b"/docker/" + b"a" * 63,
        b"/kubepods/pod../x",
    ],
)
def test_hostile_names(path: bytes) -> None:
    """What has not the form of a unit, a container's id or a pod's uid is none."""
    assert parse(b"0::" + path) == NOBODY


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_name_makes_no_line(end: str) -> None:
    """The kernel allows all of these in a cgroup's name. Who names one in a container is not nginx."""
    path = f"0::/system.slice/docker-{ID}.scope/x{end}0::/system.slice/nginx.service\n"
    assert parse(path.encode()) == Identity("", ID)


@given(st.binary(max_size=4000))
def test_any_bytes(text: bytes) -> None:
    """It never raises, and never tells what a terminal could not show."""
    told = parse(text)
    assert all(
        word.isprintable() and word.isascii() and len(word) < 256 for word in (told.unit, told.container, told.pod)
    )


def test_a_process_that_is_gone() -> None:
    """Nothing is known of it."""
    child = subprocess.Popen(["true"])
    child.wait()
    assert identity_of(child.pid) == NOBODY
