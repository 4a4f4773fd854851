"""Java stacks that are read late: after code was compiled again and freed, and after the JVM has exited."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.systems.capture import black_box
from tests.systems.jvm import Jvm, compile_workload, find_jdk, running
from tests.systems.silent import Tap, serving
from tests.systems.test_hotspot_stacks import MAJORS, application, java_frames
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.service import StackService

SCENARIOS = ["socket", "lambda", "recursion", "exception", "interface"]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("classes")
    compile_workload(target)
    return target


@pytest.mark.timeout(300)
@pytest.mark.parametrize("major", MAJORS)
def test_a_stack_read_after_its_code_was_replaced_is_true_or_cut(major: int, classes: Path) -> None:
    """Boxes from all tiers of a warm-up are read at its end. They give the same stack, or less and a reason."""
    tap = Tap()
    with serving(tap) as port, running(find_jdk(major), classes, [], [str(port)] * 3 + SCENARIOS) as jvm:
        jvm.until("STARTED")
        jvm.settle()
        taken: list[tuple[BlackBox, Stack]] = []
        for count in (1, 300, 700, 3000, 10_000, 50_000):
            tap.pour(count)
            jvm.settle()
            taken += take(jvm)
        for _ in range(5):
            jvm.say("collect")
            jvm.until("COLLECTED")
        late = StackService()
        again = [late.unwind(box) for box, _ in taken]
        late.close()
        tap.close()
    cut = 0
    for (_, at_once), later in zip(taken, again):
        assert at_once.complete
        if later != at_once:
            cut += 1
            assert not later.complete
            assert later.note is not None
            assert later.note.startswith("compiled code changed since the touch")
            assert later.frames == at_once.frames[: len(later.frames)]
    assert len({stack.frames for _, stack in taken}) > 2 * len(SCENARIOS)  # the tiers were different
    print(f"\nJDK {major}: {len(taken)} boxes, {cut} cut because their code was gone")


def take(jvm: Jvm) -> list[tuple[BlackBox, Stack]]:
    """A box of each scenario's thread with its stack, read at once and compared with what the thread recorded."""
    service = StackService()
    dump, traces = jvm.thread_dump(), jvm.traces()
    while not traces.keys() >= set(SCENARIOS):  # a thread may not have come to its first read yet
        traces = jvm.traces()
    jvm.settle()
    taken = []
    for name in SCENARIOS:
        box = black_box(jvm.pid, dump[name][0])
        stack = service.unwind(box)
        assert application(java_frames(stack)) == application(traces[name])
        taken.append((box, stack))
    service.close()
    return taken


@pytest.mark.parametrize("major", MAJORS)
def test_a_jvm_that_is_gone_costs_a_note(major: int, classes: Path) -> None:
    """The JVM is killed between touch and reading. There is no exception: the stack has what can still be read."""
    tap = Tap()
    with serving(tap) as port, running(find_jdk(major), classes, [], [str(port)] * 3 + SCENARIOS) as jvm:
        jvm.until("STARTED")
        jvm.settle()
        taken = take(jvm)
        known = StackService()
        known.unwind(taken[0][0])
        os.kill(jvm.pid, signal.SIGKILL)
        time.sleep(0.5)
        for service in (known, StackService()):
            for box, at_once in taken:
                later = service.unwind(box)
                if service is known and later.complete:  # recognised: unwound while the JVM was alive
                    assert later.frames == at_once.frames
                    continue
                assert not later.complete
                assert later.note
                assert len(later.frames) < len(at_once.frames)
            service.close()
        tap.close()
