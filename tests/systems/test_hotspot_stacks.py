"""Java stacks, compared with Java's own for the same threads: Throwable.getStackTrace() and the thread dump.

``CLOSETRACE_JDKS`` names the JDKs to test ("8 11 17 21 25"). The default is 17 and 25.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest

from tests.systems.capture import black_box
from tests.systems.jvm import JavaFrame, Jdk, Jvm, blocked, compile_workload, find_jdk, running
from tests.systems.silent import bytes_then_silence, serving
from tracer.model.frame import Frame, Stack
from tracer.stacks.languages.java.codecache import CodeBlob
from tracer.stacks.languages.java.nmethod import Nmethods
from tracer.stacks.service import StackService

MAJORS = [int(major) for major in os.environ.get("CLOSETRACE_JDKS", "17 25").split()]
SCENARIOS = (
    "socket channel selector tls urlconnection lambda recursion exception deopt reflection interface synchronized"
).split()


@dataclass(frozen=True)
class Mode:
    """JVM options, and the JDKs that have them."""

    name: str
    options: tuple[str, ...] = ()
    first: int = 8
    last: int = 99


MODES = (
    Mode("default"),
    Mode("int", ("-Xint",)),
    Mode("c1", ("-XX:TieredStopAtLevel=1",)),
    Mode("c2", ("-XX:-TieredCompilation",)),
    Mode("noinline", ("-XX:-Inline",)),
    Mode("parallel", ("-XX:+UseParallelGC",)),
    Mode("serial", ("-XX:+UseSerialGC",)),
    Mode("zgc", ("-XX:+UnlockExperimentalVMOptions", "-XX:+UseZGC"), first=11),
    Mode("shenandoah", ("-XX:+UseShenandoahGC",), first=17),
    Mode("onecache", ("-XX:-SegmentedCodeCache",), first=11),
    Mode("wideclass", ("-XX:-UseCompressedClassPointers",)),
    Mode("oldsocket", ("-Djdk.net.usePlainSocketImpl=true",), first=17, last=17),
)
CASES = [
    pytest.param(major, mode, id=f"{major}-{mode.name}")
    for major in MAJORS
    for mode in MODES
    if mode.first <= major <= mode.last
]


@dataclass(frozen=True)
class Compared:
    """One thread: our stack, the thread dump's, and the one that it recorded itself (None if it did not)."""

    thread: str
    ours: Stack
    dump: list[JavaFrame]
    trace: Optional[list[JavaFrame]]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("classes")
    compile_workload(target)
    return target


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Counter[tuple[str, str]]]:
    """The numbers of compared and equal stacks of each case, printed at the end."""
    counts: Counter[tuple[str, str]] = Counter()
    yield counts
    lines = [f"{'JDK and mode':<16} {'stacks':>7} {'equal':>7} {'frames':>7} {'inlined':>8}"]
    for case in sorted({case for case, _ in counts}):
        row = (counts[case, column] for column in ("stacks", "equal", "frames", "inlined"))
        lines.append("{:<16} {:>7} {:>7} {:>7} {:>8}".format(case, *row))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *lines, sep="\n")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("major", "mode"), CASES)
def test_java_frames_are_those_that_java_tells(
    major: int, mode: Mode, classes: Path, tmp_path: Path, table: Counter[tuple[str, str]]
) -> None:
    """Name and line of each Java frame are equal to the thread dump. Application frames are equal to Throwable's."""
    scenarios = [*SCENARIOS, *(["httpclient"] if major >= 11 else [])]
    compared = compare(find_jdk(major), mode, classes, tmp_path, scenarios)
    case = f"{major}-{mode.name}"
    wrong = []
    for one in compared:
        frames = java_frames(one.ours)
        equal = one.ours.complete and frames == one.dump
        if one.trace is not None:
            equal = equal and application(frames) == application(one.trace) != []
            equal = equal and first_application_frame(one.ours) == application(one.trace)[0].function
        table[case, "stacks"] += 1
        table[case, "equal"] += equal
        table[case, "frames"] += len(frames)
        table[case, "inlined"] += sum(frame.inlined for frame in one.ours.frames if is_java(frame))
        if not equal:
            wrong.append(explain(one))
    assert not wrong, "\n".join(wrong)
    assert {one.thread for one in compared} >= set(scenarios)
    inlined = {frame.function for one in compared for frame in one.ours.frames if frame.inlined and is_java(frame)}
    if mode.name == "default":  # the JVM decides which ones, in each run again
        assert inlined & {"Blocked.leaf", "Blocked.middle", "Blocked.outer", "Blocked.down"}
    if mode.name == "int":
        assert not inlined


