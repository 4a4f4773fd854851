"""Compiled BPF programs and their maps, independent of the compiler and of the running kernel."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

_INSTRUCTION = struct.Struct("<BBhI")  # struct bpf_insn (uapi/linux/bpf.h): code, registers, offset, immediate
_LOAD_64 = 0x18  # BPF_LD | BPF_IMM | BPF_DW: takes two instructions, the second holds the upper half
_FROM_MAP = 1  # BPF_PSEUDO_MAP_FD as source register
_PARAMETER_HIGH, _PARAMETER_LOW = 0x4105E7AC, 0xE0000000
_CALL = 0x85  # BPF_JMP | BPF_CALL
_OF_KERNEL = 2  # BPF_PSEUDO_KFUNC_CALL as source register
_KERNEL_FUNCTION, _NUMBER_BITS = 0x4C, 24


def parameter(index: int) -> str:
    """A C expression for a u64 parameter. Its value is filled in at load, so one compilation serves all values."""
    return f"CT_PARAMETER({_PARAMETER_HIGH << 32 | _PARAMETER_LOW + index:#x})"


def kernel_function(btf_id: int) -> str:
    """A C expression for the address of a kernel function, to be called through a pointer. The compiler takes the call
    for one of a helper (there is no C for the other kind), and ``unlinked`` makes it right.
    """
    return f"{_KERNEL_FUNCTION << _NUMBER_BITS | btf_id:#x}"


@dataclass(frozen=True)
class MapSpec:
    """The arguments of BPF_MAP_CREATE. ``kind`` is an enum bpf_map_type, sizes are bytes."""

    name: str
    kind: int
    key_size: int
    value_size: int
    entries: int
    flags: int


@dataclass(frozen=True)
class ObjectCode:
    """The instructions of each program, by name. The immediate of a map load is the map's index in ``maps``."""

    maps: tuple[MapSpec, ...]
    programs: Mapping[str, bytes]

    def linked(self, name: str, descriptors: Sequence[int], parameters: Sequence[int]) -> bytes:
        """The instructions of one program with map descriptors and parameters filled in.

        Raises KeyError if there is no such program, IndexError if a parameter is missing.
        """
        code = bytearray(self.programs[name])
        for at in _wide_loads(code):
            opcode, registers, offset, low = _INSTRUCTION.unpack_from(code, at)
            high = _INSTRUCTION.unpack_from(code, at + 8)[3]
            if registers >> 4 == _FROM_MAP:
                _INSTRUCTION.pack_into(code, at, opcode, registers, offset, descriptors[low])
            elif high == _PARAMETER_HIGH and low >= _PARAMETER_LOW:
                value = parameters[low - _PARAMETER_LOW]
                _INSTRUCTION.pack_into(code, at, opcode, registers, offset, value & 0xFFFFFFFF)
                _INSTRUCTION.pack_into(code, at + 8, 0, 0, 0, value >> 32)
        return bytes(code)

    def map_loads(self, name: str) -> list[tuple[int, int]]:
        """The map loads of a program: offset in bytes, index in ``maps``. Raises KeyError if there is no program."""
        code = self.programs[name]
        loads = ((at, *_INSTRUCTION.unpack_from(code, at)) for at in _wide_loads(code))
        return [(at, low) for at, _, registers, _, low in loads if registers >> 4 == _FROM_MAP]

    def to_text(self) -> str:
        """As JSON."""
        programs = {name: code.hex() for name, code in self.programs.items()}
        return json.dumps({"maps": [asdict(spec) for spec in self.maps], "programs": programs})


def from_text(text: str) -> ObjectCode:
    """Read what ``to_text`` wrote. Raises ValueError, KeyError or TypeError for any other text."""
    data = json.loads(text)
    maps = tuple(MapSpec(**spec) for spec in data["maps"])
    return ObjectCode(maps, {name: bytes.fromhex(code) for name, code in dict(data["programs"]).items()})


def unlinked(code: bytes, index_of: Mapping[int, int]) -> bytes:
    """Replace the compiler's map descriptors by map indices, and make its calls of kernel functions right.

    Raises KeyError for an unknown descriptor.
    """
    result = bytearray(code)
    for at in range(0, len(result), 8):
        opcode, registers, offset, number = _INSTRUCTION.unpack_from(result, at)
        if opcode == _CALL and not registers and number >> _NUMBER_BITS == _KERNEL_FUNCTION:
            number &= (1 << _NUMBER_BITS) - 1
            _INSTRUCTION.pack_into(result, at, opcode, _OF_KERNEL << 4, offset, number)
    for at in _wide_loads(result):
        opcode, registers, offset, low = _INSTRUCTION.unpack_from(result, at)
        if registers >> 4 == _FROM_MAP:
            _INSTRUCTION.pack_into(result, at, opcode, registers, offset, index_of[low])
    return bytes(result)


def _wide_loads(code: bytes | bytearray) -> list[int]:
    """Offsets in bytes of the loads that take two instructions. The second instruction is never looked at."""
    found, at = [], 0
    while at < len(code):
        wide = code[at] == _LOAD_64
        if wide:
            found.append(at)
        at += 16 if wide else 8
    return found
