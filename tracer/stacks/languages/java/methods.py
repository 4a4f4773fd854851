"""Reads names, source files and lines of Java methods from metaspace.

Source: src/hotspot/share/oops/{method,constMethod,constantPool,klass,symbol}.hpp. After a
ConstMethod come the bytecodes and, if its flags say so, the compressed line number table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.java.layout import Layout
from tracer.stacks.languages.java.lines import LineTable, decode_lines, line_of
from tracer.stacks.target.reader import Nonsense, Reader

_MAX_SYMBOL = 2048
_MAX_CONST_METHOD = 1 << 20
_CACHED_METHODS, _CACHED_LINES = 8192, 500_000
_NO_METHOD = "metaspace has no method at the address in the frame"

# "Main$$Lambda+0x00007f..." (hidden class), "Main$$Lambda$14/0x..." and "Main$$Lambda$14" (JDK 8). Each run has other
# numbers.
_HIDDEN = re.compile(r"[+/]0x[0-9a-fA-F]+$")
_LAMBDA_NUMBER = re.compile(r"(\$\$Lambda)\$\d+$")
_JDK = re.compile(
    r"(?:java|jdk|sun|com\.sun)\."
    # The packages of javax that belong to the JDK. Others do not, such as javax.servlet.
    r"|javax\.(?:accessibility|annotation\.processing|crypto|imageio|lang\.model|management|naming|net|print|rmi"
    r"|script|security|smartcardio|sound|sql|swing|tools|transaction\.xa|xml)\."
)


@dataclass(frozen=True)
class JavaMethod:
    """A method as in its class file. ``code``: address of the bytecodes. ``code_size``: in bytes, 0 if native."""

    class_name: str
    name: str
    file: Optional[str]
    code: int
    code_size: int
    lines: LineTable

    @property
    def qualified(self) -> str:
        """Class and method: ``org.example.Foo.bar``."""
        return f"{self.class_name}.{self.name}"

    @property
    def internal(self) -> bool:
        """Whether it belongs to the JDK or to a class that the JVM generated for a lambda expression."""
        return bool(_JDK.match(self.class_name)) or "$$Lambda" in self.class_name

    def line(self, bci: Optional[int]) -> Optional[int]:
        """The source line of bytecode index ``bci``; None if it is not known."""
        if bci is None or not 0 <= bci < self.code_size:
            return None
        return line_of(self.lines, bci)


class Methods:
    """Reads the Java methods of one JVM. Raises MemoryUnreadable and Nonsense."""

    def __init__(self, reader: Reader, layout: Layout) -> None:
        self._reader = reader
        self._layout = layout.method
        self._biased = layout.biased
        self._known: dict[tuple[int, bytes], JavaMethod] = {}
        self._lines_held = 0

    def at(self, address: int) -> JavaMethod:
        """The method with its Method struct at ``address``."""
        const = self._reader.pointer(address + self._layout.const_method)
        header = self._reader.read(const, self._layout.const_size)
        # A class may be unloaded and its memory used again. Then the header differs from that of the known method.
        key = (const, header)
        found = self._known.get(key)
        if found is None:
            found = self._read(const, header)
            self._keep(key, found)
        return found

    def _keep(self, key: tuple[int, bytes], method: JavaMethod) -> None:
        if len(self._known) >= _CACHED_METHODS or self._lines_held >= _CACHED_LINES:
            self._known.clear()
            self._lines_held = 0
        self._known[key] = method
        self._lines_held += len(method.lines)

    def _read(self, const: int, header: bytes) -> JavaMethod:
        layout = self._layout
        pool = layout.constants.of(header)
        pool_raw = self._reader.read(pool, layout.pool_size)
        holder = layout.pool_holder.of(pool_raw)
        name = self._pool_symbol(pool, pool_raw, layout.name_index.of(header))
        if not name:
            raise Nonsense(_NO_METHOD)
        code_size = layout.code_size.of(header)
        return JavaMethod(
            class_name=class_name(self._symbol(self._reader.pointer(holder + layout.klass_name))),
            name=name,
            file=self._source_file(pool, pool_raw, holder),
            code=const + layout.const_size,
            code_size=code_size,
            lines=self._lines(const, header, code_size),
        )

    def _lines(self, const: int, header: bytes, code_size: int) -> LineTable:
        layout = self._layout
        if not layout.flags.of(header) & layout.line_numbers_flag:
            return ()
        start = const + layout.const_size + code_size
        size = const + 8 * layout.const_words.of(header) - start
        if not 0 < size <= _MAX_CONST_METHOD:
            raise Nonsense(_NO_METHOD)
        return decode_lines(self._reader.read(start, size), code_size, self._biased)

    def _source_file(self, pool: int, pool_raw: bytes, holder: int) -> Optional[str]:
        layout = self._layout
        if layout.pool_source_file is not None:
            index = layout.pool_source_file.of(pool_raw)
        elif layout.klass_source_file is not None:
            member = layout.klass_source_file
            index = self._reader.unsigned(holder + member.offset, member.width)
        else:
            return None
        return self._pool_symbol(pool, pool_raw, index) if index else None

    def _pool_symbol(self, pool: int, pool_raw: bytes, index: int) -> str:
        if not 0 < index < self._layout.pool_length.of(pool_raw):
            raise Nonsense(_NO_METHOD)
        return self._symbol(self._reader.pointer(pool + self._layout.pool_size + 8 * index))

    def _symbol(self, address: int) -> str:
        layout = self._layout
        member = layout.symbol_length
        length = self._reader.unsigned(address + member.offset, member.width) >> layout.symbol_length_shift
        if not 0 < length <= _MAX_SYMBOL:
            raise Nonsense("metaspace has no symbol at the address of a name")
        # Modified UTF-8 (JVMS 4.4.7): sequences that are not UTF-8 become replacement characters.
        return self._reader.read(address + layout.symbol_body, length).decode("utf-8", "replace")


def class_name(internal_name: str) -> str:
    """Turn ``a/b/C`` into ``a.b.C``. Hidden and lambda classes lose their numbers, which differ in each run."""
    return _LAMBDA_NUMBER.sub(r"\1", _HIDDEN.sub("", internal_name).replace("/", "."))
