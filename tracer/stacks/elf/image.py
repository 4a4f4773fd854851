"""One ELF file, read with elfutils: unwind rules and names for its addresses. All processes share it."""

from __future__ import annotations

import ctypes
import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.machine import registers as arch
from tracer.stacks.elf import libdw
from tracer.stacks.elf.additions import Additions, FunctionTable
from tracer.stacks.elf.cfi import CfiTable, Rule
from tracer.stacks.elf.debugfiles import DebugFileFinder, Places
from tracer.stacks.elf.dynamic import DynamicSymbols
from tracer.stacks.elf.facts import ElfFacts, read_facts
from tracer.stacks.elf.file import ElfFile
from tracer.stacks.elf.sources import Inline, SourceTables
from tracer.stacks.parsing import Part, parsing
from tracer.trail import Took, Trail

_log = Trail(__name__)

_MAX_RULES = 200_000
_MAX_NAMES = 50_000


class Given(NamedTuple):
    """What is known of a file before it is opened: its number for :mod:`tracer.stacks.parsing`, and what not to parse.

    ``barred`` are parts that did harm before.
    """

    number: int = 0
    barred: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Name:
    """One name for an address: the function of the machine frame, or a function inlined into it (``inlined``)."""

    function: Optional[str]
    offset: int
    file: Optional[str]
    line: Optional[int]
    inlined: bool


