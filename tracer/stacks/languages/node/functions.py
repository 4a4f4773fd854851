"""JavaScript functions: name, script and lines, from a SharedFunctionInfo in the live heap.

A SharedFunctionInfo is what all closures of one function have in common. It lies in the old space, where the collector
seldom moves or frees anything; a closure (JSFunction) moves within milliseconds. So what is read here is right about
a second after the touch, if the types are (research: no wrong name in any run, while closures gave some).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.node.heap import FIRST_NONSTRING, Heap, is_pointer, smi
from tracer.stacks.languages.node.layout import Layout
from tracer.stacks.target.reader import Nonsense

_MAX_INLINED_LOCALS = 75
"""With so many local variables or more, their names are in a hash table (kScopeInfoMaxInlinedLocalNamesSize)."""
_MAX_LOCALS = 4096
_SAVED_CLASS_VARIABLE = 1 << 10
"""A flag of a ScopeInfo: a slot comes before the function's name that may be a string, too."""
_MAX_SOURCE = 24 << 20
_MAX_SCRIPTS, _MAX_LINES = 32, 4_000_000
_SCRIPT_SOURCE, _SCRIPT_NAME, _SCRIPT_LINE_OFFSET, _SCRIPT_ID = 8, 16, 24, 64
_LINE_END = re.compile("\r\n|[\n\r\u2028\u2029]")


@dataclass(frozen=True)
class Function:
    """A function. ``script`` is a tagged pointer, 0 for V8's own functions, which have no source."""

    name: str
    file: Optional[str]
    script: int


class Functions:
    """All functions of one process. Methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, heap: Heap, layout: Layout) -> None:
        self._heap, self._layout = heap, layout
        self._lines: OrderedDict[tuple[int, int], list[int]] = OrderedDict()

    def at(self, shared: int) -> Function:
        """The function of the SharedFunctionInfo ``shared`` (tagged)."""
        if self._heap.type_of(shared) != self._layout.types.shared:
            raise Nonsense("no function where one was")
        name = self._name(self._heap.word(shared, self._layout.name_or_scope_info))
        script = self._heap.word(shared, self._layout.script)
        if self._heap.type_or_none(script) != self._layout.types.script:
            return Function(name, None, 0)
        return Function(name, self._file(script), script)

    def shared_of(self, function: int) -> int:
        """The SharedFunctionInfo of the closure ``function`` (tagged), as it is now."""
        if self._heap.type_of(function) not in self._layout.types.functions:
            raise Nonsense("no function where one was")
        return self._heap.word(function, self._layout.shared)

    def bytecodes_of(self, shared: int) -> Optional[int]:
        """The bytecode array of a function; None if it has none (any more)."""
        types, found = self._layout.types, self._heap.word(shared, self._layout.function_data)
        for _ in range(3):
            kind = self._heap.type_or_none(found)
            if kind == types.bytecode_array:
                return found
            if kind == types.interpreter_data:
                found = self._heap.word(found, 8)
            elif kind == types.code and self._layout.code is not None:
                found = self._heap.word(found, self._layout.code.deopt)
            else:
                return None
        return None

    def line(self, function: Function, offset: int) -> Optional[int]:
        """The line (from 1 on) of the place ``offset`` characters into the function's script."""
        if not function.script or offset < 0:
            return None
        ends = self._line_ends(function.script)
        return bisect_left(ends, offset) + 1 + smi(self._heap.word(function.script, _SCRIPT_LINE_OFFSET))

    def _line_ends(self, script: int) -> list[int]:
        """Where each line ends. A script's id is never given again, so what was read once stays true."""
        key = (script, self._heap.word(script, _SCRIPT_ID))
        known = self._lines.get(key)
        if known is not None:
            self._lines.move_to_end(key)
            return known
        source = self._heap.string(self._heap.word(script, _SCRIPT_SOURCE), _MAX_SOURCE)
        ends = self._lines[key] = [match.end() - 1 for match in _LINE_END.finditer(source)]
        while len(self._lines) > _MAX_SCRIPTS or sum(map(len, self._lines.values())) > _MAX_LINES:
            self._lines.popitem(last=False)
        return ends

    def _file(self, script: int) -> Optional[str]:
        try:
            file = self._heap.string(self._heap.word(script, _SCRIPT_NAME))
        except Nonsense:  # code of eval and of new Function has none
            return None
        return file[len("file://") :] if file.startswith("file://") else file or None

    def _name(self, name_or_scope: int) -> str:
        if not is_pointer(name_or_scope):
            return ""
        kind = self._heap.type_of(name_or_scope)
        if kind < FIRST_NONSTRING:
            return self._heap.string(name_or_scope)
        if kind != self._layout.types.scope_info:
            return ""
        return self._name_in_scope(name_or_scope)

    def _name_in_scope(self, scope: int) -> str:
        """The first string after the local variables that is not empty: the function's name, or what V8 inferred.

        See src/objects/scope-info.tq. Name, a number, and the inferred name follow each other; any may be missing.
        """
        word, count = self._heap.word(scope, 8), smi(self._heap.word(scope, 8 + 8 * 2))
        flags = word & 0xFFFFFFFF or word >> 32  # since 13.x no small integer
        if not 0 <= count <= _MAX_LOCALS:
            raise Nonsense(f"a scope with {count} variables")
        first = self._layout.first_vars + (2 * count if count < _MAX_INLINED_LOCALS else count + 1)
        first += bool(flags & _SAVED_CLASS_VARIABLE)
        for slot in range(first, first + 4):
            try:
                word = self._heap.word(scope, 8 + 8 * slot)
                found = self._heap.string(word) if is_pointer(word) else ""
            except (MemoryUnreadable, Nonsense):
                continue
            if found:
                return found
        return ""
