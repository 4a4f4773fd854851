"""Turns an address in an ELF file into frames: function, module, source line, and what kind of code it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor
from tracer.stacks.elf.additions import Additions, FunctionTable
from tracer.stacks.elf.facts import ElfFacts
from tracer.stacks.elf.image import Name
from tracer.stacks.language import Language, Symbol
from tracer.stacks.target.modules import Code

_LONGEST_SYMBOL = 4096
_NATIVE = "native"


class Naming:
    """All languages as one. The first language that has an answer gives it."""

    def __init__(self, languages: Sequence[Language]) -> None:
        self._languages = tuple(languages)
        # One file may hold code of several languages: a function that no language owns may be from any of these.
        self._shared = tuple(language for language in languages if language.owns is None)
        self._owners = tuple((language, language.owns) for language in languages if language.owns is not None)
        self.additions = Additions(lru_cache(maxsize=8192)(self._demangle), self._open_table)

    def frames(self, code: Code, cursor: Cursor) -> tuple[Frame, ...]:
        """Name the code at ``cursor``: inlined calls innermost first, then the machine frame. Never empty."""
        if code.image is None:
            internal = self._is_runtime_file(code)
            return (Frame(None, code.module, cursor.pc + code.delta, pc=cursor.pc, internal=internal),)
        facts = code.image.facts
        return tuple(self._frame(code, facts, cursor, name) for name in code.image.names(cursor.lookup + code.delta))

    def is_runtime_module(self, module: str) -> bool:
        """Tell whether a file with this base name is a runtime or a standard library."""
        return any(language.runtime_module(module) for language in self._languages)

    def _is_runtime_file(self, code: Code) -> bool:
        path = code.mapping.path
        return self.is_runtime_module(code.module) or any(language.extension(path) for language in self._languages)

    def starts_stack(self, function: Optional[str]) -> bool:
        """Tell whether the stacks of a runtime start in this function."""
        return function is not None and any(language.starts_stack(function) for language in self._languages)

    def starts_coroutine(self, frame: Frame) -> bool:
        """Tell where a stack of its own begins though the code goes on."""
        module = frame.module or ""
        return any(language.starts_coroutine(module, frame.function) for language in self._languages)

    def read_symbol(self, symbol: str) -> Optional[Symbol]:
        """Read a symbol of generated code; None if no language can."""
        return next((read for language in self._languages if (read := language.read_symbol(symbol)) is not None), None)

    def _frame(self, code: Code, facts: ElfFacts, cursor: Cursor, name: Name) -> Frame:
        if name.function is None:
            offset = cursor.pc + code.delta
        else:
            offset = 0 if name.inlined else name.offset + cursor.pc - cursor.lookup
        owner = next((language for language, owns in self._owners if owns(facts, name.function)), None)
        return Frame(
            function=name.function,
            module=code.module,
            offset=offset,
            file=name.file,
            line=name.line,
            language=owner.name if owner is not None else _NATIVE,
            inlined=name.inlined,
            internal=self._is_internal(code, facts, name.function, owner),
            pc=cursor.pc,
        )

    def _is_internal(self, code: Code, facts: ElfFacts, function: Optional[str], owner: Optional[Language]) -> bool:
        if self._is_runtime_file(code):
            return True
        asked = self._shared if owner is None else (owner,)
        return function is not None and any(language.runtime_function(function, facts) for language in asked)

    def _demangle(self, symbol: str) -> str:
        if len(symbol) > _LONGEST_SYMBOL:
            return symbol
        asked = (language.demangle(symbol) for language in self._languages)
        return next((name for name in asked if name is not None), symbol)

    def _open_table(self, descriptor: int, facts: ElfFacts) -> Optional[FunctionTable]:
        asked = (language.open_table(descriptor, facts) for language in self._languages)
        return next((table for table in asked if table is not None), None)
