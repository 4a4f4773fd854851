"""Who holds a socket, against what the processes themselves and lsof-like readings of /proc say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.present import present
from tracer.host.descriptors import close_on_exec, holders, parse_flags, sockets_of, waits
from tracer.host.netns import NetnsUnreachable
from tracer.host.processes import netns_of, process_info

KEEP = "import sys; print('ready', flush=True); sys.stdin.read()"


@contextmanager
def child(code: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program; it ends when its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_own_and_duplicated_descriptors() -> None:
    """Every descriptor of this process that refers to the socket is listed, a duplicate too; no other is."""
    with socket.socket() as one, socket.socket() as other:
        copy = os.dup(one.fileno())
        try:
            found = holders([inode(one)])
        finally:
            os.close(copy)
        assert set(found) == {inode(one)}
        comm = Path("/proc/self/comm").read_text().strip()
        assert {(it.pid, it.fd, it.comm) for it in found[inode(one)]} == {
            (os.getpid(), one.fileno(), comm),
            (os.getpid(), copy, comm),
        }
        assert inode(other) not in found


def test_inherited_and_passed_descriptors() -> None:
    """A child that inherited the socket and one that got it by SCM_RIGHTS are both found, with their own numbers."""
    take = (
        "import socket\n"
        "link = socket.socket(fileno=0)\n"
        "_, fds, _, _ = socket.recv_fds(link, 1, 1)\n"
        "print(fds[0], flush=True)\n"
        "link.recv(1)\n"
    )
    with socket.socket() as sock:
        ours, theirs = socket.socketpair()
        with child(KEEP, pass_fds=(sock.fileno(),)) as heir, theirs, ours:
            assert present(heir.stdout).readline() == "ready\n"
            friend = subprocess.Popen(
                [sys.executable, "-c", take], stdin=theirs.fileno(), stdout=subprocess.PIPE, text=True
            )
            try:
                socket.send_fds(ours, [b"x"], [sock.fileno()])
                number = int(present(friend.stdout).readline())
                found = {(it.pid, it.fd) for it in holders([inode(sock)])[inode(sock)]}
                some = {it.pid for it in holders([inode(sock)], [heir.pid, friend.pid])[inode(sock)]}
            finally:
                friend.kill()
                friend.communicate()
        assert found == {(os.getpid(), sock.fileno()), (heir.pid, sock.fileno()), (friend.pid, number)}
        assert some == {heir.pid, friend.pid}


def test_nobody() -> None:
    """An inode that no process holds, and the inode 0 of sockets without a file, have no entry."""
    with socket.socket() as sock:
        gone = inode(sock)
    assert holders([gone, 0]) == {}
    assert holders([]) == {}


@pytest.mark.root
def test_main_thread_gone() -> None:
    """A process whose main thread has ended still shows the descriptors of the others."""
    code = (
        "import ctypes, socket, sys, threading\n"
        "s = socket.socket(); print(s.fileno(), flush=True)\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"  # exit(2): this thread alone
    )
    with child(code) as process:
        fd = int(present(process.stdout).readline())
        deadline = time.monotonic() + 5
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
        assert os.listdir(f"/proc/{process.pid}/fd") == []
        ((_, fds),) = sockets_of(process.pid).items()
        assert fds == (fd,)


def test_sockets_of_matches_the_process() -> None:
    """The sockets of a process are those that it prints itself, of any family."""
    code = (
        "import os, socket, sys\n"
        "s = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET6)]; s.append(s[0].dup())\n"
        "print(*(f'{os.fstat(i.fileno()).st_ino}:{i.fileno()}' for i in s), flush=True); sys.stdin.read()"
    )
    with child(code) as process:
        printed: dict[int, list[int]] = {}
        for word in present(process.stdout).readline().split():
            number, fd = map(int, word.split(":"))
            printed.setdefault(number, []).append(fd)
        assert sockets_of(process.pid) == {number: tuple(fds) for number, fds in printed.items()}


def test_no_such_process() -> None:
    """A process that is gone has no sockets and no info, and its namespace gives the typed error."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert sockets_of(process.pid) == {}
    assert process_info(process.pid) is None
    assert holders([1], [process.pid]) == {}
    with pytest.raises(NetnsUnreachable, match=str(process.pid)):
        netns_of(process.pid)


def test_process_info() -> None:
    """Comm (brackets and blanks in it too), start time and namespace are those that ps and /proc give."""
    name = "a) b (c"
    code = f"open('/proc/self/comm','w').write({name!r}); {KEEP}"
    with child(code) as process:
        assert present(process.stdout).readline() == "ready\n"
        info = process_info(process.pid)
        assert info is not None
        assert (info.pid, info.comm) == (process.pid, name)
        assert info.netns == int(os.readlink(f"/proc/{process.pid}/ns/net")[len("net:[") : -1])
        age = float(Path("/proc/uptime").read_text().split()[0]) - info.start_ticks / os.sysconf("SC_CLK_TCK")
        assert abs(age - int(subprocess.check_output(["ps", "-o", "etimes=", "-p", str(process.pid)]))) < 2


def test_whether_calls_wait() -> None:
    """As the socket was set to; not known of a descriptor that is not there."""
    with socket.socket() as made:
        assert waits(os.getpid(), made.fileno()) is True
        made.setblocking(False)
        assert waits(os.getpid(), made.fileno()) is False
        number = made.fileno()
    assert waits(os.getpid(), number) is None


def test_close_on_exec() -> None:
    """As fcntl(2) set it."""
    with socket.socket() as made:
        assert close_on_exec(os.getpid(), made.fileno()) is True  # PEP 446
        os.set_inheritable(made.fileno(), True)
        assert close_on_exec(os.getpid(), made.fileno()) is False
        number = made.fileno()
    assert close_on_exec(os.getpid(), number) is None


@pytest.mark.parametrize(
    ("text", "flags"),
    [("pos:\t0\nflags:\t02\n", 0o2), ("pos:\t0\nflags:\t02004002\n", 0o2004002), ("", None), ("flags:\tnone\n", None)],
)
def test_flags_are_octal(text: str, flags: Optional[int]) -> None:
    """As proc_pid_fdinfo(5) has them."""
    assert parse_flags(text) == flags


@given(st.text(max_size=200))
def test_any_text_gives_flags_or_none(text: str) -> None:
    """Never an error."""
    for whole in (text, f"flags:{text}", f"pos:\t0\nflags:\t{text}"):
        assert parse_flags(whole) is None or isinstance(parse_flags(whole), int)
