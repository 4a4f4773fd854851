"""Looks for all old code and method entries in a process's memory: what is met later was there at that time.

Objects that survived three garbage collections are marked so in their flags. This reads memory once, from end to end,
and believes nothing: what it takes down of a place is only compared with what is read there later.
"""

from __future__ import annotations

import re

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.ruby.iseqs import known_by
from tracer.stacks.languages.ruby.layouts import ISEQ_BODY, KNOWN_BYTES, Layout
from tracer.stacks.target.process import Process
from tracer.stacks.target.sweep import pieces

_MOST_FOUND = 100_000
_MORE, _ALIGNED = 24, 8


def sweep(process: Process, layout: Layout) -> dict[int, int]:
    """What is at each place that looks like old code or an old method entry, by address. Never raises."""
    found: dict[int, int] = {}
    pattern = re.compile(re.escape(bytes([layout.old_flags])) + rb"[\x60\x70]")
    for start, data in pieces(process, _MORE):
        for match in pattern.finditer(data, 0, len(data) - _MORE):
            at = match.start()
            if at % _ALIGNED or len(found) >= _MOST_FOUND:
                continue
            pointer = int.from_bytes(data[at + ISEQ_BODY : at + ISEQ_BODY + 8], "little")
            is_code = data[at + 1] & 0xF0 == 0x70
            found[start + at] = hash(pointer) if not is_code else _known_by(process, pointer)
    return found


def _known_by(process: Process, body: int) -> int:
    try:
        return known_by(body, process.read(body, KNOWN_BYTES))
    except MemoryUnreadable:
        return 0