@pytest.mark.parametrize("major", MAJORS)
def test_a_deoptimised_frame_is_read_by_its_original_return_address(
    major: int, classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load of a class changes the return address of a blocked compiled frame. Names and lines stay the same."""
    patched: list[int] = []
    original = Nmethods.original_pc_slot

    def spy(self: Nmethods, blob: CodeBlob, pc: int) -> Optional[int]:
        slot = original(self, blob, pc)
        if slot is not None:
            patched.append(pc)
        return slot

    monkeypatch.setattr(Nmethods, "original_pc_slot", spy)
    compared = compare(find_jdk(major), Mode("default"), classes, tmp_path, ["deopt"])
    one = next(one for one in compared if one.thread == "deopt")
    assert patched
    assert java_frames(one.ours) == one.dump
    assert "Blocked.listen" in [frame.function for frame in one.ours.frames]


@pytest.mark.parametrize(
    "options", [(), ("-Xcomp", "-XX:CompileCommand=compileonly,modern.*::*")], ids=["default", "comp"]
)
@pytest.mark.parametrize("major", [major for major in MAJORS if major >= 21])
def test_a_virtual_thread_that_never_parked_is_told_to_its_first_frame(
    major: int, options: tuple[str, ...], classes: Path
) -> None:
    """All its frames are on the carrier's stack. They are equal to Throwable's, without the carrier's own frames."""
    stack, trace = virtual_thread(find_jdk(major), options, classes, "vthread-whole")
    assert stack.complete
    assert application(java_frames(stack)) == application(trace)
    assert [frame.function for frame in trace][-1] == "java.lang.VirtualThread.run"
    assert stack.frames[-1].note == "first frame of the virtual thread"
    assert not [frame for frame in stack.frames if "ForkJoin" in (frame.function or "")]


@pytest.mark.parametrize(
    "options", [(), ("-Xcomp", "-XX:CompileCommand=compileonly,modern.*::*")], ids=["default", "comp"]
)
@pytest.mark.parametrize("major", [major for major in MAJORS if major >= 21])
def test_a_virtual_thread_that_parked_ends_with_a_note(major: int, options: tuple[str, ...], classes: Path) -> None:
    """Callers that are still in the heap are missing. The stack says so and has no frame of the carrier."""
    stack, trace = virtual_thread(find_jdk(major), options, classes, "vthread-parked")
    ours, whole = application(java_frames(stack)), application(trace)
    assert not stack.complete
    assert stack.note == "virtual thread: callers that are in the Java heap cannot be read"
    assert 2 <= len(ours) < len(whole)
    assert ours == whole[: len(ours)]
    assert not [frame for frame in stack.frames if "ForkJoin" in (frame.function or "")]


def virtual_thread(jdk: Jdk, options: tuple[str, ...], classes: Path, scenario: str) -> tuple[Stack, list[JavaFrame]]:
    """The stack of the carrier that is blocked inside a virtual thread, and the stack that this thread recorded."""
    with serving(bytes_then_silence(0)) as port:
        arguments = [str(port)] * 3 + [scenario]
        with running(jdk, classes, [*options, f"-Dsilent.port={port}"], arguments) as jvm:
            jvm.until("STARTED")
            jvm.settle()
            service = StackService()
            carriers = [tid for name, (tid, _) in jvm.thread_dump().items() if name.startswith("ForkJoinPool-")]
            stacks = [service.unwind(black_box(jvm.pid, tid)) for tid in carriers]
            trace = jvm.traces()[scenario]
            service.close()
    mounted = [stack for stack in stacks if any("Virtual$Pinned" in (frame.function or "") for frame in stack.frames)]
    assert len(mounted) == 1
    return mounted[0], trace


def compare(jdk: Jdk, mode: Mode, classes: Path, scratch: Path, scenarios: list[str]) -> list[Compared]:
    """Run the workload until its threads block. Returns each Java thread with our stack and Java's."""
    with blocked(jdk, mode.options, classes, scratch, scenarios) as jvm:
        return compare_threads(jvm)


def compare_threads(jvm: Jvm) -> list[Compared]:
    dump, traces = jvm.thread_dump(), jvm.traces()
    jvm.settle()
    service = StackService()
    try:
        compared = []
        for name, (tid, frames) in dump.items():
            if frames and os.path.exists(f"/proc/{jvm.pid}/task/{tid}"):  # the JDK's helper threads come and go
                compared.append(Compared(name, service.unwind(black_box(jvm.pid, tid)), frames, traces.get(name)))
        return compared
    finally:
        service.close()


def java_frames(stack: Stack) -> list[JavaFrame]:
    return [as_java(frame) for frame in stack.frames if is_java(frame)]


def as_java(frame: Frame) -> JavaFrame:
    # Without a line Java prints no file: "Native Method", "Unknown Source".
    return JavaFrame(frame.function or "?", frame.file if frame.line else None, frame.line)


def application(frames: list[JavaFrame]) -> list[JavaFrame]:
    return [frame for frame in frames if re.match(r"(Blocked|modern\.)", frame.function) and "$$" not in frame.function]


def is_java(frame: Frame) -> bool:
    return frame.language == "java"


def first_application_frame(stack: Stack) -> Optional[str]:
    """The first frame in a report that folds the frames of the JVM and the JDK, also native ones."""
    return next((frame.function for frame in stack.frames if not frame.internal), None)


def explain(one: Compared) -> str:
    lines = [f"thread {one.thread}: complete={one.ours.complete} note={one.ours.note}"]
    lines += [f"  ours  {frame}" for frame in java_frames(one.ours)]
    lines += [f"  dump  {frame}" for frame in one.dump]
    lines += [f"  trace {frame}" for frame in one.trace or []]
    return "\n".join(lines)
