"""The same facts from other sources: ss, /proc, nm, c++filt and the programs' own backtraces."""

from __future__ import annotations

import bisect
import functools
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

LIBRARIES = Path("/lib/x86_64-linux-gnu")


def output(*words: str) -> str:
    """The stdout of a command that must succeed."""
    return subprocess.run(words, check=True, capture_output=True, text=True, errors="surrogateescape").stdout


@dataclass(frozen=True)
class SsLine:
    """One socket as ``ss -tanpeH`` lists it."""

    state: str
    rx_queue: int
    local: str
    remote: str
    inode: int
    cookie: int
    holders: frozenset[tuple[int, int]]


def unmapped(endpoint: str) -> str:
    """``[::ffff:127.0.0.1]:80`` as ``127.0.0.1:80``."""
    return re.sub(r"^\[::ffff:([0-9.]+)\]", r"\1", endpoint)


def ss(*filters: str, netns: str | None = None) -> list[SsLine]:
    """All TCP sockets that ss lists (of one network namespace)."""
    space = ["-N", netns] if netns else []
    lines = []
    for line in output("ss", "-tanpeH", *space, *filters).splitlines():
        fields = line.split()
        inode = re.search(r"ino:(\d+)", line)
        cookie = re.search(r"sk:([0-9a-f]+)", line)
        holders = frozenset((int(pid), int(fd)) for pid, fd in re.findall(r"pid=(\d+),fd=(\d+)", line))
        lines.append(
            SsLine(
                state=fields[0],
                rx_queue=int(fields[1]),
                local=unmapped(fields[3]),
                remote=unmapped(fields[4]),
                inode=int(inode.group(1)) if inode else 0,
                cookie=int(cookie.group(1), 16) if cookie else 0,
                holders=holders,
            )
        )
    return lines


def ss_close_wait(pids: set[int], netns: str | None = None) -> dict[tuple[str, str], SsLine]:
    """The sockets in CLOSE_WAIT that one of the processes holds, by (local, remote)."""
    return {
        (line.local, line.remote): line
        for line in ss(netns=netns)
        if line.state == "CLOSE-WAIT" and any(pid in pids for pid, _ in line.holders)
    }


def holders_of(inode: int) -> set[tuple[int, int]]:
    """Every (pid, fd) whose descriptor is that socket, read from /proc."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == f"socket:[{inode}]":
                found.add((int(link.parts[2]), int(link.name)))
        except OSError:
            continue
    return found


def comm_of(pid: int, tid: int | None = None) -> str:
    """The kernel's name of a process (or of one thread)."""
    return Path(f"/proc/{pid}/task/{tid or pid}/comm").read_text().rstrip("\n")


def netns_of(pid: int) -> int:
    """Inode number of a process' network namespace."""
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def seconds(rfc3339: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(rfc3339.replace("Z", "+00:00")).timestamp()


@functools.cache
def demangled(name: str) -> str:
    """A C++ symbol as c++filt writes it."""
    return output("c++filt", name).rstrip("\n")


@functools.cache
def symbols(binary: str) -> list[tuple[int, str]]:
    """Code symbols of a program by address, from nm."""
    rows = [line.split() for line in output("nm", "-n", binary).splitlines()]
    return [(int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tTwW"]


def symbol_at(binary: str, address: int) -> tuple[str, int]:
    """The (name, offset) that nm gives to an address of a program that is not relocated."""
    table = symbols(binary)
    start, name = table[bisect.bisect(table, (address, chr(0x10FFFF))) - 1]
    return name, address - start


def named(told: dict[str, Any], binary: str | None = None) -> dict[str, Any]:
    """A frame of the program's backtrace, named by nm where the program could not name it itself."""
    if told["function"] is None and binary and not told["module"]:
        name, offset = symbol_at(binary, told["pc"])
        return {**told, "function": name, "offset": offset, "module": Path(binary).name}
    return told


def is_module(name: str | None, told: str) -> bool:
    """Whether a frame's module is what the program told, which names a library as it was asked for: maybe by a link."""
    return os.path.basename(name or "") in (told, (LIBRARIES / told).resolve().name)


def is_same_frame(frame: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether a reported frame is the one that the program told: module, function and offset, to the byte."""
    if not is_module(frame["module"], told["module"]):
        return False
    if frame["function"] is None:
        return bool(frame["offset"] == told["module_offset"])
    if told["function"] is None:
        return True  # a name from .symtab that dladdr(3) cannot know
    same_offset = bool(frame["offset"] == told["offset"])
    if told["module"].startswith("libc.so"):
        return same_offset  # libc has several names for one address
    return same_offset and frame["function"] in (told["function"], demangled(told["function"]))


def machine_frames(stack: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The frames that have a return address of their own."""
    return [frame for frame in stack if not frame.get("inlined")]


def assert_stack_is(stack: Sequence[dict[str, Any]], touch: dict[str, Any], binary: str | None = None) -> None:
    """The stack ends as the program's own backtrace does.

    The innermost frame of the backtrace is the function that made the call; it called backtrace(3) a few instructions
    later, so that there the name alone is compared. All its callers must agree to the byte.
    """
    told = [named(frame, binary) for frame in touch["stack"]]
    frames = machine_frames(stack)
    assert len(frames) >= len(told), (frames, told)
    outer = frames[-len(told) :]
    toucher = told[0]
    if outer[0]["function"] is not None and toucher["function"] is not None:
        assert outer[0]["function"] == demangled(toucher["function"]), (outer[0], toucher)
    assert is_module(outer[0]["module"], toucher["module"]), (outer[0], toucher)
    for frame, expected in zip(outer[1:], told[1:]):
        assert is_same_frame(frame, expected), (frame, expected)


def functions(stack: Sequence[dict[str, Any]]) -> list[str]:
    """The names of a stack, innermost first, ``?`` for frames without one."""
    return [frame["function"] or "?" for frame in stack]


def assert_nested(stack: Sequence[dict[str, Any]], *nesting: str) -> None:
    """These functions stand in the stack in this order, next to each other, innermost first."""
    names = functions(machine_frames(stack))
    assert nesting[0] in names, names
    at = names.index(nesting[0])
    assert tuple(names[at : at + len(nesting)]) == nesting, names
