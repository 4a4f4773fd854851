"""Root directories of Debian with dpkg's own records, and commands that are run inside."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.debian import freshness
from tests.vm.matrix import cache_directory
from tests.wheel.installed import REPOSITORY, checked

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: What dpkg and apt themselves keep of what they did.
RECORDS = ("var/lib/dpkg", "var/lib/apt", "var/log", "var/cache/apt", "var/cache/ldconfig", "proc", "sys", "dev")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
# The mounts are in a mount namespace of this command alone, and go with it.
_ENTER = 'for d in proc sys dev; do mount --rbind "/$d" "$0/$d"; done; exec chroot "$0" "$@"'


@dataclass(frozen=True)
class Root:
    """A root directory of the suite ``suite`` at ``path``."""

    suite: str
    path: Path

    def command(self, *words: str, variables: Mapping[str, str] | None = None) -> list[str]:
        """The words that run ``words`` inside, with /proc, /sys and /dev of this machine."""
        named = [f"{name}={value}" for name, value in {**_ENVIRONMENT, **(variables or {})}.items()]
        inside = ["env", "-i", *named, *words]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _ENTER, str(self.path), *inside]

    def run(
        self, *words: str, variables: Mapping[str, str] | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``words`` inside to their end."""
        command = self.command(*words, variables=variables)
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False, cwd="/")

    def checked(self, *words: str, variables: Mapping[str, str] | None = None, text: str = "") -> str:
        """The stdout of a command that must succeed."""
        done = self.run(*words, variables=variables, text=text)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def files(self) -> dict[str, str]:
        """Each file with its type, mode and content's hash (a link's goal), but not what dpkg and apt record."""
        return {
            str(path.relative_to(self.path)): _described(path)
            for path in self.path.rglob("*")
            if not str(path.relative_to(self.path)).startswith(RECORDS)
        }


def _described(path: Path) -> str:
    mode = f"{path.lstat().st_mode:o}"
    if path.is_symlink():
        return f"{mode} {path.readlink()}"
    return f"{mode} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else mode


def mirror() -> str:
    """Where this machine's apt has Debian from."""
    return checked(REPOSITORY / "tests/support/debian-mirror.sh").strip()


def archived(suite: str, packages: Sequence[str]) -> Path:
    """A tar archive of the essential packages, ``packages`` and what these depend on. The cache keeps it."""
    recipe = hashlib.sha256("\0".join([Path(__file__).read_text(), *packages]).encode()).hexdigest()[:16]
    home = cache_directory() / "roots"
    archive = home / f"{suite}-{recipe}.tar"
    if not archive.exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            unfinished = Path(scratch, "root.tar")
            subprocess.run(
                ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--keyring={KEYRING}", *freshness(),
                 "--dpkgopt=force-unsafe-io", *(f"--include={package}" for package in packages), suite,
                 str(unfinished), mirror()],
                check=True,
            )  # fmt: skip
            unfinished.rename(archive)
    return archive


def unpacked(suite: str, packages: Sequence[str], place: Path) -> Root:
    """A root of its own at ``place``: :func:`archived`, unpacked."""
    place.mkdir(parents=True)
    checked("tar", "-xpf", archived(suite, packages), "-C", place)
    return Root(suite, place)
