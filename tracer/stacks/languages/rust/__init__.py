"""Rust: its two manglings, and its standard library, which is compiled into every program. Frames are ``native``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.elf.facts import ElfFacts
from tracer.stacks.generics import without_arguments
from tracer.stacks.language import Language, Part
from tracer.stacks.lasting import replaced

if TYPE_CHECKING:
    from tracer.model.frame import Frame

_STANDARD = ("std::", "core::", "alloc::")
_STANDARD_TYPE = re.compile(r"<[&*]*(?:mut |dyn |const )*(?:std|core|alloc)::")
_LEGACY_HASH = "17h"
"""The start of a mangled hash: a name of 17 letters that starts with "h"."""


def _demangle(symbol: str) -> Optional[str]:
    if symbol.startswith("_R"):
        from tracer.stacks.languages.rust.v0 import demangle_v0

        return demangle_v0(symbol)
    if symbol.startswith("_Z") and _LEGACY_HASH in symbol:
        from tracer.stacks.languages.rust.legacy import demangle_legacy

        return demangle_legacy(symbol)
    return None


def _is_standard(function: str, _facts: ElfFacts) -> bool:
    """A name with parameters is C++. There, anyone may have a namespace ``core`` or ``alloc``."""
    if function.startswith("<"):
        return _STANDARD_TYPE.match(function) is not None
    return function.startswith(_STANDARD) and "(" not in without_arguments(function)


def _package(frame: Frame) -> str:
    from tracer.stacks.languages.rust import crates

    return crates.package(frame.function or "")


def _part(frame: Frame) -> Part:
    from tracer.stacks.languages.rust import crates

    return crates.part(frame.function or "")


_lasting_name = replaced(
    (r"\.llvm\.\d+$", ""),
    (r"::h[0-9a-f]{16}$", ""),  # of the legacy mangling
    (r"(?<=\w)\[[0-9a-f]{1,16}\]", ""),  # of a crate, in the v0 mangling
    (r"\{(\w+)(:\w+)?#\d+\}", r"{\1\2}"),  # {closure#0}, {impl#3}, {shim:vtable#0}
    (r"\{\{closure\}\}", "{closure}"),
)


LANGUAGE = Language(
    "rust",
    demangle=_demangle,
    runtime_function=_is_standard,
    package=_package,
    part=_part,
    lasting_name=_lasting_name,
)
