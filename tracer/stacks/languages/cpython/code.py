"""Reads a code object (PyCodeObject) from a process's memory: what a traceback says of a function.

The memory may have been freed, and used again, since somebody pointed to it. So nothing is taken from an object that
does not live: one with another type, or with a reference count that no object has. An object that lives keeps alive
all that it refers to.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.cpython.codelayout import CodeLayout
from tracer.stacks.target.reader import Nonsense, Source

_LONGEST_NAME = 1024
_LARGEST_TABLE = 1 << 20
_LARGEST_CODE = 1 << 24
_LAST_LINE = (1 << 31) - 1
_OBJECT = struct.Struct("<QQq")
"""ob_refcnt, ob_type, and ob_size (the length of a str)."""
_STR_HEAD = 40
HASH = 24
"""Where a str has its hash."""
_BYTES_HEAD = 32
_MOST_REFERENCES = 1 << 32
_CHARACTERS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


@dataclass(frozen=True)
class Types:
    """The addresses of three types in one process: code objects, str and bytes."""

    code: int
    text: int
    bytes: int


@dataclass(frozen=True)
class Code:
    """A function's code. ``size``: its bytecode in bytes. ``version`` is 0 if it has none.

    ``name`` is the qualified name where there is one. Instructions before ``traceable`` (bytes) are in no traceback.
    ``marks`` are words by which it is known again: those of :func:`marks`, and its name's hash.
    """

    address: int
    name: str
    file: str
    first_line: int
    table: bytes
    size: int
    traceable: int
    version: int
    marks: tuple[int, ...]

    @property
    def known_by(self) -> int:
        """Its marks as one number."""
        return hash(self.marks)

    def holds(self, instruction: int) -> bool:
        """Whether ``instruction`` (bytes from the first one) is in it."""
        return 0 <= instruction < self.size


class CodeReader:
    """Reads code objects of one process. ``source`` is its memory."""

    def __init__(self, source: Source, types: Types, layout: CodeLayout) -> None:
        self._source, self._types, self._layout = source, types, layout

    def read(self, address: int) -> Code:
        """The code object at ``address``. Raises Nonsense if none lives there (any more), MemoryUnreadable."""
        layout = self._layout
        head = self._source.read(address, layout.size)
        count = _alive(head, self._types.code, "code object")
        name, name_hash = self._text(_word(head, layout.name))
        code = Code(
            address=address,
            name=name if layout.qualname is None else self._text(_word(head, layout.qualname))[0],
            file=self._text(_word(head, layout.filename))[0],
            first_line=_number(head, layout.first_line),
            table=self._bytes(_word(head, layout.lines), _LARGEST_TABLE),
            size=self._code_size(head, count),
            traceable=2 * _number(head, layout.traceable) if layout.traceable is not None else 0,
            version=_number(head, layout.version) & 0xFFFFFFFF if layout.version is not None else 0,
            marks=(*marks(head, layout), name_hash),
        )
        # What it refers to was read after it: that was its own only if it lives still.
        again = self._source.read(address, layout.size)
        if _alive(again, self._types.code, "code object") != count or marks(again, layout) != marks(head, layout):
            raise Nonsense("the code object changed while it was read")
        return code

    def instruction(self, code: Code, word: int) -> int:
        """Where in ``code`` a frame is, in bytes from the first instruction.

        ``word`` is what was copied, the owner taken off: an address since 3.11, an index (f_lasti, signed) before.
        """
        if self._layout.bytecode is None:
            return word - code.address - self._layout.size
        index = word & 0xFFFFFFFF
        return (index - (1 << 32) if index >> 31 else index) * self._layout.unit

    def line(self, code: Code, instruction: int) -> Optional[int]:
        """The line that is being executed; None if the code has none there."""
        line = self._layout.find_line(code.table, code.first_line, instruction)
        return line if line is not None and 0 < line <= _LAST_LINE else None

    def _code_size(self, head: bytes, count: int) -> int:
        if self._layout.bytecode is None:
            size = 2 * count
        else:
            size = _alive(
                self._source.read(_word(head, self._layout.bytecode), _OBJECT.size), self._types.bytes, "bytes"
            )
        if not 0 < size <= _LARGEST_CODE:
            raise Nonsense(f"{size} bytes of bytecode")
        return size

    def _text(self, address: int) -> tuple[str, int]:
        """A str, and its hash as far as the program has asked for it: for names it has."""
        head = self._source.read(address, _STR_HEAD)
        length = _alive(head, self._types.text, "str")
        state = _number(head, 32)
        kind, compact, is_ascii = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if not compact or kind not in _CHARACTERS or not 0 <= length <= _LONGEST_NAME:
            raise Nonsense("a name that is none")
        start = address + (self._layout.ascii if is_ascii else self._layout.wide)
        text = self._source.read(start, length * kind).decode(_CHARACTERS[kind], "replace")
        return text, _word(head, HASH)

    def _bytes(self, address: int, most: int) -> bytes:
        size = _alive(self._source.read(address, _OBJECT.size), self._types.bytes, "bytes")
        if not 0 <= size <= most:
            raise Nonsense(f"a table of {size} bytes")
        return self._source.read(address + _BYTES_HEAD, size) if size else b""


def marks(head: bytes, layout: CodeLayout) -> tuple[int, ...]:
    """What tells a code object from one that came in its place: where its parts are, its first line, its version.

    The first word is the place of its name. ``head`` are its first bytes.
    """
    parts = (layout.name, layout.filename, layout.lines, layout.qualname or layout.name)
    numbers = (layout.first_line, layout.version if layout.version is not None else layout.first_line)
    return (*(_word(head, offset) for offset in parts), *(_number(head, offset) for offset in numbers))


def _alive(head: bytes, kind: int, what: str) -> int:
    """The size of an object that begins with ``head``. Raises Nonsense if it is not (or no longer) one of this type.

    Freed memory has a link in place of the reference count, or 0.
    """
    references, its_type, size = _OBJECT.unpack_from(head)
    if its_type != kind or not 0 < references & 0xFFFF_FFFF_FFFF <= _MOST_REFERENCES:
        raise Nonsense(f"no {what} is there any more")
    return int(size)


def _word(head: bytes, offset: int) -> int:
    return int.from_bytes(head[offset : offset + 8], "little")


def _number(head: bytes, offset: int) -> int:
    return int.from_bytes(head[offset : offset + 4], "little", signed=True)
