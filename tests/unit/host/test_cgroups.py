"""Oracle: the kernel's own list of the processes in each cgroup, and what /proc says outside of containers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer.host import cgroups

pytestmark = pytest.mark.root

OTHERS = "import sys; from tracer.host import cgroups; print(sorted(cgroups.pids(sys.argv[1])))"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A cgroup of version 2 with two in it, "app" and "app/below"."""
    made = Path(cgroups._root()) / f"closetrace-test-{os.getpid()}"
    for path in (made, made / "agent", made / "app", made / "app/below"):
        path.mkdir()
    yield made
    for path in (made / "app/below", made / "app", made / "agent", made):
        path.rmdir()


def entering(folder: Path, *command: str) -> list[str]:
    """The words of a command that runs in a cgroup."""
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(folder), *command]


def test_the_processes_of_a_cgroup(folder: Path) -> None:
    """Its own and those below it. A container that has its own view of cgroups finds them, too."""
    inside = f"/{folder.name}/app"
    waits = ("sh", "-c", "echo up; read -r line")
    places = (folder / "app", folder / "app/below", folder)
    living = [
        subprocess.Popen(entering(place, *waits), stdin=subprocess.PIPE, stdout=subprocess.PIPE) for place in places
    ]
    for one in living:
        assert one.stdout is not None
        assert one.stdout.readline() == b"up\n"
    expected = sorted(one.pid for one in living[:2])
    assert sorted(cgroups.pids(inside)) == expected
    contained = entering(folder / "agent", "unshare", "--cgroup", sys.executable, "-c", OTHERS, inside)
    assert subprocess.check_output(contained, text=True) == f"{expected}\n"
    for one in living:
        one.communicate(b"\n")
    assert cgroups.pids(inside) == frozenset()


def test_a_cgroup_that_is_not_there() -> None:
    """Nobody is in it."""
    assert cgroups.pids("/closetrace-not-there") == frozenset()
