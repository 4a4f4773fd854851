"""What a process is called: by its program, or by the script that an interpreter runs, not by one of its threads."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Optional

from tracer.host.processes import comm_of

COMM_BYTES = 15
"""Names are compared by so many bytes, as the kernel keeps them (TASK_COMM_LEN)."""
_INTERPRETER = re.compile(r"(python|pypy|perl|ruby|node|nodejs|php|lua|luajit|tclsh|bash|dash|zsh|ksh|sh)[0-9.]*")
_WITH_VALUE = {
    "python": ("-W", "-X", "--check-hash-based-pycs"),
    "pypy": ("-W", "-X"),
    "perl": ("-I",),
    "ruby": ("-I", "-r", "-C", "-E"),
    "node": ("-r", "--require", "--import", "-C", "--conditions", "--loader"),
    "php": ("-c", "-d"),
    "bash": ("-O", "-o"),
}
"""Options of an interpreter whose value is a word of its own."""
_CODE = {"python": "-c", "pypy": "-c", "perl": "-e", "ruby": "-e", "node": "-e", "php": "-r", "lua": "-e"}
"""The option that gives the code itself (a shell's is -c): then there is no script."""
_DELETED = " (deleted)"


def script_of(words: Sequence[str]) -> Optional[str]:
    """The script, or the module of ``python -m``, that a command line runs; None if it runs none.

    ``words`` are the arguments, that of the program itself first: ``("python3", "-u", "/srv/app.py")`` -> ``app.py``.
    """
    name = _INTERPRETER.fullmatch(os.path.basename(words[0]).lstrip("-")) if words else None
    if name is None:
        return None
    kind = "node" if name[1] == "nodejs" else name[1]
    left = iter(words[1:])
    for word in left:
        if word == "-m" and kind in ("python", "pypy"):
            return next(left, None)
        if word == _CODE.get(kind, "-c") or word == "-":
            return None
        if word in _WITH_VALUE.get(kind, ()):
            next(left, None)
        elif not word.startswith("-"):
            return os.path.basename(word) or None
    return None


def names_of(pid: int) -> tuple[str, ...]:
    """Every name of its program, the most telling first: script, executable, as it was called, command name.

    Empty names are left out. What may not be read is left out, too.
    """
    words = _command_line(pid)
    called = os.path.basename(words[0]).lstrip("-") if words else ""
    names = (script_of(words), executable_of(pid), called, comm_of(pid).replace("?", ""))
    return tuple(dict.fromkeys(name for name in names if name))


def program_of(pid: int) -> str:
    """The one name by which to tell it to people: the script's, else the executable's; "?" if it cannot be read.

    What is no UTF-8 in it is U+FFFD, as in a command name: JSON has no text for such bytes (RFC 8259, 8.2).
    """
    name = next(iter(names_of(pid)), "?")
    return name.encode(errors="surrogateescape").decode(errors="replace")


def is_called(pid: int, name: str) -> bool:
    """Whether one of its program's names is ``name``; the first 15 bytes count."""
    wanted = short(name)
    return any(short(one) == wanted for one in names_of(pid))


def runs(name: str, pids: Collection[int]) -> bool:
    """Whether one of ``pids`` is called ``name`` or has a thread of that name; this process itself does not count."""
    others = [pid for pid in pids if pid != os.getpid()]
    return any(is_called(pid, name) for pid in others) or any(short(name) in _threads(pid) for pid in others)


def short(name: str) -> bytes:
    """A name as the kernel would keep it."""
    return name.encode(errors="surrogateescape")[:COMM_BYTES]


def _threads(pid: int) -> Iterator[bytes]:
    """The command names of its threads."""
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for tid in tids:
        try:
            with open(f"/proc/{pid}/task/{tid}/comm", "rb") as file:
                yield file.read().rstrip(b"\n")
        except OSError:
            continue


def _command_line(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            data = file.read(65536)
    except OSError:
        return []
    return [word.decode(errors="surrogateescape") for word in data.split(b"\0")[:-1]]


def executable_of(pid: int) -> str:
    """The base name of its program file; empty if it cannot be read."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return os.path.basename(path.removesuffix(_DELETED))
