"""A process whose memory holds objects as V8 12.4 lays them out (Node.js 22), made piece by piece."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.node.layout import CodeLayout, Frames, Layout, Types
from tracer.stacks.target.maps import Mapping

HEAP, CODE_SPACE, SIZE = 0x10_0000, 0x40_0000, 0x4_0000
SHARED, SCOPE, SCRIPT, BYTECODES, INTERPRETER, CODE, STREAM = 274, 272, 167, 205, 207, 206, 210
FIXED, BYTES, FUNCTION, MAP, ODDBALL = 174, 212, 2066, 264, 131
ONE_BYTE, TWO_BYTE = 8, 0
FLAGS = 0x4171E2

LAYOUT = Layout(
    version=(12, 4),
    keeps_frame_pointers=True,
    exits=(3, 26, 27),
    frames=Frames(function=-16, context=-8, bytecode_array=-32, bytecode_offset=-40),
    types=Types(
        shared=SHARED,
        scope_info=SCOPE,
        script=SCRIPT,
        bytecode_array=BYTECODES,
        interpreter_data=INTERPRETER,
        code=CODE,
        stream=STREAM,
        wrapper=None,
        fixed_arrays=(FIXED,),
        byte_arrays=(BYTES,),
        functions=range(2066, 2083),
    ),
    shared=32,
    function_data=8,
    name_or_scope_info=16,
    script=32,
    first_vars=3,
    bytecodes=64,
    positions=24,
    code=CodeLayout(40, False, 52, 48, 8, 16, 8, 10, 1, 2, 6, 7),
    bytecode_sizes=bytes([1, 1, 1, 1, 2, 3]) + bytes([1, 1, 1, 1, 3, 5]) + bytes([1, 1, 1, 1, 5, 9]),
)


def small(value: int) -> int:
    """A small integer as a word."""
    return (value << 32) & 0xFFFF_FFFF_FFFF_FFFF


class V8Memory:
    """Two regions: a heap, and code that V8 made. Stands for a process. Tagged pointers name its objects."""

    def __init__(self) -> None:
        self._regions = {HEAP: bytearray(SIZE), CODE_SPACE: bytearray(SIZE)}
        self._next = dict.fromkeys(self._regions, 0x1000)
        self._maps: dict[int, int] = {}
        self.undefined = self.object(ODDBALL, b"")

    def read(self, address: int, size: int) -> bytes:
        for start, region in self._regions.items():
            if start <= address and address + size <= start + SIZE:
                return bytes(region[address - start : address - start + size])
        raise MemoryUnreadable(f"memory at {address:#x} cannot be read")

    def mapping(self, address: int) -> Optional[Mapping]:
        for start, perms in ((HEAP, "rw-p"), (CODE_SPACE, "rwxp")):
            if start <= address < start + SIZE:
                return Mapping(start, start + SIZE, perms, 0, 0, 0, "")
        return None

    def write(self, address: int, data: bytes) -> None:
        start = next(start for start in self._regions if start <= address < start + SIZE)
        self._regions[start][address - start : address - start + len(data)] = data

    def put(self, data: bytes, region: int = HEAP) -> int:
        """Write ``data`` somewhere new; its address."""
        address = region + self._next[region]
        self._next[region] += (len(data) + 63) // 32 * 32
        self.write(address, data)
        return address

    def map_of(self, kind: int) -> int:
        if kind not in self._maps:
            self._maps[kind] = 0
            meta = self.map_of(MAP) if kind != MAP else 0
            self._maps[kind] = self.put(struct.pack("<QIHH", meta, 0, kind, 0)) + 1
        return self._maps[kind]

    def object(self, kind: int, rest: bytes, region: int = HEAP) -> int:
        """An object of the instance type ``kind`` with ``rest`` after its map."""
        return self.put(struct.pack("<Q", self.map_of(kind)) + rest, region) + 1

    def words(self, kind: int, *words: int) -> int:
        return self.object(kind, struct.pack(f"<{len(words)}Q", *words))

    def string(self, text: str) -> int:
        try:
            return self.object(ONE_BYTE, struct.pack("<Ii", 0, len(text)) + text.encode("latin-1"))
        except UnicodeEncodeError:
            units = text.encode("utf-16-le")
            return self.object(TWO_BYTE, struct.pack("<Ii", 0, len(units) // 2) + units)

    def string_of(self, form: int, length: int, first: int, second: int) -> int:
        return self.object(form | ONE_BYTE, struct.pack("<IiQQ", 0, length, first, second))

    def array(self, *items: int) -> int:
        return self.words(FIXED, small(len(items)), *items)

    def byte_array(self, data: bytes) -> int:
        return self.object(BYTES, struct.pack("<Q", small(len(data))) + data)

    def script(self, source: str, name: Optional[str] = "/srv/app.js", line_offset: int = 0) -> int:
        file = self.string(name) if name is not None else self.undefined
        body = (self.string(source), file, small(line_offset), 0, 0, 0, self.undefined, small(7))
        return self.words(SCRIPT, *body)

    def scope(self, name: Optional[str], inferred: Optional[str] = None, variables: int = 0, flags: int = FLAGS) -> int:
        count = variables if variables < 75 else 0
        hashed = [self.undefined] if variables >= 75 else []
        names = [self.string(f"v{n}") for n in range(count)]
        infos = [small(1)] * variables
        own = [self.string(name), small(-1)] if name is not None else []
        more = [self.string(inferred)] if inferred is not None else []
        return self.words(SCOPE, small(flags), 0, small(variables), *hashed, *names, *infos, *own, *more, small(3))

    def bytecode_array(self, code: bytes, positions: Iterable[tuple[int, int]] = ()) -> int:
        table = self.byte_array(table_of(positions))
        head = struct.pack("<6QQ", small(len(code)), 0, table, 0, 0, 0, 0)
        return self.object(BYTECODES, head + code)

    def shared(self, name: int, script: int, data: int = 0) -> int:
        return self.words(SHARED, data or self.undefined, name, self.undefined, script, 0, 0)

    def function(self, shared: int) -> int:
        return self.words(FUNCTION, 0, 0, 0, shared, 0, 0)

    def compiled(self, kind: int, deopt: int, positions: int, size: int = 0x100) -> int:
        """Compiled code: the address of its first instruction."""
        stream = self.put(struct.pack("<QQQQ", self.map_of(STREAM), 0, 0, size) + bytes(size), CODE_SPACE)
        start = stream + 32
        fields = (deopt, positions, self.undefined, stream + 1, start)
        code = self.object(CODE, struct.pack("<5QIIQ", *fields, kind, size, 0))
        self.write(stream + 8, struct.pack("<Q", code))
        return start


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def signed(value: int) -> bytes:
    """The same of a number with a sign (zigzag)."""
    return number(value << 1 if value >= 0 else -value * 2 - 1)


def packed(offset: int, inlined: int = 0) -> int:
    """A source position as V8 packs it: ``offset`` characters into the script, in an inlined function or not."""
    return inlined << 31 | (offset + 1) << 1


def table_of(entries: Iterable[tuple[int, int]]) -> bytes:
    """A table of source positions: offsets into the code with packed positions, ascending."""
    out, code, source = b"", -1, 0
    for at, position in entries:
        out += signed(at - code) + signed(position - source)
        code, source = at, position
    return out
