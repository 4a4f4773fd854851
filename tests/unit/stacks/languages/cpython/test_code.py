"""Code objects of this test's own Python, read from its memory, compared with what it says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from tracer.stacks.languages.cpython.ages import Ages
from tracer.stacks.languages.cpython.code import CodeReader, Types
from tracer.stacks.languages.cpython.codelayout import CODE_LAYOUTS, CodeLayout
from tracer.stacks.languages.cpython.process import find
from tracer.stacks.languages.cpython.sweep import sweep
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """This test's own process."""
    opened = Process.open(os.getpid())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def layout() -> CodeLayout:
    return CODE_LAYOUTS[sys.version_info.minor]


@pytest.fixture(scope="module")
def reader(process: Process, layout: CodeLayout) -> CodeReader:
    return CodeReader(process, types(process), layout)


def types(process: Process) -> Types:
    found = its_types(process)
    assert found == Types(id(CodeType), id(str), id(bytes))
    return found


def its_types(process: Process) -> Types:
    found = find(process)
    assert found is not None
    assert found.minor == sys.version_info.minor
    code, text, data = (found.symbol(f"Py{name}_Type") for name in ("Code", "Unicode", "Bytes"))
    assert code is not None
    assert text is not None
    assert data is not None
    return Types(code, text, data)


class Größe:  # noqa: PLC2401
    """Its methods' names are no ASCII."""

    def größer(self) -> int:  # noqa: PLC2401
        return 1

    def 大(self) -> int:  # noqa: PLC2401
        return 2


@pytest.mark.parametrize("code", [json.dumps.__code__, Größe.größer.__code__, Größe.大.__code__])
def test_a_code_object_is_read_as_python_tells_it(code: CodeType, reader: CodeReader) -> None:
    """Name, file, first line, table and length."""
    read = reader.read(id(code))
    assert read.name == getattr(code, "co_qualname", code.co_name)
    assert (read.file, read.first_line) == (code.co_filename, code.co_firstlineno)
    assert read.table == (code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab)
    assert read.size == len(code.co_code)
    assert read.holds(0)
    assert not read.holds(len(code.co_code))


@pytest.mark.parametrize("thing", ["a str", b"bytes", 12345, object(), [1], json.dumps])
def test_what_is_no_code_object_is_not_taken_for_one(thing: object, reader: CodeReader) -> None:
    """By its type."""
    with pytest.raises(Nonsense):
        reader.read(id(thing))


def test_a_freed_code_object_is_not_read(reader: CodeReader) -> None:
    """Its type may still be there; its reference count is not. Another one at the same place has another name."""
    for number in range(200):
        code = compile(f"def freed_{number}(): pass", "freed.py", "exec")
        address, name = id(code.co_consts[0]), f"freed_{number}"
        assert reader.read(address).name == name
        del code
        try:
            assert reader.read(address).name != name
        except Nonsense:
            continue


SWEPT = """
import json
class Größe:
    def größer(self): return 1
print(*(id(one.__code__) for one in (json.dumps, json.loads, Größe.größer)), flush=True)
input()
late = compile("def late(): pass", "late.py", "exec").co_consts[0]
print(id(late), flush=True)
input()
"""


def test_a_sweep_finds_all_functions_and_what_is_read_later_is_known_by_it(tmp_path: Path, layout: CodeLayout) -> None:
    """So a function that was there is known to have been there; one that comes later is not.

    In a process of its own: a sweep reads only so much memory, and that of all tests together is more.
    """
    path, pipe = tmp_path / "swept.py", subprocess.PIPE
    path.write_text(SWEPT, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(path)], stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        functions = [int(word) for word in program.stdout.readline().split()]
        process = Process.open(program.pid)
        found = sweep(process, its_types(process).code, layout)
        ages, reader = Ages(), CodeReader(process, its_types(process), layout)
        ages.sweep(1000, found)
        assert [ages.see(reader.read(one), 5000).since_ns for one in functions] == [1000, 1000, 1000]
        print(file=program.stdin, flush=True)
        late = int(program.stdout.readline())
        if late not in found:
            assert ages.see(reader.read(late), 5000).since_ns == 5000
        process.close()
        program.kill()
