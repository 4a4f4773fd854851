"""Builds wheel and sdist once and installs each into a new environment, in a directory whose name has a space."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.wheel.installed import Installed, checked, copy_of_the_repository, install


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel, and the sdist: from the sdist pip makes its own wheel."""
    work = tmp_path_factory.mktemp("a build")
    source = copy_of_the_repository(work / "source")
    checked(sys.executable, "-m", "build", "--wheel", "--sdist", "--outdir", work / "dist", source)
    (wheel,), (sdist,) = (work / "dist").glob("*.whl"), (work / "dist").glob("*.tar.gz")
    shutil.rmtree(source)
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="session", params=["wheel", "sdist"])
def installed(
    request: pytest.FixtureRequest, built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """Each installed as a user does it."""
    work = tmp_path_factory.mktemp(f"from {request.param}")
    install(work / "env", [built[request.param]])
    elsewhere = work / "elsewhere"
    elsewhere.mkdir()
    return Installed(work / "env", elsewhere)
