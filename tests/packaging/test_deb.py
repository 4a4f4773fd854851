"""The Debian package: installed with nothing but what it depends on, used, and purged. The tests run in this order."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tracer
from tests.packaging.leaking import leak_is_found
from tests.packaging.roots import Root, unpacked
from tests.packaging.unit import capabilities
from tests.wheel.installed import REPOSITORY, checked

SUITES = os.environ.get("CLOSETRACE_SUITES", "").split() or ["bookworm", "trixie", "sid"]
MODULES = Path("usr/share/closetrace")


@dataclass(frozen=True)
class Installed:
    """A root with the package in it, and the files of before."""

    root: Root
    before: dict[str, str]


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package that `make deb` built."""
    (found,) = (REPOSITORY / "build/deb").glob("closetrace_*.deb")
    return found


def _dependencies(deb: Path, suite: str) -> list[str]:
    """The packages of the field Depends. Of two names of one library: since trixie it is the first."""
    field = subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Depends"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    choices = [re.sub(r"\(.*?\)|:any", "", one).split("|") for one in field.split(",")]
    return [choice[-1 if suite == "bookworm" else 0].strip() for choice in choices]


@pytest.fixture(scope="module", params=SUITES)
def installed(request: pytest.FixtureRequest, deb: Path) -> Iterator[Installed]:
    """dpkg refuses to configure the package if something of the right version is missing."""
    suite, place = request.param, Path(tempfile.mkdtemp(prefix="closetrace-root-"))
    root = unpacked(suite, _dependencies(deb, suite), place / suite)
    before = root.files()
    shutil.copy(deb, root.path / "closetrace.deb")
    root.checked("dpkg", "--install", "/closetrace.deb")
    (root.path / "closetrace.deb").unlink()
    yield Installed(root, before)
    shutil.rmtree(place)


def test_the_version_is_that_of_the_source(installed: Installed) -> None:
    """The command says it, and dpkg too."""
    told = installed.root.checked("closetrace", "--version")
    assert told == f"closetrace, version {tracer.__version__}\n"
    packaged = installed.root.checked("dpkg-query", "--show", "--showformat", "${Version}", "closetrace")
    assert packaged.rpartition("-")[0] == tracer.__version__


def test_the_modules_are_complete_and_private(installed: Installed) -> None:
    """All that git tracks in tracer/ and bpf/, each compiled; no other Python program can import them."""
    tracked = checked("git", "-c", "safe.directory=*", "ls-files", "tracer", "bpf", cwd=REPOSITORY).split()
    left_out = {"tracer/bpf", "tracer/closetrace", "bpf/LICENSE"}
    expected = {re.sub("^bpf/", "tracer/bpf/", name) for name in tracked if name not in left_out}
    place = installed.root.path / MODULES
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert {name for name in found if not name.endswith(".pyc")} == expected
    compiled = [name for name in found if name.endswith(".pyc")]
    assert len(compiled) == len([name for name in expected if name.endswith(".py")])
    refused = installed.root.run("/usr/bin/python3", "-c", "import tracer")
    assert "ModuleNotFoundError" in refused.stderr


def test_doctor_is_ready(installed: Installed) -> None:
    """With the kernel side's sources of the package."""
    done = installed.root.run("closetrace", "doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["ready"] is True
    assert found["sources"] == f"/{MODULES}/tracer/bpf"


def test_a_leak_is_found(installed: Installed) -> None:
    """The leaking function of a Python program, by the root's own bcc, libdw and python."""
    leak_is_found(installed.root, installed.root.command("closetrace"))


def test_the_units_capabilities_are_enough(installed: Installed) -> None:
    """The same with what the unit and the chart leave to root, and with no way to more."""
    kept = ",".join(["-all", *(f"+{name.lower().removeprefix('cap_')}" for name in capabilities())])
    limited = ("setpriv", f"--bounding-set={kept}", "--inh-caps=-all", "--no-new-privs")
    leak_is_found(installed.root, installed.root.command(*limited, "closetrace"))


def test_man_page_and_completions_are_where_debian_has_them(installed: Installed) -> None:
    """bash, which each root has, completes a command of closetrace."""
    share = installed.root.path / "usr/share"
    page = subprocess.run(["zcat", str(share / "man/man1/closetrace.1.gz")], check=True, stdout=subprocess.PIPE).stdout
    assert page == (REPOSITORY / "docs/closetrace.1").read_bytes()
    for name in ("zsh/vendor-completions/_closetrace", "fish/vendor_completions.d/closetrace.fish"):
        assert (share / name).read_bytes() == (REPOSITORY / "docs/completions" / Path(name).name).read_bytes()
    script = (
        "source /usr/share/bash-completion/completions/closetrace; COMP_WORDS=(closetrace timel); COMP_CWORD=1; "
        "_closetrace_completion closetrace; echo ${COMPREPLY[@]}"
    )
    assert installed.root.checked("bash", "-c", script).split() == ["timeline"]


def test_nothing_is_left_after_purge(installed: Installed) -> None:
    """Not after use either: /var/cache/closetrace was made above."""
    assert (installed.root.path / "var/cache/closetrace").is_dir()
    installed.root.checked("dpkg", "--purge", "closetrace")
    assert installed.root.files() == installed.before
