"""Each file is read by a worker: the stack comes, in time, and the worker takes no more than it may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hostile.builders import BUILDS, NAMELESS, make
from tests.unit.stacks.links.test_native import HEAD
from tests.unit.stacks.stackbox import capture, compile_c, names, running
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.service import StackService

pytestmark = pytest.mark.root

# As the libraries call it.
PROGRAM = (
    HEAD
    + """
CALLED static int last(int fd) { return block() + fd; }
int main(int argc, char **argv) {
    int (*leak)(int (*)(int), int) = dlsym(dlopen(argv[argc - 1], RTLD_NOW), "leak");
    return leak(last, argc) + 1;
}
"""
)
CPU_S = 7.0
"""Three parts of a file may each take up to the budget of a request."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(tmp_path_factory.mktemp("program"), "program", PROGRAM, "-ldl")


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.mark.parametrize("name", BUILDS)
def test_the_stack_comes(keeper: Keeper, program: Path, tmp_path: Path, name: str) -> None:
    """With the function, and once more without harm: what did any is not read again."""
    path = make(name, tmp_path)
    service = StackService(walker=keeper)
    with running(program, path) as child:
        box = capture(child.pid)
        stack = service.unwind(box)
        first_cpu_s, harms = keeper.cpu_s(), list(keeper.harms)
        begun = time.monotonic()
        for tid in range(3):
            service.unwind(replace(box, tid=tid, stack=box.stack[:-8]))
        again_s = time.monotonic() - begun
    assert keeper.unserved == 0
    assert names(stack)[0] == "read"
    if name not in NAMELESS:
        assert "leak" in names(stack)
    assert first_cpu_s < CPU_S
    assert keeper.harms == harms
    assert again_s < 2.0
    service.close()
