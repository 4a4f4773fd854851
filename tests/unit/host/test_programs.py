"""What a process is called, and who is whose parent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from tracer.host.kinship import relation
from tracer.host.processes import descendants, parent_of
from tracer.host.programs import is_called, names_of, program_of, script_of
from tracer.model.connection import Relation


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (("python3", "/srv/app.py", "-c", "x"), "app.py"),
        (("/usr/bin/python3.11", "-u", "-X", "dev", "app.py"), "app.py"),
        (("python3", "-m", "http.server", "80"), "http.server"),
        (("python3", "-c", "import x"), None),
        (("python3",), None),
        (("node", "--require", "./trace.js", "server.js"), "server.js"),
        (("nodejs", "--max-old-space-size=64", "server.js"), "server.js"),
        (("perl", "-I", "lib", "server.pl", "8080"), "server.pl"),
        (("perl", "-e", "sleep 1"), None),
        (("-bash",), None),
        (("sh", "-c", "exec app.py"), None),
        (("sh", "start.sh"), "start.sh"),
        (("nginx", "-c", "/etc/nginx.conf"), None),
        (("pythonic", "app.py"), None),
        ((), None),
    ],
)
def test_script_of_a_command_line(words: Sequence[str], script: Optional[str]) -> None:
    """The first word that is neither an option nor an option's value, if the program runs scripts."""
    assert script_of(words) == script


def test_names_of_a_running_script(tmp_path: Path) -> None:
    """The script is the program's name, and the interpreter's names are known, too, whatever its thread is called."""
    script = tmp_path / "a-rather-long-name.py"
    script.write_text(
        "import sys\nopen('/proc/self/comm', 'w').write('MainThread')\nprint(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert program_of(process.pid) == "a-rather-long-name.py"
        assert {os.path.basename(os.path.realpath(sys.executable)), "MainThread"} <= set(names_of(process.pid))
        assert is_called(process.pid, "a-rather-long-n")
        assert is_called(process.pid, "a-rather-long-name.py")
        assert is_called(process.pid, "MainThread")
        assert not is_called(process.pid, "a-rather-long")
        process.kill()


def test_a_name_that_is_no_utf8_is_told_as_text(tmp_path: Path) -> None:
    """It is found by its bytes. What is told of it can be text in every format: no lone surrogate."""
    script = os.fsencode(tmp_path) + b"/s\xffx.py"
    Path(os.fsdecode(script)).write_text("print(flush=True)\ninput()\n")
    with subprocess.Popen([sys.executable, script], stdin=-1, stdout=-1) as program:
        assert program.stdout is not None
        program.stdout.readline()
        told, found = program_of(program.pid), is_called(program.pid, os.fsdecode(b"s\xffx.py"))
        program.communicate(b"\n")
    assert (told, found) == ("s\ufffdx.py", True)


def test_a_program_that_was_deleted_keeps_its_name(tmp_path: Path) -> None:
    """An update replaces the file under a running program."""
    program = shutil.copy("/bin/sleep", tmp_path / "sleeper")
    with subprocess.Popen([program, "60"]) as process:
        os.unlink(program)
        assert program_of(process.pid) == "sleeper"
        process.kill()
    assert names_of(2**22 + 1) == ()
    assert program_of(2**22 + 1) == "?"


def test_descendants_are_found_whoever_made_them() -> None:
    """A child and its child; not the process itself, nor its parent."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        sleeper = int(shell.stdout.readline())
        assert {shell.pid, sleeper} <= descendants([os.getpid()])
        assert descendants([shell.pid]) == {sleeper}
        assert (parent_of(sleeper), parent_of(2**22 + 1)) == (shell.pid, None)
        os.kill(sleeper, 9)


@pytest.mark.parametrize(
    ("owner", "holder", "expected"),
    [
        (5, 5, Relation.OWNER),
        (5, 4, Relation.PARENT),
        (5, 3, Relation.PARENT),
        (3, 5, Relation.CHILD),
        (5, 6, Relation.OTHER),
        (5, 1, Relation.OTHER),
        (9, 5, Relation.OTHER),
    ],
)
def test_relation_of_a_holder(owner: int, holder: int, expected: Relation) -> None:
    """Along the tree 1 > 3 > 4 > 5 and 4 > 6; of 9 nothing is known. PID 1 adopts everybody."""
    tree = {3: 1, 4: 3, 5: 4, 6: 4}
    assert relation(owner, holder, tree.get) is expected


def test_a_loop_in_the_tree_ends() -> None:
    """Numbers are used again, so what is known of two times may contradict itself."""
    assert relation(5, 9, {5: 6, 6: 5, 9: 5}.get) is Relation.CHILD
    assert relation(5, 8, {5: 6, 6: 5}.get) is Relation.OTHER
