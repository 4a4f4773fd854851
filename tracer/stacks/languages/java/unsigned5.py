"""Reads HotSpot's UNSIGNED5 integers (src/hotspot/share/code/compressedStream.hpp, utilities/unsigned5.hpp).

At most five bytes, little-endian, base 64. After a byte of 192 or more comes another one. Since JDK 20 each byte is one
higher ("biased"), so that a zero byte can mark the end.
"""

from __future__ import annotations

from tracer.stacks.target.reader import Nonsense

_MORE = 192
_MAX_BYTES = 5


class Unsigned5:
    """Reads numbers from ``data``, from ``position`` on. All methods raise Nonsense at the end of the data."""

    def __init__(self, data: bytes, biased: bool, position: int = 0) -> None:
        self._data = data
        self._bias = 1 if biased else 0
        self._position = position

    def byte(self) -> int:
        """The next byte, not decoded."""
        if self._position >= len(self._data):
            raise Nonsense("a compressed stream does not end")
        self._position += 1
        return self._data[self._position - 1]

    def unsigned(self) -> int:
        """The next unsigned 32-bit number."""
        value = 0
        for index in range(_MAX_BYTES):
            byte = self.byte()
            if byte < self._bias:
                raise Nonsense("a compressed number has a zero byte")
            value += (byte - self._bias) << (6 * index)
            if byte < _MORE:
                break
        return value & 0xFFFFFFFF

    def signed(self) -> int:
        """The next signed 32-bit number (zigzag code)."""
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)
