"""Go: its own function table, its standard library, and where its stacks begin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.elf.facts import ElfFacts, Section
from tracer.stacks.language import Language

if TYPE_CHECKING:
    from tracer.stacks.languages.go.pclntab import GoTable

_STANDARD = re.compile(
    r"(runtime|internal|syscall|net|os|io|bufio|bytes|context|crypto|encoding|fmt|reflect|sync|time|vendor)[./]"
)
_STARTS = frozenset({"runtime.goexit", "runtime.rt0_go", "runtime.mstart", "_rt0_amd64_linux"})


def table_section(facts: ElfFacts) -> Optional[Section]:
    """The function table, by which a program by Go's own compiler is known; None in any other file."""
    return facts.sections.get(b".gopclntab") or facts.sections.get(b".data.rel.ro.gopclntab")


def starts_stack(function: str) -> bool:
    """Tell the functions that a goroutine or a thread of the Go runtime begins in."""
    return function.partition(".abi0")[0] in _STARTS


def _open_table(descriptor: int, facts: ElfFacts) -> Optional[GoTable]:
    section = table_section(facts)
    if section is None:
        return None
    from tracer.stacks.languages.go import pclntab

    return pclntab.open_table(descriptor, section, facts.sections.get(b".text"))


def _owns(facts: ElfFacts, function: Optional[str]) -> bool:
    """Assembly and C that is linked in has no package in its name."""
    return table_section(facts) is not None and (function is None or "." in function)


def _is_standard(function: str, _facts: ElfFacts) -> bool:
    return _STANDARD.match(function) is not None


def _short_name(name: str) -> str:
    return name.rsplit("/", 1)[-1]


LANGUAGE = Language(
    "go",
    open_table=_open_table,
    owns=_owns,
    runtime_function=_is_standard,
    starts_stack=starts_stack,
    title="Go's runtime",
    short_name=_short_name,
    changes_threads=True,
    ends_tell=True,
)
