"""Builds the programs of the gallery and of the other live tests that run in guests. It starts none of them."""

from __future__ import annotations

from typing import Callable

from tests.live import gallery
from tests.live.workload import build


def main() -> None:
    """Call the gallery's recipes with builders in the place of starters."""
    instead: dict[str, Callable[..., object]] = {
        "start": lambda name, *_, **__: build(name),
        "start_python": lambda *_, **__: None,
        "Workload": lambda *_, **__: None,
    }
    vars(gallery).update(instead)
    for make in gallery.PROGRAMS.values():
        make()
    build("late_close")
    build("many_keys", "-shared", "-fPIC", "-pthread", link=(), output="many_keys.so")


if __name__ == "__main__":
    main()
