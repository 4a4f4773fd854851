"""HotSpot's variable-length integers (src/hotspot/share/code/compressedStream.hpp, utilities/unsigned5.hpp).

Little-endian base 64 in at most five bytes; a byte of 192 or more is followed by another. Since JDK 20 each byte
is one higher ("biased"), which keeps zero free as an end mark.
"""

from __future__ import annotations

from tracer.stacks.languages.java.reader import Nonsense

_MORE = 192
_MAX_BYTES = 5


class Unsigned5:
    """Reads numbers from ``data`` starting at ``position``. Raises Nonsense past the end."""

    def __init__(self, data: bytes, biased: bool, position: int = 0) -> None:
        self._data = data
        self._bias = 1 if biased else 0
        self._position = position

    def byte(self) -> int:
        """The next byte as it is."""
        if self._position >= len(self._data):
            raise Nonsense("compressed stream runs past its end")
        self._position += 1
        return self._data[self._position - 1]

    def unsigned(self) -> int:
        """The next number, 32 bits."""
        value = 0
        for index in range(_MAX_BYTES):
            byte = self.byte()
            if byte < self._bias:
                raise Nonsense("zero byte in a compressed number")
            value += (byte - self._bias) << (6 * index)
            if byte < _MORE:
                break
        return value & 0xFFFFFFFF

    def signed(self) -> int:
        """The next number, zigzag-coded."""
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)
