"""Protocol buffers' wire format, as far as a profile needs it (protobuf.dev, "Encoding").

The official library would be a large dependency for three kinds of fields, and its generated code fits only some of its
own versions.
"""

from __future__ import annotations

from collections.abc import Iterable

_VARINT, _BYTES = 0, 2
_MASK = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first. A negative number is that of 64 bits in two's complement (int64)."""
    value &= _MASK
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """An integer or a bool; nothing for 0, which readers take for a field that is not there."""
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def nested(field: int, data: bytes) -> bytes:
    """A message, or the bytes of a string."""
    return varint(field << 3 | _BYTES) + varint(len(data)) + data


def packed(field: int, values: Iterable[int]) -> bytes:
    """A repeated integer."""
    return nested(field, b"".join(map(varint, values)))
