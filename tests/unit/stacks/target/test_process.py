"""Processes opened through /proc, compared with what the kernel and the test know about them."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.present import present
from tracer.host.processes import comm_of, thread_group
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.target.maps import parse_maps
from tracer.stacks.target.process import Identity, Process, ProcessGone

WAITER = "import sys; print('up', flush=True); sys.stdin.read(1)"

LEADERLESS = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *rest(void *first) {
    char c;
    pthread_join(*(pthread_t *)first, 0);
    puts("up");
    fflush(stdout);
    read(0, &c, 1);
    _exit(0);
}
int main(void) {
    static pthread_t first;
    pthread_t thread;
    first = pthread_self();
    pthread_create(&thread, 0, rest, &first);
    pthread_exit(0);
}
"""


@pytest.fixture
def waiter(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """Start a child that waits until its standard input ends."""
    command = getattr(request, "param", [sys.executable, "-c", WAITER])
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    present(child.stdout).readline()
    yield child
    child.kill()
    child.communicate()


def test_reads_the_bytes_of_this_process() -> None:
    """Live memory at an address is equal to the buffer at that address."""
    import ctypes

    buffer = ctypes.create_string_buffer(b"closed by the peer", 64)
    process = Process.open(os.getpid())
    assert process.read(ctypes.addressof(buffer), 18) == b"closed by the peer"
    with pytest.raises(MemoryUnreadable):
        process.read(16, 8)
    process.close()


def test_open_of_a_missing_pid() -> None:
    """An unused pid and an impossible pid raise ProcessGone."""
    child = subprocess.Popen(["true"])
    child.wait()
    for pid in (child.pid, 1 << 40, -1):
        with pytest.raises(ProcessGone):
            Process.open(pid)


def test_zombie_is_gone() -> None:
    """A zombie process has no memory that could be read."""
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessGone):
        Process.open(child.pid)
    child.wait()


def test_exit_is_noticed_and_maps_stay(waiter: subprocess.Popen[bytes]) -> None:
    """After the exit same_program() is false. The maps stay usable, the memory cannot be read."""
    process = Process.open(waiter.pid)
    first = process.mappings[0]
    assert process.same_program()
    waiter.kill()
    waiter.wait()
    assert not process.same_program()
    assert not process.refresh()
    assert process.mapping(first.start) == first
    descriptor = present(process.open_mapped(first))
    assert os.path.samestat(os.fstat(descriptor), os.stat(os.path.realpath(sys.executable)))
    os.close(descriptor)
    with pytest.raises(MemoryUnreadable):
        process.read(first.start, 4)
    process.close()


def test_the_program_file_is_told_by_an_address_in_it(waiter: subprocess.Popen[bytes]) -> None:
    """As stat(2) has it. A library is none, and nothing is known of a process that has exited."""
    process = Process.open(waiter.pid)
    file = os.stat(f"/proc/{waiter.pid}/exe")
    inside = next(m.start for m in process.mappings if m.inode == file.st_ino)
    elsewhere = next(m.start for m in process.mappings if m.is_file and m.inode != file.st_ino)
    found = process.program_at(inside)
    assert found is not None
    assert (found.inode, found.size, found.uid) == (file.st_ino, file.st_size, os.geteuid())
    assert process.program_at(elsewhere) is process.program_at(0) is None
    waiter.kill()
    waiter.wait()
    assert process.program_at(inside) is None
    process.close()


@pytest.mark.parametrize(
    "waiter",
    [[sys.executable, "-c", "import os; os.write(1, b'up\\n'); os.read(0, 1); os.execvp('cat', ['cat'])"]],
    indirect=True,
)
def test_exec_is_noticed(waiter: subprocess.Popen[bytes]) -> None:
    """After exec the pid and start time are the same, but the program is another one."""
    process = Process.open(waiter.pid)
    before_ns = time.monotonic_ns()
    assert not process.ran_at(before_ns)
    assert process.same_program()
    for word in (b"\n", b"second\n"):
        present(waiter.stdin).write(word)
        present(waiter.stdin).flush()
    assert present(waiter.stdout).readline() == b"second\n"
    after_ns = time.monotonic_ns()
    assert not process.same_program()
    assert process.ran_at(before_ns)
    assert not process.ran_at(after_ns)
    assert not process.ran_at(None)
    again = Process.open(waiter.pid)
    assert again.identity == process.identity
    assert again.same_program()
    process.close()
    again.close()


@pytest.mark.root
def test_mapped_file_survives_deletion_and_replacement(tmp_path: Path) -> None:
    """A mapping gives the file that is mapped, even if another file has its name now."""
    path = tmp_path / "mapped (deleted)"
    path.write_bytes(b"A" * 4096)
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
    for change in (lambda: None, path.unlink, lambda: path.write_bytes(b"B" * 4096)):
        change()
        process = Process.open(os.getpid())
        (mapping,) = (m for m in process.mappings if m.path.startswith(str(path.parent / "mapped")))
        descriptor = present(process.open_mapped(mapping))
        assert os.read(descriptor, 4) == b"AAAA"
        os.close(descriptor)
        process.close()
    view.close()


def test_a_fifo_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    """A FIFO or a directory with the name of the file is not opened."""
    os.mkfifo(tmp_path / "fifo")
    process = Process.open(os.getpid())
    assert process.open_root(str(tmp_path / "fifo")) is None
    assert process.open_root(str(tmp_path)) is None
    process.close()


