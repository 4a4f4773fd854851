"""Where a code object has what a name needs, for each minor version: the same in all its release builds with the GIL.

Source: offsetof in Include/cpython/code.h, Include/cpython/unicodeobject.h and Include/internal/pycore_interp*.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.cpython.lines import Finder, by_lnotab, by_locations, by_ranges


@dataclass(frozen=True)
class CodeLayout:
    """Offsets in bytes. ``size`` is that of the part to read, up to the bytecode where that is inside.

    ``bytecode`` is a pointer to a bytes object before 3.11; since then the code is at the object's end, at ``size``.
    ``unit``: how many bytes of bytecode one step of f_lasti is. ``traceable``: _co_firsttraceable. ``version``:
    co_version, from a counter that only rises; ``counter`` is that counter's place in PyInterpreterState.
    """

    size: int
    first_line: int
    filename: int
    name: int
    lines: int
    find_line: Finder
    ascii: int
    wide: int
    qualname: Optional[int] = None
    bytecode: Optional[int] = None
    unit: int = 1
    traceable: Optional[int] = None
    version: Optional[int] = None
    counter: Optional[int] = None


def _until_3_10(find_line: Finder, unit: int) -> CodeLayout:
    return CodeLayout(
        size=128, first_line=40, filename=104, name=112, lines=120, find_line=find_line, ascii=48, wide=72,
        bytecode=48, unit=unit,
    )  # fmt: skip


def _since_3_12(size: int, traceable: int, counter: Optional[int]) -> CodeLayout:
    return CodeLayout(
        size=size, first_line=68, filename=112, name=120, lines=136, find_line=by_locations, ascii=40,
        wide=56, qualname=128, traceable=traceable, version=92, counter=counter,
    )  # fmt: skip


CODE_LAYOUTS = {
    8: _until_3_10(by_lnotab, 1),
    9: _until_3_10(by_lnotab, 1),
    10: _until_3_10(by_ranges, 2),
    11: CodeLayout(
        size=184, first_line=72, filename=112, name=120, lines=136, find_line=by_locations, ascii=48,
        wide=72, qualname=128, traceable=168,
    ),
    12: _since_3_12(192, 176, None),
    13: _since_3_12(200, 184, 17000),
    14: _since_3_12(208, 192, 14256),
    15: _since_3_12(208, 192, 14264),
}  # fmt: skip
"""By minor version."""
