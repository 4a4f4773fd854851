"""Takes the pictures of docs/pictures: ``python -m tests.page.shoot report.html docs/pictures``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.page.browser import Browser


def shoot(page: Path, folder: Path) -> None:
    """The page as a window shows it, in light and in dark colours."""
    with Browser() as browser:
        for scheme in ("light", "dark"):
            browser.look(width=1100, height=1150, scheme=scheme)
            browser.open(page.resolve())
            browser.shoot(folder / f"page-{scheme}.png", whole=False)


if __name__ == "__main__":
    shoot(Path(sys.argv[1]), Path(sys.argv[2]))
