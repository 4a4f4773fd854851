"""Oracle: virtual environments that Python's own venv module makes, and processes that run in them."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracer.stacks.registry import installed

NAMES = ("requests", "aiohttp", "httpx")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with one package of a well-known name."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, symlinks=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    (packages / "requests").mkdir()
    (packages / "aiohttp.py").touch()
    return place


@contextmanager
def running(*words: str) -> Iterator[int]:
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        yield process.pid
        process.kill()


SCRIPT = "import sys; print('x', flush=True); sys.stdin.read()"


def test_packages_of_the_venv(environment: Path) -> None:
    """What lies in the site-packages of the venv that the process was started in, and no more."""
    with running(str(environment / "bin" / "python"), "-c", SCRIPT) as pid:
        assert installed(pid, NAMES) == ("requests",)


def test_no_python(environment: Path) -> None:
    """Another program has no such packages, wherever it lies; nor has a process that is gone."""
    with running("sh", "-c", f"cd {environment}/bin; echo; cat") as pid:
        assert installed(pid, NAMES) == ()
    assert installed(pid, NAMES) == ()


def test_python_outside_of_a_venv() -> None:
    """What is installed for the whole system says nothing of one program."""
    with running(str(Path("/usr/bin/python3")), "-I", "-c", SCRIPT) as pid:
        assert installed(pid, ("apt", "bcc", "requests")) == ()
