"""Programs that run below a root directory of their own, because their runtime needs another libc than the host's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def start_below(root: Path, command: str, program: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``command program arguments`` below ``root`` (/ is the host's own), with pipes for its input and output."""
    path, prefix = str(program), []
    if root != Path("/"):
        shutil.copy(path, root / "test" / program.name)
        path, prefix = f"/test/{program.name}", ["chroot", str(root)]
    pipe, env = subprocess.PIPE, {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.Popen([*prefix, command, path, *arguments], stdin=pipe, stdout=pipe, text=True, env=env)