@pytest.mark.root
def test_paths_are_taken_in_the_process_root(tmp_path: Path) -> None:
    """A process in a chroot has its own files, whatever the host has under that name."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "marker").write_text("inside")
    busybox = shutil.which("busybox")
    shutil.copy(busybox or "/bin/true", root / "busybox")
    child = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.chroot({str(root)!r}); os.chdir('/'); {WAITER}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    present(child.stdout).readline()
    process = Process.open(child.pid)
    with os.fdopen(present(process.open_root("/marker"))) as file:
        assert file.read() == "inside"
    process.close()
    child.communicate()


def test_a_process_whose_first_thread_has_exited(tmp_path: Path) -> None:
    """The maps and memory of the remaining threads are used."""
    source = tmp_path / "leaderless.c"
    source.write_text(LEADERLESS)
    subprocess.run(["gcc", "-o", tmp_path / "leaderless", source, "-lpthread"], check=True)
    child = subprocess.Popen([tmp_path / "leaderless"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    present(child.stdout).readline()
    process = Process.open(child.pid)
    assert process.read(process.mappings[0].start, 4) == b"\x7fELF"
    assert process.same_program()
    child.communicate()
    assert not process.same_program()
    process.close()


@pytest.mark.root
def test_parse_maps_agrees_with_the_kernel() -> None:
    """The result has every line of this process's maps, in order, with its path."""
    with open("/proc/self/maps", "rb") as file:
        text = file.read()
    mappings = parse_maps(text)
    lines = text.decode().splitlines()
    assert len(mappings) == len(lines)
    for mapping, line in zip(mappings, lines):
        assert line.startswith(f"{mapping.start:08x}-{mapping.end:08x} {mapping.perms} ")
        assert line.endswith(mapping.path + " (deleted)" * mapping.deleted)


@given(st.binary(max_size=400))
def test_parse_maps_takes_any_bytes(text: bytes) -> None:
    """Random bytes give mappings or an empty list, never an exception."""
    assert isinstance(parse_maps(text), list)


Mapped = tuple[Process, Callable[..., None]]


def line(start: int, inode: int, path: str = "/lib/one.so", end: Optional[int] = None, offset: int = 0) -> bytes:
    return f"{start:x}-{end or start + 0x2000:x} r-xp {offset:08x} 08:01 {inode}    {path}\n".encode()


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapped]:
    """A process whose maps and clock are what the test says."""
    process = Process(Identity(1, 1), -1, None)
    monkeypatch.setattr(process, "same_program", lambda: True)

    def read(ns: int, *lines: bytes) -> None:
        monkeypatch.setattr(process, "read_proc", lambda *_: b"".join(lines))
        monkeypatch.setattr("tracer.stacks.target.process.time.monotonic_ns", lambda: ns)
        process.refresh()

    yield process, read
    process.close()


def test_code_that_took_the_place_of_other_code(mapped: Mapped) -> None:
    """Between two readings of the maps: a touch from before the second may have run either."""
    process, read = mapped
    read(100, line(0x1000, 7))
    read(200, line(0x1000, 7), line(0x9000, 9))
    read(300, line(0x1000, 8, "/lib/two.so"), line(0x9000, 9))
    two, kept = present(process.mapping(0x1000)), present(process.mapping(0x9000))
    assert [process.was_replaced(two, ns) for ns in (150, 250, 299, 300, None)] == [True, True, True, False, False]
    assert not process.was_replaced(kept, 250)
    always = (1 << 63) - 1
    assert [process.same_files(ns) for ns in (250, 300, None)] == [(100, 299), (300, always), (300, always)]
    read(400, line(0x1000, 8, "/lib/two.so"))
    assert process.was_replaced(present(process.mapping(0x1000)), 250)


def test_code_that_came_where_nothing_was(mapped: Mapped) -> None:
    """It may have come right after the reading that did not have it. Before that one it was not there."""
    process, read = mapped
    read(100, line(0x1000, 7))
    read(200, line(0x1000, 7), line(0x9000, 9))
    assert [process.was_replaced(present(process.mapping(0x9000)), ns) for ns in (99, 100, 150)] == [True, False, False]


def test_a_mapping_that_is_cut_is_the_same_code(mapped: Mapped) -> None:
    """mprotect splits a file's mapping; code that a runtime generates has no file."""
    process, read = mapped
    read(100, line(0x1000, 7, end=0x5000), line(0x8000, 0, ""))
    read(200, line(0x1000, 7, end=0x2000), line(0x2000, 7, end=0x5000, offset=0x1000), line(0x8000, 0, "", end=0xC000))
    for address in (0x1000, 0x2000, 0x8000):
        assert not process.was_replaced(present(process.mapping(address)), 50)
    assert process.same_files(50)[0] == 0


def test_a_process_begins_when_the_kernel_says(waiter: subprocess.Popen[bytes]) -> None:
    """Not before it was started, and not after it spoke."""
    process = Process.open(waiter.pid)
    assert process.began_after(time.monotonic_ns() - 3600 * 10**9)
    assert not process.began_after(time.monotonic_ns())
    assert not process.began_after(None)
    process.close()


CALLS_ITSELF = (
    "import ctypes, sys; ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0); "
    "print('up', flush=True); sys.stdin.read(1)"
)


@pytest.mark.parametrize("end", [b"\r", b"\x0b", b"\x0c", b"\x1c"])
@pytest.mark.parametrize("lie", [b"Uid:\t7 7", b"Tgid:\t1"])
def test_a_name_makes_no_line_of_the_status(end: bytes, lie: bytes) -> None:
    """A process names itself. Its stacks are read with the rights of its owner, so that must not be what it says."""
    command = [sys.executable, "-c", CALLS_ITSELF, (end + lie).hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        process = Process.open(child.pid)
        assert process.owner == os.geteuid()
        assert thread_group(child.pid) == child.pid
        assert comm_of(child.pid).encode() == end + lie
        process.close()
        child.communicate(b"x")
