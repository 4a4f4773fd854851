"""Makes the root file systems that guests run: a suite's minimal root with the packages of kernels.json, as ext4."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from debian import Suite
from kernels import make_ext4

#: Documentation is a tenth of the files and no test reads it.
LEAN = [f"path-exclude=/usr/share/{d}/*" for d in ("man", "doc", "locale", "info")]


def userland_image(suite: Suite, packages: Sequence[str], cache: Path) -> Path:
    """Return an ext4 image of ``suite`` with ``packages``, from the cache where it was made of the same list.

    apt, inside mmdebstrap, checks the packages against the suite's signed index.
    """
    recipe = hashlib.sha256("\0".join([Path(__file__).read_text(), *packages]).encode()).hexdigest()[:16]
    home = cache / "userlands"
    image = home / f"{suite.name}-{recipe}.ext4"
    if not image.exists():
        home.mkdir(parents=True, exist_ok=True)
        for stale in home.glob(f"{suite.name}-*.ext4"):
            stale.unlink()
        _make(suite, packages, image)
    return image


def _make(suite: Suite, packages: Sequence[str], image: Path) -> None:
    with tempfile.TemporaryDirectory(dir=image.parent) as scratch:
        root, unfinished = Path(scratch, "root"), image.with_suffix(".part")
        options = [f"--dpkgopt={o}" for o in ("force-unsafe-io", *LEAN)]
        subprocess.run(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--keyring={suite.keyring}", *options,
             f"--include={','.join(packages)}", suite.name, root, suite.mirror], check=True,
        )  # fmt: skip
        make_ext4(root, unfinished, slack_mb=512)
        unfinished.rename(image)
        shutil.rmtree(root)
