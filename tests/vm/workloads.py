"""Builds the programs of the live tests' gallery with a userland's own compiler, outside of emulation.

In a guest the compiler would need minutes for all of them. The programs are kept, by their sources and flags.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_STEPS = """
set -eu
image=$1 project=$2 kept=$3 root=$(mktemp -d)
trap 'umount -R "$root"; rmdir "$root"' EXIT
mount -o loop,ro "$image" "$root"
mount --bind "$project" "$root/mnt"
mount -t tmpfs none "$root/tmp"
[ ! -d "$kept" ] || cp -r "$kept" "$root/tmp/"
chroot "$root" env -i PATH=/usr/bin:/bin PYTHONPATH=/mnt PYTHONDONTWRITEBYTECODE=1 \
    python3 -m tests.vm.build_workloads
mkdir -p "$kept"
cp -r "$root/tmp/${kept##*/}/." "$kept"
"""


def build_workloads(image: Path, project: Path, kept: Path) -> None:
    """Bring ``kept/closetrace-workloads-0`` up to date. Raises CalledProcessError if a program does not build."""
    steps = ["sh", "-c", _STEPS, "sh", str(image), str(project), str(kept / "closetrace-workloads-0")]
    subprocess.run(["unshare", "--mount", *steps], check=True)
