"""Reads source lines and inlined calls from DWARF through libdwfl, for one module without address bias."""

from __future__ import annotations

import ctypes
from ctypes import POINTER
from dataclasses import dataclass
from typing import Any, Optional

from tracer.stacks.elf import libdw

_MAX_UNITS = 20_000
_MAX_NAMESPACES = 20_000
_MAX_SIBLINGS = 50_000
_NAMESPACES = (0x39, 0x1E)
"""DW_TAG_namespace, DW_TAG_module."""
_SCOPES = (libdw.DW_TAG_SUBPROGRAM, libdw.DW_TAG_INLINED_SUBROUTINE, 0x0B)
"""The DIEs that nest in code. 0x0b is DW_TAG_lexical_block."""
_FUNCTIONS = (libdw.DW_TAG_SUBPROGRAM, libdw.DW_TAG_INLINED_SUBROUTINE)


@dataclass(frozen=True)
class Inline:
    """A call that the compiler inlined: the callee, and the place of the call in its caller."""

    function: str
    call_file: Optional[str]
    call_line: Optional[int]


class SourceTables:
    """The debug information of ``module`` (a Dwfl_Module), by address. Results are empty if there is none."""

    def __init__(self, module: int) -> None:
        self._libdw = libdw.load()
        self._module = module

    def line(self, address: int) -> tuple[Optional[str], Optional[int]]:
        """Find the file name and line number of ``address``; None for each that is not known."""
        unit, bias = self._unit(address)
        found = self._libdw.dwarf_getsrc_die(unit, address - bias) if unit else None
        if not found:
            return None, None
        number = ctypes.c_int()
        file = self._libdw.dwarf_linesrc(found, None, None)
        if self._libdw.dwarf_lineno(found, ctypes.byref(number)):
            return _text(file), None
        return _text(file), number.value or None

    def inlines(self, address: int) -> tuple[Inline, ...]:
        """List the inlined calls that contain ``address``, innermost first."""
        found = []
        for die in self._scopes(address):
            tag = self._libdw.dwarf_tag(ctypes.byref(die))
            if tag == libdw.DW_TAG_SUBPROGRAM:
                break
            if tag == libdw.DW_TAG_INLINED_SUBROUTINE:
                line = self._number(die, libdw.DW_AT_CALL_LINE)
                found.append(Inline(self._name(die) or "??", self._call_file(die), line))
        return tuple(found)

    def _scopes(self, address: int) -> list[libdw.DwarfDie]:
        """List the DIEs that contain ``address``, innermost first, as they nest in the compiled code."""
        unit, bias = self._unit(address)
        if not unit:
            return []
        scopes = POINTER(libdw.DwarfDie)()
        # After an inlined call, dwarf_getscopes continues with the scopes around the callee's definition. The nesting
        # of the calls is in the ancestors of the innermost DIE.
        for die in _taken(scopes, self._libdw.dwarf_getscopes(unit, address - bias, ctypes.byref(scopes))):
            if self._libdw.dwarf_tag(ctypes.byref(die)) in _FUNCTIONS:
                return _taken(scopes, self._libdw.dwarf_getscopes_die(ctypes.byref(die), ctypes.byref(scopes)))
        return self._scopes_in_namespaces(unit, address - bias)

    def _scopes_in_namespaces(self, unit: Any, address: int) -> list[libdw.DwarfDie]:
        """Find the DIEs where functions are inside namespaces (rustc). dwarf_getscopes does not search there."""
        found: list[libdw.DwarfDie] = []
        containers = [unit]
        for _ in range(_MAX_NAMESPACES):
            if not containers:
                break
            die = self._first_child(containers.pop())
            for _ in range(_MAX_SIBLINGS):
                if die is None:
                    break
                tag = self._libdw.dwarf_tag(ctypes.byref(die))
                if tag in _NAMESPACES and not found:
                    containers.append(libdw.DwarfDie.from_buffer_copy(die))
                elif tag in _SCOPES and self._libdw.dwarf_haspc(ctypes.byref(die), address) > 0:
                    found.insert(0, libdw.DwarfDie.from_buffer_copy(die))
                    containers = [found[0]]
                    break
                if self._libdw.dwarf_siblingof(ctypes.byref(die), ctypes.byref(die)):
                    break
        return found

    def _first_child(self, die: Any) -> Optional[libdw.DwarfDie]:
        child = libdw.DwarfDie()
        return None if self._libdw.dwarf_child(die, ctypes.byref(child)) else child

    def _unit(self, address: int) -> tuple[Any, int]:
        bias = ctypes.c_uint64()
        unit = self._libdw.dwfl_module_addrdie(self._module, address, ctypes.byref(bias))
        if unit:
            return unit, bias.value
        # clang and rustc write no .debug_aranges. Then only the units themselves have their ranges.
        for _ in range(_MAX_UNITS):
            unit = self._libdw.dwfl_module_nextcu(self._module, unit, ctypes.byref(bias))
            if not unit:
                break
            if self._libdw.dwarf_haspc(unit, address - bias.value) > 0:
                return unit, bias.value
        return None, 0

    def _name(self, die: libdw.DwarfDie) -> Optional[str]:
        for code in (libdw.DW_AT_LINKAGE_NAME, libdw.DW_AT_MIPS_LINKAGE_NAME):
            attribute = libdw.DwarfAttribute()
            if self._libdw.dwarf_attr_integrate(ctypes.byref(die), code, ctypes.byref(attribute)):
                name = _text(self._libdw.dwarf_formstring(ctypes.byref(attribute)))
                if name:
                    return name
        return _text(self._libdw.dwarf_diename(ctypes.byref(die)))

    def _number(self, die: libdw.DwarfDie, code: int) -> Optional[int]:
        attribute, value = libdw.DwarfAttribute(), ctypes.c_uint64()
        if not self._libdw.dwarf_attr(ctypes.byref(die), code, ctypes.byref(attribute)):
            return None
        if self._libdw.dwarf_formudata(ctypes.byref(attribute), ctypes.byref(value)):
            return None
        return value.value

    def _call_file(self, die: libdw.DwarfDie) -> Optional[str]:
        index = self._number(die, libdw.DW_AT_CALL_FILE)
        unit = libdw.DwarfDie()
        if index is None or not self._libdw.dwarf_diecu(ctypes.byref(die), ctypes.byref(unit), None, None):
            return None
        files, count = ctypes.c_void_p(), ctypes.c_size_t()
        if self._libdw.dwarf_getsrcfiles(ctypes.byref(unit), ctypes.byref(files), ctypes.byref(count)):
            return None
        if index >= count.value:
            return None
        return _text(self._libdw.dwarf_filesrc(files, index, None, None))


def _text(value: Optional[bytes]) -> Optional[str]:
    return value.decode("utf-8", "replace") if value else None


def _taken(scopes: Any, count: int) -> list[libdw.DwarfDie]:
    """Copy an array of DIEs that libdw allocated, and free it. The data behind the DIEs belongs to the Dwarf."""
    if count <= 0:
        return []
    dies = [libdw.DwarfDie.from_buffer_copy(scopes[index]) for index in range(count)]
    libdw.libc().free(scopes)
    return dies
