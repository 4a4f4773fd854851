"""The container image: built from the Containerfile by podman, run as the chart runs it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.leaking import leak_is_found
from tests.packaging.roots import Root, archived
from tests.packaging.unit import capabilities
from tests.wheel.installed import REPOSITORY, checked

CONTAINERFILE = REPOSITORY / "packaging/container/Containerfile"
BASE, IMAGE = "localhost/closetrace-base:tested", "localhost/closetrace:tested"
HOST = Root("", Path("/"))
# podman asks for more than a machine without an init may give.
LIMITS = ("--ulimit=nofile=1024:4096", "--ulimit=nproc=4096:4096")
MOUNTS = ("/sys/kernel/btf", "/sys/kernel/tracing")


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image. Its base is made here from Debian's packages, because no registry of images may be reached."""
    (base,) = re.findall(r"^FROM \S+/debian:(\S+)-slim$", CONTAINERFILE.read_text(), re.MULTILINE)
    subprocess.run(["podman", "import", "--quiet", str(archived(base, ())), BASE], check=True)
    build = ["podman", "build", "--quiet", f"--from={BASE}", "--pull=never", "--isolation=chroot", "--network=host"]
    subprocess.run([*build, "--no-cache", "-t", IMAGE, "-f", str(CONTAINERFILE), str(REPOSITORY)], check=True)
    yield IMAGE
    subprocess.run(["podman", "rmi", "--force", IMAGE, BASE], check=False, stdout=subprocess.DEVNULL)


def _running(image: str) -> list[str]:
    """The words before closetrace's own: the chart's rights and mounts."""
    return [
        *("podman", "--runtime=runc", "run", "--rm", "--pid=host", "--network=host"),
        *("--read-only", "--read-only-tmpfs=false", "--security-opt=no-new-privileges", *LIMITS),
        *("--cap-drop=all", *(f"--cap-add={name}" for name in capabilities())),
        *(f"--volume={place}:{place}:ro" for place in MOUNTS),
        *("--tmpfs=/tmp", "--tmpfs=/run/closetrace", "--tmpfs=/var/cache/closetrace", image),
    ]


def test_doctor_is_ready_in_the_container(image: str) -> None:
    """With a read-only root, no privileges to gain, and podman's own seccomp filter."""
    told = checked(*_running(image), "doctor")
    assert re.search(r"^  confinement +ok ", told, re.MULTILINE), told


def test_a_leak_of_the_host_is_found_from_the_container(image: str) -> None:
    """The function of a program that is outside: its files are read through its own root."""
    leak_is_found(HOST, _running(image))
