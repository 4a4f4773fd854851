"""A flight record together with its black boxes, while the kernel side may be writing them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, Optional

from tracer.flight import layout
from tracer.flight.boxes import Box

ATTEMPTS = 64
"""How often a busy socket is read again. A thread that sends without a pause leaves some microseconds each time."""

_Touch = tuple[int, int, int, int, int]
_BOX = 3  # its place in a _Touch
_IDENTITY = struct.Struct("<QQ")  # struct ct_record: sk, birth_ns
_TOUCH = struct.Struct("<Q4xII24xI4xI")  # struct ct_touch: ns, pid, tid, box, seq
_TOUCHES = tuple(getattr(layout.Record, which).offset for which in layout.TOUCHES)
_BOXES = layout.of_each_touch("box")
_LOCKED = layout.Record.transitions_seen.offset
"""From here on a record is written under its lock, or by the one CPU that moves the socket's state. The counters before
it never stand still on a busy socket, and each of them is right by itself.
"""

LookUp = Callable[[], Optional[bytes]]
ReadBox = Callable[[int], Optional[Box]]


class Flight(NamedTuple):
    """A record and those boxes of its touches that could be read, by handle.

    ``ended``: the record has left the kernel, and its boxes are the reader's to give back. Otherwise they belong to the
    record's touches, and a box is replaced by its stack's number under the record's lock.
    """

    data: bytes
    """The record, as ``layout.counted`` makes it."""
    boxes: dict[int, Box]
    ended: bool = False

    @property
    def record(self) -> layout.Record:
        """The record by its fields."""
        return layout.Record.of(self.data)

    @property
    def birth_ns(self) -> int:
        """Of the record: with the socket's address it tells which socket it is."""
        return int(_IDENTITY.unpack_from(self.data)[1])


def _touches(data: bytes) -> list[_Touch]:
    """The touches of a record that have a box."""
    boxes = _BOXES.unpack_from(data)
    if not any(boxes):
        return []
    return [_TOUCH.unpack_from(data, place) for place, box in zip(_TOUCHES, boxes) if box]


def _found(touches: list[_Touch], read_box: ReadBox) -> dict[int, Box]:
    """What lies in their boxes now."""
    return {touch[_BOX]: box for touch in touches if (box := read_box(touch[_BOX])) is not None}


def _own(data: bytes, touches: list[_Touch], found: dict[int, Box]) -> dict[int, Box]:
    """Those of ``found`` that were filled at exactly these touches of exactly this socket."""
    own: dict[int, Box] = {}
    if not found:
        return own
    whose = _IDENTITY.unpack_from(data)
    for ns, pid, tid, handle, seq in touches:
        box = found.get(handle)
        if box is None:
            continue
        header, content = box
        filled = header.ns, content.pid, content.tid, header.touch_seq
        if (header.sk, header.birth_ns) == whose and filled == (ns, pid, tid, seq):
            own[handle] = box
    return own


def consistent(look_up: LookUp, read_box: ReadBox) -> Optional[Flight]:
    """The record that ``look_up`` copies, with its boxes, of one moment; None if the socket is gone.

    User space cannot take the record's lock. So it reads until nothing came between: the record is the same before and
    after the boxes were read, and every box was filled at the touch that names it. A socket that is never at rest is
    given up after :data:`ATTEMPTS`: the newest record, without the boxes that do not belong to it. So a stack may be
    missing, but is never that of another touch.

    This rests on the order in which stores become visible. A writer fills in the touch, then makes the box's version
    odd, then fills the box, then makes the version even (ct_fill_touch, ct_fill_box in bpf/blackbox.h); BoxPool.read
    takes no box whose version is odd or changed meanwhile. On x86-64 other CPUs see the stores of one CPU in order, and
    loads are done in order (Intel SDM volume 3, 8.2.2). CT_STORES_IN_ORDER in tracer/machine/macros.py is where
    a machine without such an order would need a barrier, and this function would need one between its loads.
    """
    before = look_up()
    if before is None:
        return None
    touches = _touches(before)
    for _ in range(ATTEMPTS):
        found = _found(touches, read_box)
        after = look_up()
        if after is None:
            return None
        still = before == after or before[_LOCKED:] == after[_LOCKED:]
        touches = touches if still else _touches(after)
        own = _own(after, touches, found)
        before = after
        if still and len(own) == len(touches):
            break
    return Flight(layout.counted(before), own)


def ended(data: bytes, read_box: ReadBox) -> Flight:
    """A record that has left the kernel with its boxes: nobody writes them any more."""
    touches = _touches(data)
    return Flight(layout.counted(data), _own(data, touches, _found(touches, read_box)), ended=True)
