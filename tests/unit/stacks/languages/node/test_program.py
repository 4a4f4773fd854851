"""Oracle: folders and links as npm and pnpm lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stacks.languages.started import program_of
from tracer.stacks.languages.node import program as tested


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Global packages, one of them with a dependency of its own, their links in ``bin``, and a program of one's own."""
    for file in (
        "lib/node_modules/shopd/bin/shopd.js",
        "lib/node_modules/shopd/lib/orders.js",
        "lib/node_modules/shopd/node_modules/got/index.js",
        "lib/node_modules/@acme/shop/cli.js",
        "lib/node_modules/pm2/lib/fork.js",
        "store/node_modules/.pnpm/shopd@1.0.0/node_modules/shopd/bin/shopd.js",
        "srv/run.js",
    ):
        place = tmp_path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/shopd").symlink_to("../lib/node_modules/shopd/bin/shopd.js")
    (tmp_path / "bin/shop").symlink_to("../lib/node_modules/@acme/shop/cli.js")
    (tmp_path / "bin/loop").symlink_to("loop")
    (tmp_path / "store/node_modules/shopd").symlink_to(".pnpm/shopd@1.0.0/node_modules/shopd")
    return tmp_path


GLOBAL = "lib/node_modules/shopd/lib/orders.js"
SCOPED = "lib/node_modules/@acme/shop/cli.js"
STORED = "store/node_modules/.pnpm/shopd@1.0.0/node_modules/shopd/lib/orders.js"


@pytest.mark.parametrize(
    ("several", "own"),
    [
        (("node", "{}/bin/shopd", "8080"), GLOBAL),
        (("node", "bin/shopd"), GLOBAL),
        (("/usr/bin/node", "--require", "x", "--max-old-space-size=99", "{}/bin/shopd"), GLOBAL),
        (("node", "{}/lib/node_modules/shopd/bin/shopd.js"), GLOBAL),
        (("node", "{}/lib/node_modules/pm2/lib/fork.js", "{}/bin/shopd"), GLOBAL),
        (("node", "{}/bin/shop"), SCOPED),
        (("node", "{}/store/node_modules/shopd/bin/shopd.js"), STORED),
        (("node", "{}/srv/run.js"), None),
        (("node", "{}/lib/node_modules/pm2/lib/fork.js", "{}/srv/run.js"), None),
        (("node", "-e", "1", "{}/bin/shopd"), None),
        (("node", "{}/bin/loop"), None),
        (("node", "{}/bin/none"), None),
        (("node", "x" * 20_000), None),
        (("shopd",), None),
        ((), None),
    ],
)
def test_the_package_of_the_main_script(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, several: tuple[str, ...], own: str | None
) -> None:
    """Where it really lies, and not what that depends on. A process manager runs another one's program."""
    is_of = program_of(tested, [word.format(prefix) for word in several], prefix, monkeypatch)
    others = {GLOBAL, SCOPED, STORED, "lib/node_modules/shopd/node_modules/got/index.js", "srv/run.js"}
    told = [file for file in sorted(others) if is_of is not None and is_of(f"{prefix}/{file}")]
    assert told == ([] if own is None else [own])
