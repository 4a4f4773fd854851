"""What languages add to the reading of an ELF file: a function table of their own, and names as people write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Protocol

from tracer.stacks.elf.cfi import Rule
from tracer.stacks.elf.facts import ElfFacts


class Function(Protocol):
    """A function of such a table: its name and its first address (of the file)."""

    @property
    def name(self) -> str:
        """Its name, as reports show it."""

    @property
    def entry(self) -> int:
        """Its first address."""


class FunctionTable(Protocol):
    """A language's own table of functions, for what CFI, symbols and DWARF lines do not tell. Never raises."""

    def function(self, address: int) -> Optional[Function]:
        """Find the function that holds ``address``; None if the table has none there."""

    def line(self, address: int) -> tuple[Optional[str], Optional[int]]:
        """Find file and line of ``address``; None for what is not known."""

    def rule(self, address: int) -> Optional[Rule]:
        """Find the unwind rule at ``address``; None if the table has none there."""


OpenTable = Callable[[int, ElfFacts], Optional[FunctionTable]]
"""Opens the table of the file open as this descriptor, which stays the caller's; None if the file has none."""


@dataclass(frozen=True)
class Additions:
    """``demangle`` gives a symbol as people write it, or as it is. Without languages a file has its own tables only."""

    demangle: Callable[[str], str] = str
    open_table: OpenTable = lambda _descriptor, _facts: None