class Image:
    """An open ELF file. Addresses are those of the file, as ``nm`` and ``addr2line`` use them."""

    def __init__(
        self,
        descriptor: int,
        facts: ElfFacts,
        path: str,
        places: Places,
        additions: Additions,
        given: Given,
    ) -> None:
        """Take over ``descriptor``. Raises ValueError if libdw refuses the file."""
        self.facts = facts
        self.number, self._barred = given
        self._demangle = additions.demangle
        self._libdw = libdw.load()
        may_search = Part.DEBUG_FILE not in self._barred
        finder = DebugFileFinder(descriptor, path, facts.build_id, places if may_search else None)
        self._file = ElfFile(descriptor, facts, path, finder)
        self._module = self._file.module
        self._dynamic = DynamicSymbols(descriptor, facts) if Part.SYMBOLS in self._barred else None
        self._functions = self._open_table(additions, descriptor)
        self._tables: list[Optional[CfiTable]] = []
        self._sources = SourceTables(self._module)
        self._rules: dict[int, Optional[Rule]] = {}
        self._row_starts: list[int] = []
        self._rows: list[Rule] = []
        self._names: dict[int, tuple[Name, ...]] = {}

    @classmethod
    def open(
        cls,
        descriptor: int,
        path: str,
        places: Places,
        additions: Optional[Additions] = None,
        given: Given = Given(),  # noqa: B008 (a frozen value)
    ) -> Optional[Image]:
        """Open the file and take over ``descriptor``; None if it is not an ELF file that can be unwound."""
        took = Took()
        if Part.OPENING in given.barred:
            os.close(descriptor)
            return None
        with parsing(given.number, Part.OPENING):
            facts = read_facts(descriptor)
            if facts is None or facts.bits != 64 or facts.machine != arch.EM_MACHINE:
                os.close(descriptor)
                return None
            try:
                image = cls(descriptor, facts, path, places, additions or Additions(), given)
            except ValueError:
                return None
        _log.debug("file %s opened in %s", path, took)
        return image

    def rule(self, address: int) -> Optional[Rule]:
        """Find the unwind rule for code at ``address``; None if the file has none."""
        try:
            return self._rules[address]
        except KeyError:
            pass
        if len(self._rules) > _MAX_RULES:
            self._forget_rules()
        rule = self._known_row(address)
        if rule is None and Part.UNWIND not in self._barred:
            with parsing(self.number, Part.UNWIND):
                rule = self._compile(address)
                libdw.raise_if_out_of_memory()
        if rule is None and self._functions is not None:
            with parsing(self.number, Part.TABLE):
                rule = self._functions.rule(address)
        self._rules[address] = rule
        return rule

    def names(self, address: int) -> tuple[Name, ...]:
        """Name ``address``: inlined functions innermost first, then the function of the symbol table.

        ``offset`` is the distance from that function's symbol to ``address``. Without a symbol the function is None.
        """
        known = self._names.get(address)
        if known is None:
            if len(self._names) > _MAX_NAMES:
                self._names.clear()
            known = self._names[address] = self._look_up_names(address)
        return known

    def _look_up_names(self, address: int) -> tuple[Name, ...]:
        function, offset = self._symbol(address)
        inlines, (file, line) = self._sources_of(address)
        if self._functions is not None and (function is None or file is None):
            with parsing(self.number, Part.TABLE):
                found = self._functions.function(address)
                if found is not None and function is None:
                    function, offset = found.name, address - found.entry
                if file is None:
                    file, line = self._functions.line(address)
        names = []
        for inline in inlines:
            names.append(Name(self._demangle(inline.function), 0, file, line, inlined=True))
            file, line = inline.call_file, inline.call_line
        names.append(Name(self._demangle(function) if function else None, offset, file, line, inlined=False))
        return tuple(names)

    def _sources_of(self, address: int) -> tuple[tuple[Inline, ...], tuple[Optional[str], Optional[int]]]:
        if Part.SOURCE in self._barred:
            return (), (None, None)
        with parsing(self.number, Part.SOURCE):
            found = self._sources.inlines(address), self._sources.line(address)
            libdw.raise_if_out_of_memory()
            return found

    def _open_table(self, additions: Additions, descriptor: int) -> Optional[FunctionTable]:
        if Part.TABLE in self._barred:
            return None
        with parsing(self.number, Part.TABLE):
            return additions.open_table(descriptor, self.facts)

    def _symbol(self, address: int) -> tuple[Optional[str], int]:
        if self._dynamic is not None:
            name, offset = self._dynamic.find(address)
            return name or None, offset
        with parsing(self.number, Part.SYMBOLS):
            found = self._look_up_symbol(address)
            libdw.raise_if_out_of_memory()
            return found

    def _look_up_symbol(self, address: int) -> tuple[Optional[str], int]:
        """Find the symbol as eu-addr2line does: one whose size covers ``address``, else the nearest label before it."""
        offset, symbol, bias = ctypes.c_uint64(), libdw.GElfSym(), ctypes.c_uint64()
        name = self._libdw.dwfl_module_addrinfo(
            self._module, address, ctypes.byref(offset), ctypes.byref(symbol), None, None, ctypes.byref(bias)
        )
        if not name or (symbol.st_size == 0 and not self._has_all_symbols()):
            return None, 0
        # A version such as "@@GLIBC_2.34" is for the linker. It is not part of the function's name.
        text = name.decode("utf-8", "replace")
        return text[: text.find("@", 1)] if "@" in text[1:] else text, offset.value

    def _has_all_symbols(self) -> bool:
        """Tell whether .symtab exists. Without it, a label without size may reach over symbols that are missing."""
        debug_file = ctypes.c_char_p()
        self._libdw.dwfl_module_info(self._module, None, None, None, None, None, None, ctypes.byref(debug_file))
        return self.facts.has_symtab or bool(debug_file.value)

    def _known_row(self, address: int) -> Optional[Rule]:
        index = bisect_right(self._row_starts, address) - 1
        if index >= 0 and address < self._rows[index].end:
            return self._rows[index]
        return None

    def _compile(self, address: int) -> Optional[Rule]:
        for table in self._cfi_tables():
            rule = table.rule(address)
            if rule is not None:
                index = bisect_right(self._row_starts, rule.start)
                self._row_starts.insert(index, rule.start)
                self._rows.insert(index, rule)
                return rule
        return None

    def _cfi_tables(self) -> Iterator[CfiTable]:
        """Give the table of .eh_frame first. The debug file and its .debug_frame are needed only if that has no row."""
        asks = ((self._libdw.dwfl_module_eh_cfi, Part.UNWIND), (self._libdw.dwfl_module_dwarf_cfi, Part.SOURCE))
        for index, (ask, part) in enumerate(asks):
            if part in self._barred:
                continue
            if index == len(self._tables):
                bias = ctypes.c_uint64()
                with parsing(self.number, part):
                    handle = ask(self._module, ctypes.byref(bias))
                    libdw.raise_if_out_of_memory()
                self._tables.append(CfiTable(handle, bias.value) if handle else None)
            table = self._tables[index]
            if table is not None:
                yield table

    def _forget_rules(self) -> None:
        self._rules.clear()
        self._row_starts.clear()
        self._rows.clear()
