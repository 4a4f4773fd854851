"""The mirror of bpf/record.h. A test compares the two with a C compiler."""

from __future__ import annotations

import ctypes as ct
import struct

TRANSITIONS = 8
WAYS, PROBES, SPREAD = 7, 3, 0x9E3779B97F4A7C15  # bpf/record.h, bpf/table.h
HINTS = LANGUAGES_KNOWN = 4096  # bpf/maps.h
SMALL_BOX, DEEP_BOX = 0x80000000, 0x40000000
FIRST_BOX, FIRST_SMALL_BOX, FIRST_DEEP_BOX = 1, SMALL_BOX | 1, DEEP_BOX | 1
"""The handles of the first box of each pool (CT_BOX_INDEX 0). A pool's handles follow one another; 0 is no box."""

MOST_FRAMES, FRAMES_PENDING, INTERPRETER_VALUES = 64, 0xFF, 15
WORDS_BYTES = 16 * MOST_FRAMES
"""What the words of an interpreter's frames take of a box, at the end of its near part."""

TOUCH_PEEK, TOUCH_KERNEL, TOUCH_EXITING, TOUCH_COMPAT, TOUCH_NO_BOX, TOUCH_UNWANTED = 1, 2, 4, 8, 16, 32
TOUCH_SPARED = 64
TR_OWNED, TR_RESET_PEER, TR_RESET_LOCAL, TR_OPEN_FD = 1, 2, 4, 8
R_PASSIVE, R_ACTIVE, R_ADOPTED, R_ACCEPTED, R_OPENED_LATE = 1, 2, 4, 8, 16
R_LOOPS = 32
WHICH = {"opened": 1, "last": 2, "eof": 3, "ending": 4, "sent": 6}
COUNTERS = (
    "created",
    "destroyed",
    "lost_records",
    "lost_boxes",
    "lost_events",
    "lost_contended",
    "lost_returns",
    "boxes_taken",
    "boxes_freed",
    "deep_taken",
    "deep_freed",
)


COUNTED = ("rx_bytes", "tx_bytes", "rx_calls", "tx_calls", "eof_reads")


class Touch(ct.LittleEndianStructure):
    """struct ct_touch"""

    _fields_ = [
        ("ns", ct.c_uint64),
        ("ret", ct.c_int32),
        ("pid", ct.c_uint32),
        ("tid", ct.c_uint32),
        ("syscall", ct.c_int32),
        ("comm", ct.c_char * 16),
        ("op", ct.c_uint8),
        ("cpu", ct.c_uint8),
        ("flags", ct.c_uint16),
        ("box", ct.c_uint32),
        ("stack", ct.c_uint32),
        ("seq", ct.c_uint32),
    ]


class Transition(ct.LittleEndianStructure):
    """struct ct_transition"""

    _fields_ = [
        ("ns", ct.c_uint64),
        ("old_state", ct.c_uint8),
        ("new_state", ct.c_uint8),
        ("flags", ct.c_uint16),
        ("tid", ct.c_uint32),
    ]


class Counts(ct.LittleEndianStructure):
    """struct ct_counts"""

    _fields_ = [
        ("rx_bytes", ct.c_uint64),
        ("tx_bytes", ct.c_uint64),
        ("rx_calls", ct.c_uint32),
        ("tx_calls", ct.c_uint32),
        ("eof_reads", ct.c_uint32),
        ("pad", ct.c_uint32),
    ]


class Record(ct.LittleEndianStructure):
    """struct ct_record"""

    _anonymous_ = ("counts",)
    _fields_ = [
        ("sk", ct.c_uint64),
        ("birth_ns", ct.c_uint64),
        ("busy", ct.c_uint32),
        ("family", ct.c_uint16),
        ("state", ct.c_uint8),
        ("flags", ct.c_uint8),
        ("counts", Counts),
        ("last_rx_ns", ct.c_uint64),
        ("last_tx_ns", ct.c_uint64),
        ("transitions_seen", ct.c_uint32),
        ("reset_flags", ct.c_uint32),
        ("state_ns", ct.c_uint64),
        ("suspect_ns", ct.c_uint64),
        ("suspect_state", ct.c_uint8),
        ("way", ct.c_uint8),
        ("passed", ct.c_uint8),
        ("closed", ct.c_uint8),
        ("bucket", ct.c_uint32),
        ("netns", ct.c_uint32),
        ("lport", ct.c_uint16),
        ("rport", ct.c_uint16),
        ("cookie", ct.c_uint64),
        ("gone", ct.c_uint32),
        ("to_line", ct.c_uint32),
        ("last", Touch),
        ("inode", ct.c_uint64),
        ("laddr", ct.c_uint8 * 16),
        ("raddr", ct.c_uint8 * 16),
        ("missed", ct.c_uint32),
        ("unread_at_fin", ct.c_uint32),
        ("fin_ns", ct.c_uint64),
        ("reset_ns", ct.c_uint64),
        ("opened", Touch),
        ("eof", Touch),
        ("ending", Touch),
        ("sent", Touch),
        ("contended", Counts),
        ("to_last_lines", ct.c_uint64),
        ("transitions", Transition * TRANSITIONS),
    ]

    @classmethod
    def of(cls, data: bytes) -> Record:
        """From the bytes of a map or ring, or of :func:`counted`."""
        return cls.from_buffer_copy(data)


