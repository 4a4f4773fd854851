"""Python, with the names in CPython's own perf map (``python -X perf``, Doc/howto/perf_profiling.rst)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.language import Language, Symbol

_TRAMPOLINE = re.compile(r"py::(.*?):(.*)$")
_PACKAGE = re.compile(r"/(?:site|dist)-packages/([^/]+)")


def _read_symbol(symbol: str) -> Optional[Symbol]:
    match = _TRAMPOLINE.match(symbol)
    if match is None:
        return None
    function, file = match.groups()
    return Symbol(function, "python", file=file, internal=file.startswith("<frozen"))


def _package(frame: Frame) -> str:
    match = _PACKAGE.search(frame.file or "")
    return match.group(1).partition(".py")[0] if match else ""


def _installed(pid: int, names: Collection[str]) -> tuple[str, ...]:
    from tracer.stacks.languages.cpython.packages import installed

    return installed(pid, names)


LANGUAGE = Language("python", read_symbol=_read_symbol, title="Python", package=_package, installed=_installed)
