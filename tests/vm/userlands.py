"""Makes the guests' root file systems: a suite's minimal root with the packages of kernels.json, as ext4."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.debian import Suite, freshness
from tests.vm.kernels import make_ext4

#: No test reads documentation, which is a tenth of the files.
LEAN = [f"path-exclude=/usr/share/{d}/*" for d in ("man", "doc", "locale", "info")]


@dataclass(frozen=True)
class Hook:
    """A script that completes a root file system. It is called with the root's path and ``arguments``."""

    script: Path
    arguments: tuple[str, ...] = ()

    def command(self) -> str:
        """Return the text of a customize hook for mmdebstrap, which puts the root's path in ``$1``."""
        return f'{shlex.quote(str(self.script))} "$1" {shlex.join(self.arguments)}'


def userland_image(
    suite: Suite, packages: Sequence[str], cache: Path, kind: str = "test", hook: Hook | None = None
) -> Path:
    """Return an ext4 image of ``suite`` with ``packages``, from the cache if it was made by the same recipe.

    apt, which mmdebstrap runs, checks the packages against the suite's signed index. The cache keeps one image of each
    ``kind``.
    """
    parts = [Path(__file__).read_text(), *packages]
    if hook:
        parts += [hook.script.read_text(), *hook.arguments]
    recipe = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    home = cache / "userlands"
    image = home / f"{suite.name}-{kind}-{recipe}.ext4"
    if not image.exists():
        home.mkdir(parents=True, exist_ok=True)
        for stale in home.glob(f"{suite.name}-{kind}-*"):
            stale.unlink()
        _make(suite, packages, hook, image)
    return image


def _make(suite: Suite, packages: Sequence[str], hook: Hook | None, image: Path) -> None:
    with tempfile.TemporaryDirectory(dir=image.parent) as scratch:
        root, unfinished = Path(scratch, "root"), image.with_suffix(".part")
        options = [*freshness(), *(f"--dpkgopt={o}" for o in ("force-unsafe-io", *LEAN))]
        options += [f"--customize-hook={hook.command()}"] if hook else []
        subprocess.run(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--keyring={suite.keyring}", *options,
             f"--include={','.join(packages)}", suite.name, root, suite.mirror], check=True,
        )  # fmt: skip
        make_ext4(root, unfinished, slack_mb=512)
        unfinished.rename(image)
        shutil.rmtree(root)


def wheels(python: str, wanted: Sequence[str], cache: Path) -> Path:
    """Return a directory of wheels of the requirements ``wanted`` for that Python, because guests reach no index.

    pip checks what it downloads. The directory's name depends on ``wanted``.
    """
    home = cache / "wheels" / f"{python}-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:16]}"
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                 "--only-binary=:all:", "--python-version", python, "--dest", Path(scratch, "wheels"), *wanted],
                check=True,
            )  # fmt: skip
            Path(scratch, "wheels").rename(home)
    return home


def chroot_archive(suite: Suite, packages: Sequence[str], cache: Path) -> Path:
    """Return a tar archive of ``packages`` and their dependencies, unpacked: the file system of a container."""
    recipe = hashlib.sha256("\0".join([Path(__file__).read_text(), *packages]).encode()).hexdigest()[:16]
    archive = cache / "chroots" / f"{suite.name}-{recipe}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
            unfinished = Path(scratch, "chroot.tar")
            subprocess.run(
                ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--keyring={suite.keyring}",
                 *freshness(), *(f"--dpkgopt={o}" for o in LEAN), f"--include={','.join(packages)}",
                 suite.name, unfinished, suite.mirror], check=True,
            )  # fmt: skip
            unfinished.rename(archive)
    return archive
