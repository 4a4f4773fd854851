"""Go: its own function table, its standard library, and the functions that start its stacks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.elf.facts import ElfFacts, Section
from tracer.stacks.language import TLS, Language, Part
from tracer.stacks.lasting import replaced

if TYPE_CHECKING:
    from tracer.model.frame import Frame
    from tracer.stacks.languages.go.pclntab import GoTable

_NAME = "go"
_STANDARD = re.compile(
    r"(runtime|internal|syscall|net|os|io|bufio|bytes|context|crypto|encoding|fmt|reflect|sync|time|vendor)[./]"
)
_STARTS = frozenset({"runtime.goexit", "runtime.rt0_go", "runtime.mstart", "_rt0_amd64_linux"})


def table_section(facts: ElfFacts) -> Optional[Section]:
    """The section of the function table. Only Go's own compiler writes one; None in any other file."""
    return facts.sections.get(b".gopclntab") or facts.sections.get(b".data.rel.ro.gopclntab")


def starts_stack(function: str) -> bool:
    """Tell whether a goroutine or a thread of the Go runtime starts in this function."""
    return function.partition(".abi0")[0] in _STARTS


def _open_table(descriptor: int, facts: ElfFacts) -> Optional[GoTable]:
    section = table_section(facts)
    if section is None:
        return None
    from tracer.stacks.languages.go import pclntab

    return pclntab.open_table(descriptor, section, facts.sections.get(b".text"))


def _owns(facts: ElfFacts, function: Optional[str]) -> bool:
    """Tell Go functions from linked C and assembly, whose names have no package."""
    return table_section(facts) is not None and (function is None or "." in function)


def _is_standard(function: str, _facts: ElfFacts) -> bool:
    return _STANDARD.match(function) is not None


def _package(frame: Frame) -> str:
    function = frame.function or ""
    if frame.language != _NAME or not function:
        return ""
    if function.startswith("crypto/tls."):
        return TLS
    from tracer.stacks.languages.go.packages import package

    return package(function)


def _part(frame: Frame) -> Part:
    """Goroutines go from thread to thread."""
    return Part.MOVES if frame.language == _NAME else Part.OTHER


def _short_name(name: str) -> str:
    return name.rsplit("/", 1)[-1]


_lasting_name = replaced(
    (r"@v[\w.+-]+", ""),  # a module's version
    (r"(?<=/)v\d+(?=[/.])", "v"),  # example.org/shop/v2.Load: the path has the major version
    (r"(?<=/)([\w-]+)\.v\d+(?=[/.])", r"\1"),  # gopkg.in/yaml.v3.Decode
    (r"\.(func|gowrap|deferwrap)\d+(\.\d+)*(?=$|[.-])", r".\1"),  # closures: shop.Load.func1.2
    (r"\.init\.\d+(?=$|\.)", ".init"),  # a package may have several
    (r"-range\d+", "-range"),
    (r"\[[^\[\]]*go\.shape[^\]]*\]", "[...]"),
)


LANGUAGE = Language(
    _NAME,
    open_table=_open_table,
    owns=_owns,
    runtime_function=_is_standard,
    starts_stack=starts_stack,
    title="Go's runtime",
    package=_package,
    part=_part,
    short_name=_short_name,
    lasting_name=_lasting_name,
    ends_tell=True,
)