_BESIDE = Record.contended
_BESIDE_END = _BESIDE.offset + _BESIDE.size
_NOTHING_BESIDE = bytes(_BESIDE.size)


def counted(data: bytes) -> bytes:
    """The bytes of a record, its ``counts`` with what those counted who found it busy: ``contended``."""
    if data[_BESIDE.offset : _BESIDE_END] == _NOTHING_BESIDE:
        return data
    record = Record.from_buffer_copy(data)
    for name in COUNTED:
        setattr(record.counts, name, getattr(record.counts, name) + getattr(record.contended, name))
    return bytes(record)


TOUCHES = tuple(sorted(WHICH, key=lambda which: int(getattr(Record, which).offset)))
"""The touches of a record, in the order of their places."""


def of_each_touch(field: str) -> struct.Struct:
    """Reads one field (an unsigned number) of all touches of a record at once, in the order of ``TOUCHES``."""
    place, parts, end = getattr(Touch, field), ["<"], 0
    for which in TOUCHES:
        at = getattr(Record, which).offset + place.offset
        parts.append(f"{at - end}x{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[place.size] }")
        end = at + place.size
    return struct.Struct("".join(parts))


class Bucket(ct.LittleEndianStructure):
    """struct ct_bucket"""

    _fields_ = [
        ("keys", ct.c_uint64 * WAYS),
        ("passed", ct.c_uint32),
        ("busy", ct.c_uint32),
    ]


class Marks(ct.LittleEndianStructure):
    """struct ct_marks"""

    _fields_ = [("ways", ct.c_uint8 * (WAYS + 1))]


class BoxHead(ct.LittleEndianStructure):
    """struct ct_box_head: the stack follows"""

    _fields_ = [
        ("seq", ct.c_uint32),
        ("length", ct.c_uint32),
        ("sk", ct.c_uint64),
        ("birth_ns", ct.c_uint64),
        ("ns", ct.c_uint64),
        ("pid", ct.c_uint32),
        ("tid", ct.c_uint32),
        ("touch_seq", ct.c_uint32),
        ("which", ct.c_uint8),
        ("language", ct.c_uint8),
        ("frames", ct.c_uint8),
        ("frames_end", ct.c_uint8),
        ("missing", ct.c_uint32),
        ("gap", ct.c_uint32),
        ("registers", ct.c_uint64 * 21),
    ]


class Interpreter(ct.LittleEndianStructure):
    """struct ct_interpreter"""

    _fields_ = [
        ("language", ct.c_uint8),
        ("marks", ct.c_uint8),
        ("version", ct.c_uint16),
        ("sure", ct.c_uint32),
        ("values", ct.c_uint64 * INTERPRETER_VALUES),
    ]


class Event(ct.LittleEndianStructure):
    """struct ct_event"""

    _fields_ = [
        ("ns", ct.c_uint64),
        ("in_old_ns", ct.c_uint64),
        ("sk", ct.c_uint64),
        ("cookie", ct.c_uint64),
        ("laddr", ct.c_uint8 * 16),
        ("raddr", ct.c_uint8 * 16),
        ("netns", ct.c_uint32),
        ("lport", ct.c_uint16),
        ("rport", ct.c_uint16),
        ("family", ct.c_uint16),
        ("old_state", ct.c_uint8),
        ("new_state", ct.c_uint8),
        ("flags", ct.c_uint32),
        ("pid", ct.c_uint32),
        ("tid", ct.c_uint32),
        ("comm", ct.c_char * 16),
        ("box", ct.c_uint32),
        ("pad", ct.c_uint32),
    ]
