"""Oracle: virtual environments that Python's own venv module makes, with scripts as the installers write them."""

from __future__ import annotations

import os
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tracer.stacks.languages.cpython import program as tested
from tracer.stacks.target.process import Process

PIP = """#!{python}
# -*- coding: utf-8 -*-
import re
import sys
from {module} import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
UV = """#!{python}
# -*- coding: utf-8 -*-
import sys
from {module} import main
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit(main())
"""
SETUPTOOLS = """#!{python}
# EASY-INSTALL-ENTRY-SCRIPT: 'shop-d==1.0','console_scripts','shopd'
import re
import sys

# for compatibility with easy_install; see #2198
__requires__ = 'shop-d==1.0'

try:
    from importlib.metadata import distribution
except ImportError:
    try:
        from importlib_metadata import distribution
    except ImportError:
        from pkg_resources import load_entry_point


def importlib_load_entry_point(spec, group, name):
    dist_name, _, _ = spec.partition('==')
    matches = (
        entry_point
        for entry_point in distribution(dist_name).entry_points
        if entry_point.group == group and entry_point.name == name
    )
    return next(matches).load()


globals().setdefault('load_entry_point', importlib_load_entry_point)


if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
    sys.exit(load_entry_point('shop-d==1.0', 'console_scripts', 'shopd')())
"""
WITH_OWN_CODE = """import sys
from shopd.cli import main

def fetch():
    return main()

if __name__ == "__main__":
    sys.exit(main())
"""
Told = Callable[..., list[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with packages, one of them below a name that several share, and scripts."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, symlinks=True)
    packages = site(place)
    for name in ("shopd", "shop_d", "shopd_more", "gunicorn", "acme/shop", "acme/http"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    scripts = {
        "shopd": PIP.format(python=place / "bin/python", module="shopd.cli"),
        "shopd-uv": UV.format(python=place / "bin/python", module="shopd.cli"),
        "shopd-old": SETUPTOOLS.format(python=place / "bin/python"),
        "gunicorn": PIP.format(python=place / "bin/python", module="gunicorn.app.wsgiapp"),
        "acme": PIP.format(python=place / "bin/python", module="acme.shop.cli"),
        "shop_d": PIP.format(python=place / "bin/python", module="shop_d"),
        "run.py": WITH_OWN_CODE,
        "long": "#" * 9000 + "\n" + UV.format(python="", module="shopd.cli"),
    }
    for name, text in scripts.items():
        (place / "bin" / name).write_text(text)
    (place / "link").symlink_to("bin/shopd")
    return place


def site(place: Path) -> Path:
    (packages,) = place.glob("lib/python3*/site-packages")
    return packages


@pytest.fixture
def told(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Asks which of some files are of the program that a command line starts; ``{bin}`` stands for the venv's."""
    process = Process.open(os.getpid())
    packages = site(environment)
    files = (
        "shopd/cli.py",
        "shop_d/cli.py",
        "shopd_more/x.py",
        "acme/shop/cli.py",
        "acme/http/get.py",
        "gunicorn/a.py",
    )

    def ask(*several: str) -> list[str]:
        given = tuple(word.format(bin=environment / "bin", venv=environment) for word in several)
        monkeypatch.setattr(tested, "words", lambda _process: given)
        is_of = tested.program(process)
        return [] if is_of is None else [file for file in files if is_of(f"{packages}/{file}")]

    yield ask
    process.close()


@pytest.mark.parametrize(
    "several",
    [
        ("{bin}/python", "{bin}/shopd", "8080"),
        ("{bin}/python", "-u", "-W", "error", "{bin}/shopd-uv"),
        ("{bin}/python3", "{venv}/link"),
        ("{bin}/python3.11", "-m", "shopd", "--port", "8080"),
        ("{bin}/python", "-Im", "shopd.cli"),
        ("{bin}/python", "{bin}/gunicorn", "-w", "4", "-b", "0.0.0.0:80", "shopd.web:app"),
        ("{bin}/python", "{bin}/gunicorn", "--preload", "shopd.wsgi"),
        ("{bin}/python", "{bin}/gunicorn", "-w", "4", "shopd"),
        ("{bin}/python", "-m", "nameko", "run", "shopd.service"),
        ("gunicorn", "worker", "shopd.web:app"),
        ("{bin}/python", "-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "shopd.web:make()"),
        ("{bin}/python", "-m", "celery", "-A", "shopd.tasks", "worker", "-P", "gevent"),
        ("{bin}/python", "-m", "flask", "--app=shopd", "run"),
        ("uwsgi", "--http", ":80", "--module", "shopd.web:app"),
        ("{bin}/python", "-m", "coverage", "run", "-m", "shopd"),
    ],
)
def test_the_package_is_the_program(told: Told, several: tuple[str, ...]) -> None:
    """By its console script, by ``-m``, and by what a server is told to load: no other package beside it."""
    assert told(*several) == ["shopd/cli.py"]


@pytest.mark.parametrize(
    "several",
    [
        (),
        ("{bin}/python",),
        ("{bin}/python", "-c", "import shopd"),
        ("{bin}/python", "-m"),
        ("{bin}/python", "{bin}/run.py"),
        ("{bin}/python", "{bin}/long"),
        ("{bin}/python", "{bin}/none"),
        ("{bin}/python", "/srv/shopd/run.py"),
        ("{bin}/python", "{bin}/gunicorn", "main:app"),
        ("{bin}/python", "{bin}/gunicorn", "main:app", "-k", "shopd"),
        ("{bin}/python", "-m", "http.server", "shopd"),
        ("{bin}/python", "-m", "rq.cli", "worker", "default", "shopd"),
        ("{bin}/python", "-m", "scrapy", "crawl", "shopd"),
        ("{bin}/python", "-m", "../shopd"),
        ("x" * 20_000, "{bin}/python"),
        ("{bin}/python", "x" * 20_000),
        ("{bin}/python", "a\ud800"),
    ],
)
def test_no_package_is_the_program(told: Told, several: tuple[str, ...]) -> None:
    """A program with files of its own uses packages, whatever they are called; and what is not known is not said."""
    assert told(*several) == []


def test_a_script_by_the_name_of_its_distribution(told: Told) -> None:
    """The package of a distribution has its name, with an underscore where that has a hyphen."""
    assert told("{bin}/python", "{bin}/shopd-old") == ["shop_d/cli.py"]
    assert told("{bin}/python", "{bin}/shop_d") == ["shop_d/cli.py"]


def test_a_name_that_several_packages_share(told: Told) -> None:
    """Below it the program is one of them (PEP 420): the others are libraries."""
    assert told("{bin}/python", "{bin}/acme") == ["acme/shop/cli.py"]
    assert told("{bin}/python", "-m", "acme.shop") == ["acme/shop/cli.py"]


def test_the_script_is_of_its_package(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it was called; another file of this name is not."""
    process = Process.open(os.getpid())
    monkeypatch.chdir(environment)
    monkeypatch.setattr(tested, "words", lambda _process: ("bin/python", "./bin/shopd"))
    is_of = tested.program(process)
    assert is_of is not None
    assert all(map(is_of, ("bin/shopd", str(environment / "bin" / "shopd"))))
    assert not any(map(is_of, ("/srv/shopd", "", "<string>")))
    process.close()
