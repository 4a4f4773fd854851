"""Descriptor tables of threads, against what a program says of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.present import present
from tracer.host import thread_tables
from tracer.host.descriptors import close_on_exec, holders, waits
from tracer.host.thread_tables import ThreadHolders, read_thread_tables, same_table


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(thread_tables, "_LOOK_NS", 1 << 60)


UNSHARES = """
import ctypes, os, socket, sys, threading, time
def alone(others, together=1):
    if ctypes.CDLL(None).unshare(0x400): sys.exit("unshare")  # CLONE_FILES
    made = socket.socket()
    for _ in range(others):
        threading.Thread(target=ready.wait, daemon=True).start()
    made.setblocking(False)
    unshared.append(made)
    while len(unshared) < together:
        time.sleep(0.01)
    print(os.fstat(made.fileno()).st_ino, made.fileno(), threading.get_native_id(), flush=True)
    ready.wait()
ready, unshared = threading.Event(), []
"""


@contextmanager
def program(code: str) -> Iterator[tuple[int, list[int]]]:
    """A running program's pid, and the numbers that it prints first."""
    process = subprocess.Popen(
        [sys.executable, "-c", UNSHARES + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.pid, [int(word) for word in present(process.stdout).readline().split()]
    finally:
        process.kill()
        process.communicate()


ONE = "threading.Thread(target=alone, args=(3,), daemon=True).start(); sys.stdin.read()"


def test_a_table_of_a_threads_own() -> None:
    """The process's table does not show it, the thread's does; threads that share that table are one holder."""
    with program(ONE) as (pid, (inode, fd, tid)):
        assert holders([inode], [pid]) == {}
        (holder,) = read_thread_tables([inode]).holders[inode]
        assert (holder.pid, holder.fd, holder.tid, holder.table) == (pid, fd, tid, tid)
        assert waits(holder.table, holder.fd) is False
        assert close_on_exec(holder.table, holder.fd) is True
        assert same_table(pid, tid) is False


def test_threads_that_share_the_process_table() -> None:
    """They are no holders beside their process, which has what they open in its own table."""
    code = "threading.Thread(target=ready.wait, daemon=True).start(); made = socket.socket()\n"
    code += "print(os.fstat(made.fileno()).st_ino, threading.enumerate()[1].native_id, flush=True); sys.stdin.read()"
    with program(code) as (pid, (inode, tid)):
        assert same_table(pid, tid) is True
        assert read_thread_tables([inode], [pid]).holders == {}
        assert set(holders([inode], [pid])) == {inode}


def test_nothing_wanted() -> None:
    """Without an inode nothing is read."""
    assert read_thread_tables([0]) == ThreadHolders()


def test_a_look_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for which no time is left, or that has very many tables, is counted: nothing is said of it."""
    many = "[threading.Thread(target=alone, args=(0, 4), daemon=True).start() for _ in range(4)]; sys.stdin.read()"
    with program(many) as (pid, (inode, *_)):
        monkeypatch.setattr(thread_tables, "all_pids", lambda: [pid])
        monkeypatch.setattr(thread_tables, "_MOST_TABLES", 1)
        assert read_thread_tables([1]).left_out == 1
        monkeypatch.setattr(thread_tables, "_MOST_TABLES", 4)
        assert read_thread_tables([1]).left_out == 0
        monkeypatch.setattr(thread_tables, "_LOOK_NS", -1)
        assert read_thread_tables([1], unreadable=[pid]).left_out == 0
        found = read_thread_tables([inode])
        assert (found.holders, found.left_out) == ({}, 1)


def test_a_process_whose_first_thread_has_ended() -> None:
    """Whether another of its threads has the same table cannot be told, so it is not said to have one of its own."""
    code = "threading.Thread(target=sys.stdin.read).start(); print(threading.enumerate()[1].native_id, flush=True)\n"
    code += "ctypes.CDLL(None).syscall(60, 0)"  # exit(2): this thread alone
    with program(code) as (pid, (tid,)):
        while same_table(pid, tid):
            pass
        assert same_table(pid, tid) is None


def test_nobody_is_there() -> None:
    """Of a thread that has ended nothing is told."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert same_table(1, process.pid) is None
    assert read_thread_tables([1], [process.pid]).holders == {}
