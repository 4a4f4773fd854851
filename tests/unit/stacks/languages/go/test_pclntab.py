"""Go programs, also linked with ``-s -w``, compared with Go's own addr2line and the known call chain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.present import present
from tests.unit.stacks.stackbox import capture, threads
from tracer.stacks.elf.facts import read_facts
from tracer.stacks.languages.go import table_section
from tracer.stacks.languages.go.pclntab import GoTable, open_table
from tracer.stacks.service import StackService

PROGRAM = """
package main

import ("fmt"; "syscall")

type client struct{ n int }

//go:noinline
func (c *client) fetch() int {
	var b [4]byte
	fmt.Println("ready")
	n, _ := syscall.Read(0, b[:])
	return n + c.n
}

//go:noinline
func poll(c *client, f func(*client) int) int { return f(c) + 1 }

func main() {
	done := make(chan int)
	go func() { done <- poll(&client{2}, func(c *client) int { return c.fetch() }) }()
	<-done
}
"""

pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="no Go compiler on this machine")


# Later runs use the program again, like the live tests: the standard library takes most of the build time.
GO_CACHE = Path(tempfile.gettempdir()) / f"closetrace-workloads-{os.getuid()}" / "go"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build the program once for each set of linker flags."""
    directory = tmp_path_factory.mktemp("go")
    (directory / "main.go").write_text(PROGRAM)
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": str(GO_CACHE)}

    def with_flags(name: str, *flags: str) -> Path:
        path = directory / name
        if not path.exists():
            command = ["go", "build", *flags, "-o", str(path), str(directory / "main.go")]
            subprocess.run(command, check=True, env=environment, cwd=directory)
        return path

    return with_flags


def blocked_thread(pid: int) -> int:
    """Find the thread that is inside read(0, ...)."""
    for _ in range(500):
        for tid in threads(pid):
            with open(f"/proc/{pid}/task/{tid}/syscall") as file:
                if file.read().startswith("0 0x0 "):
                    return tid
        time.sleep(0.01)
    raise TimeoutError("no thread reads")


@pytest.mark.parametrize(
    "flags", [(), ("-ldflags=-w",), ("-ldflags=-s -w",), ("-buildmode=pie",), ("-buildmode=pie", "-ldflags=-s -w")]
)
def test_goroutine_in_a_system_call(build: Callable[..., Path], flags: tuple[str, ...]) -> None:
    """The stack has the goroutine's functions in order, with lines, up to goexit, for all linker flags."""
    program = build("program" + "".join(flags).replace(" ", ""), *flags)
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    service = StackService()
    try:
        present(child.stdout).readline()
        stack = service.unwind(capture(child.pid, blocked_thread(child.pid)))
    finally:
        child.kill()
        child.communicate()
        service.close()
    own = [frame for frame in stack.frames if (frame.function or "").startswith("main.")]
    assert [frame.function for frame in own] == [
        "main.(*client).fetch",
        "main.main.func1.1",
        "main.poll",
        "main.main.func1",
    ]
    assert present(stack.frames[-1].function).startswith("runtime.goexit")
    assert stack.complete
    assert {frame.language for frame in stack.frames} == {"go"}
    assert [frame for frame in stack.frames if not frame.internal] == own
    assert {frame.note for frame in stack.frames} == {None}
    assert [frame.line for frame in own[1:]] == [21, 17, 21]


def test_names_and_lines_as_go_tells_them(build: Callable[..., Path]) -> None:
    """For the functions of the program, name and line are equal to those of ``go tool addr2line``."""
    program = build("program-all")
    lines = subprocess.run(
        ["go", "tool", "nm", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    addresses = [int(line.split()[0], 16) for line in lines if re.search(r" [Tt] (main|fmt|net)[.]", line)]
    places = [address + step for address in addresses for step in (0, 5, 9)]
    asked = "\n".join(f"{place:#x}" for place in places)
    command = ["go", "tool", "addr2line", str(program)]
    said = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout.splitlines()
    descriptor = os.open(program, os.O_RDONLY)
    facts = present(read_facts(descriptor))
    table = present(open_table(descriptor, present(table_section(facts)), facts.sections[b".text"]))
    os.close(descriptor)
    compared = 0
    for place, function, position in zip(places, said[::2], said[1::2]):
        assert present(table.function(place)).name == function
        file, line = table.line(place)
        if file is not None:
            compared += 1
            assert f"{file}:{line}" == position
    assert compared > 100


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_table(build: Callable[..., Path], data: st.DataObject) -> None:
    """A table with overwritten bytes gives answers or None. It raises nothing."""
    program = build("program-all")
    with program.open("rb") as file:
        facts = present(read_facts(file.fileno()))
        file.seek(present(table_section(facts)).offset)
        table = bytearray(file.read(20_000))
    for _ in range(data.draw(st.integers(1, 10))):
        table[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    text = facts.sections[b".text"].address
    try:
        damaged = GoTable(bytes(table), text)
    except ValueError:  # another magic number
        return
    for address in range(text, text + 2000, 64):
        damaged.function(address)
        damaged.line(address)
        damaged.rule(address)
