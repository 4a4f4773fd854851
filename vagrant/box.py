#!/usr/bin/env python3
"""Builds a Vagrant box (libvirt) of a Debian suite from its packages: build/closetrace-<suite>.box.

The box has no boot loader: its Vagrantfile gives libvirt the kernel and the initrd, which are files of the box. It
contains the packages that `make install` and `make test` need, so that provisioning works in a guest that reaches no
package index.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
from tests.vm.cells import Matrix  # noqa: E402
from tests.vm.debian import Suite  # noqa: E402
from tests.vm.kernels import KernelFiles, kernel_files  # noqa: E402
from tests.vm.matrix import cache_directory  # noqa: E402
from tests.vm.userlands import Hook, userland_image, wheels  # noqa: E402

#: What a bootable machine that Vagrant can reach needs, besides the packages of the kernel tests.
GUEST_PACKAGES = ("systemd-sysv", "udev", "dbus", "openssh-server", "sudo", "rsync")


def main() -> int:
    """Build the box of the suite that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default="bookworm")
    name = parser.parse_args().suite
    box = PROJECT / "build" / f"closetrace-{name}.box"
    matrix, cache = Matrix.load(), cache_directory()
    suite = Suite(name, matrix.mirror, matrix.keyring, cache / "apt" / name)
    entry = next(k for k in matrix.data["kernels"] if k["suite"] == name)
    kernel = kernel_files(entry["kernel"], suite, entry["packages"], cache)
    found = wheels(matrix.userlands[name]["python"], _wanted(), cache)
    hook = Hook(HERE / "box-root.sh", (str(found), kernel.abi, str(kernel.modules)))
    image = userland_image(suite, [*matrix.root_packages, *GUEST_PACKAGES, *_make_packages()], cache, "box", hook)
    _pack(kernel, image, box)
    print(box)
    return 0


def _make_packages() -> list[str]:
    """Return the packages that `make install` and `make test` get with apt."""
    lists = re.findall(r"^(?:RUN|TEST)_PACKAGES := (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    return [package for line in lists for package in line.split()]


def _wanted() -> list[str]:
    """Return the requirements that `make install` and `make test` get with pip."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = ["pip", "setuptools", "wheel", *project["dependencies"]]
    for one in extras["dev"]:
        own = re.fullmatch(rf"{project['name']}\[(.*)\]", one)  # its own extras: no index has the project itself
        wanted += [part for extra in own[1].split(",") for part in extras[extra]] if own else [one]
    return wanted


def _pack(kernel: KernelFiles, image: Path, box: Path) -> None:
    box.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=box.parent) as scratch:
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", image, Path(scratch, "box.img")], check=True)
        gigabytes = -(-image.stat().st_size // 2**30)
        metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": gigabytes}
        Path(scratch, "metadata.json").write_text(json.dumps(metadata))
        shutil.copy(kernel.vmlinuz, Path(scratch, "vmlinuz"))
        shutil.copy(kernel.initrd, Path(scratch, "initrd.img"))
        shutil.copy(HERE / "box.Vagrantfile", Path(scratch, "Vagrantfile"))
        members = ["metadata.json", "Vagrantfile", "vmlinuz", "initrd.img", "box.img"]
        subprocess.run(["tar", "-cf", box, "-C", scratch, *members], check=True)


if __name__ == "__main__":
    sys.exit(main())
