"""What a language adds to an ELF file: its own function table, and readable names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Protocol

from tracer.stacks.elf.cfi import Rule
from tracer.stacks.elf.facts import ElfFacts


class Function(Protocol):
    """A function of a language's table: its name and its first address in the file."""

    @property
    def name(self) -> str:
        """Its name, as reports show it."""

    @property
    def entry(self) -> int:
        """Its first address."""


class FunctionTable(Protocol):
    """A language's own table of functions. It is asked where CFI, symbols and DWARF have no answer. Never raises."""

    def function(self, address: int) -> Optional[Function]:
        """Find the function that contains ``address``; None if the table has none."""

    def line(self, address: int) -> tuple[Optional[str], Optional[int]]:
        """Find file and line of ``address``; None for each that is not known."""

    def rule(self, address: int) -> Optional[Rule]:
        """Find the unwind rule at ``address``; None if the table has none."""


OpenTable = Callable[[int, ElfFacts], Optional[FunctionTable]]
"""Opens the table of the file behind a descriptor; None if the file has none. The caller keeps the descriptor."""


@dataclass(frozen=True)
class Additions:
    """``demangle`` gives a symbol as in source code, or unchanged. The defaults are for a file without languages."""

    demangle: Callable[[str], str] = str
    open_table: OpenTable = lambda _descriptor, _facts: None
