"""Reads the words that one step of a walk depends on, from another copied stack of the same program."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any, Callable

Key = tuple[Any, ...]
Read = Callable[[bytes, int, Sequence[int]], Key]
"""Reads what a step depends on, of a copied stack, its sp and its registers."""
Offsets = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Where the words of a step lie (exact ones, then those relative to sp, bytes above sp), and its registers."""
Place = tuple[Read, Offsets]
"""How to read a step's words, and where they lie."""


@functools.lru_cache(maxsize=4096)
def place_of(offsets: Offsets) -> Place:
    """The place with these offsets: one object, for many steps have the same.

    Its reader raises struct.error if the copied stack is shorter.
    """
    exact, relative, registers = offsets
    if len(exact) == len(relative) == 1 and not registers:
        return _pair(exact[0], relative[0]), offsets
    read_exact, read_relative = _words(exact), _words(relative)
    if not relative and not registers:
        return lambda stack, _sp, _registers: read_exact(stack), offsets

    def read(stack: bytes, sp: int, values: Sequence[int]) -> Key:
        words = [word - sp for word in read_relative(stack)]
        if registers:
            words += [values[number] - sp for number in registers]
        return (*read_exact(stack), *words)

    return read, offsets


def _pair(exact: int, relative: int) -> Read:
    """Reads a return address, and a frame pointer as it was saved: what most steps depend on."""
    words = _words((min(exact, relative), max(exact, relative)))

    def exact_first(stack: bytes, sp: int, _registers: Sequence[int]) -> Key:
        one, other = words(stack)
        return one, other - sp

    def relative_first(stack: bytes, sp: int, _registers: Sequence[int]) -> Key:
        one, other = words(stack)
        return one - sp, other

    return exact_first if exact < relative else relative_first


@functools.lru_cache(maxsize=4096)
def _words(offsets: tuple[int, ...]) -> Callable[[bytes], tuple[int, ...]]:
    """A reader of the words at ``offsets`` (bytes, ascending). Never matches if they overlap: no ABI has that."""
    parts, at = ["<"], 0
    for offset in offsets:
        if offset < at:
            return struct.Struct(f"<{1 << 24}x").unpack_from  # longer than any box: never matches
        parts.append(f"{offset - at}xQ")
        at = offset + 8
    return struct.Struct("".join(parts)).unpack_from
