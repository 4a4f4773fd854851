"""Replays recorded JVMs (from tests/systems/record_jvm.py), unchanged or with wrong bytes."""

from __future__ import annotations

import base64
import functools
import json
import lzma
import random
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor, MemoryUnreadable, Unwinder

RECORDED = Path(__file__).parent / "recorded"
MAJORS = sorted(int(path.name.split(".")[0]) for path in RECORDED.glob("*.json.xz"))


class Recording:
    """A Source with the recorded memory of one JVM."""

    def __init__(self, memory: list[list[Any]]) -> None:
        self._starts = [address for address, _ in memory]
        self._data = [base64.b64decode(text) for _, text in memory]

    def read(self, address: int, size: int) -> bytes:
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            at = address - self._starts[index]
            data = self._data[index][at : at + size]
            if len(data) == size:
                return data
        raise MemoryUnreadable(f"{size} bytes at {address:#x}")


class LyingSource:
    """A Source that sometimes gives wrong bytes. With ``invents`` it gives random bytes for memory without a recording.

    Counts the reads and their bytes. ``rate`` is the share of wrong reads (0 to 1).
    """

    def __init__(self, truth: Recording, seed: int, rate: float, invents: bool) -> None:
        self._truth = truth
        self._random = random.Random(seed)
        self._rate = rate
        self._invents = invents
        self.reads = 0
        self.bytes = 0

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        self.bytes += size
        try:
            data = self._truth.read(address, size)
        except MemoryUnreadable:
            if not self._invents or size > 1 << 24:
                raise
            return self._random.randbytes(size)
        if not size or self._random.random() >= self._rate:
            return data
        changed = bytearray(data)
        kind = self._random.randrange(3)
        if kind == 0:
            changed[self._random.randrange(size)] = self._random.randrange(256)
        elif kind == 1:
            changed[:] = self._random.randbytes(size)
        else:
            changed[:] = bytes([self._random.choice((0, 0x7F, 0xFF))]) * size
        return bytes(changed)


class RecordedStack:
    """A Memory with only the copied stack of one thread."""

    def __init__(self, start: int, data: bytes) -> None:
        self._start = start
        self._data = data

    def read(self, address: int, size: int) -> bytes:
        at = address - self._start
        if at < 0 or at + size > len(self._data):
            raise MemoryUnreadable(f"the copied stack ends before {address:#x}")
        return self._data[at : at + size]

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def stack_word(self, address: int, size: int) -> int:
        return int.from_bytes(self.read(address, size), "little")


@dataclass(frozen=True)
class RecordedThread:
    """``frames`` are (function, file, line) from the JVM's thread dump. File and line are None unless it had both."""

    name: str
    cursor: Cursor
    memory: RecordedStack
    frames: list[tuple[str, Optional[str], Optional[int]]]


@dataclass(frozen=True)
class RecordedJvm:
    libjvm: int
    memory: Recording
    threads: list[RecordedThread]


@functools.cache
def recorded(major: int) -> RecordedJvm:
    raw = json.loads(lzma.decompress((RECORDED / f"{major}.json.xz").read_bytes()))
    return RecordedJvm(raw["libjvm"], Recording(raw["memory"]), [_thread(thread) for thread in raw["threads"]])


def java_frames(unwinder: Unwinder, thread: RecordedThread) -> tuple[list[Frame], Optional[str]]:
    """The frames before the first native one, and the reason if the walk stopped earlier (else None)."""
    frames: list[Frame] = []
    cursor = thread.cursor
    for _ in range(2000):
        step = unwinder.step(cursor, thread.memory)
        if step is None:
            return frames, None
        frames.extend(step.frames)
        if step.caller is None:
            return frames, step.stop or "complete"
        assert step.caller.sp > cursor.sp
        cursor = step.caller
    raise AssertionError("the walk does not end")


def _thread(raw: dict[str, Any]) -> RecordedThread:
    registers: list[Optional[int]] = [None] * 17
    registers[6], registers[7], registers[16] = raw["bp"], raw["sp"], raw["pc"]
    return RecordedThread(
        raw["name"],
        Cursor(tuple(registers), is_return=True),
        RecordedStack(raw["sp"], base64.b64decode(raw["stack"])),
        [tuple(frame) for frame in raw["frames"]],
    )
