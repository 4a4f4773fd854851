"""Records what the unwinder reads from a live JVM. Unit tests replay it on machines without Java.

Usage: python -m tests.systems.record_jvm MAJOR   (writes tests/unit/stacks/languages/java/recorded/MAJOR.json.xz)

A recording has all memory that was read. For some threads it has the registers at the first Java frame, the copied
stack, and the Java frames from the JVM's own thread dump.
"""

from __future__ import annotations

import base64
import json
import lzma
import sys
import tempfile
from pathlib import Path
from typing import Optional

from tests.systems.capture import black_box
from tests.systems.jvm import Jvm, blocked, compile_workload, find_jdk
from tracer.model.frame import BlackBox
from tracer.stacks.chain import Cursor, Memory, Step
from tracer.stacks.languages.java.jvm import open_jvm
from tracer.stacks.languages.java.unwinder import HotSpotUnwinder
from tracer.stacks.links.native import NativeUnwinder
from tracer.stacks.naming import Naming
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.target.modules import ImageCache, Modules
from tracer.stacks.target.process import Process
from tracer.stacks.walk import walk

SCENARIOS = ["socket", "lambda", "exception", "deopt", "reflection", "interface"]
TARGET = Path(__file__).parents[1] / "unit" / "stacks" / "languages" / "java" / "recorded"


class Recorder:
    """A Source that records all reads."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.bytes: dict[int, int] = {}

    def read(self, address: int, size: int) -> bytes:
        data = self._process.read(address, size)
        self.bytes.update(zip(range(address, address + size), data))
        return data

    def intervals(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytearray]] = []
        for address in sorted(self.bytes):
            if not found or address != found[-1][0] + len(found[-1][1]):
                found.append((address, bytearray()))
            found[-1][1].append(self.bytes[address])
        return [(address, bytes(data)) for address, data in found]


class FirstAndLast:
    """A link of the chain that records the cursors at the start and the end of Java frames."""

    def __init__(self, inner: HotSpotUnwinder) -> None:
        self._inner = inner
        self.first: Optional[Cursor] = None
        self.top = 0

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        step = self._inner.step(cursor, memory)
        if step is not None:
            self.first = self.first or cursor
            self.top = step.caller.sp if step.caller else 0
        return step


def record(jvm: Jvm) -> dict[str, object]:
    dump = jvm.thread_dump()
    process = Process.open(jvm.pid)
    recorder = Recorder(process)
    libjvm = next(mapping for mapping in process.mappings if mapping.path.endswith("/libjvm.so"))
    opened = open_jvm(recorder, libjvm.start)
    assert opened is not None
    threads = []
    for name in [*SCENARIOS, "main"]:
        tid, frames = dump[name]
        box = black_box(jvm.pid, tid)
        java = FirstAndLast(HotSpotUnwinder(opened, bool))
        walk(box, BoxMemory(box, process), [java, NativeUnwinder(Modules(process, ImageCache()), Naming(()))])
        assert java.first is not None
        threads.append(_thread(name, box, java.first, java.top, [(f.function, f.file, f.line) for f in frames]))
    return {
        "libjvm": libjvm.start,
        "memory": [[address, _text(data)] for address, data in recorder.intervals()],
        "threads": threads,
    }


def _thread(name: str, box: BlackBox, first: Cursor, top: int, frames: list[object]) -> dict[str, object]:
    start = first.sp - box.sp
    return {
        "name": name,
        "pc": first.pc,
        "sp": first.sp,
        "bp": first.bp,
        "stack": _text(box.stack[start : top - box.sp]),
        "frames": frames,
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def main(major: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        scratch.chmod(0o755)
        compile_workload(scratch)
        with blocked(find_jdk(major), [], scratch, scratch, SCENARIOS) as jvm:
            recording = record(jvm)
    TARGET.mkdir(exist_ok=True)
    target = TARGET / f"{major}.json.xz"
    target.write_bytes(lzma.compress(json.dumps(recording).encode("ascii"), preset=9))
    print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]))
