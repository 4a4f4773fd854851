"""The command line of a process, as its memory has it now: a program may have written a title in its place."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from tracer.stacks.target.process import Process

_ARG_START, _ARG_END = 45, 46
"""Fields 48 and 49 of ``/proc/PID/stat`` (proc(5)), counted from the one behind the command's name."""
_MOST_BYTES = 16_384


def words(process: Process) -> tuple[str, ...]:
    """The words of the command line; empty if it cannot be read. The first 16 KiB are enough for what is asked of it.

    ``/proc/PID/cmdline`` is not read for it: that file makes its reader wait for memory that never comes.
    """
    fields = process.read_proc("stat").rpartition(b")")[2].split()
    if len(fields) <= _ARG_END or not (fields[_ARG_START].isdigit() and fields[_ARG_END].isdigit()):
        return ()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    size = min(end - start, _MOST_BYTES)
    if not start or size <= 0:
        return ()
    return split(process.read_up_to(start, size))


def split(text: bytes) -> tuple[str, ...]:
    """The words of a command line, each ended by NUL; or those of a title, which is one text: ``name: part [name]``."""
    found = [os.fsdecode(word) for word in text.rstrip(b"\0 ").split(b"\0")]
    if len(found) == 1:
        return tuple(plain for word in found[0].split() if (plain := word.strip("[]:")))
    return tuple(found)


def after_options(several: Sequence[str], with_value: Collection[str]) -> int:
    """The index of the first word that is no option, nor the value of an option in ``with_value``."""
    at = 0
    while at < len(several) and several[at].startswith("-"):
        at += 2 if several[at] in with_value else 1
    return at


def is_called(file: str, word: str) -> bool:
    """Whether the source file ``file`` is the one that ``word`` of the command line names; not if that is empty."""
    return bool(word) and (file == word or file.endswith(f"/{word}"))


def read_start(process: Process, path: str, most: int) -> str:
    """What the file ``path`` of the process has, if that is at most ``most`` bytes; empty for a longer one, or none."""
    descriptor = process.open_root(path)
    if descriptor is None:
        return ""
    try:
        text = os.read(descriptor, most + 1)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return text.decode("utf-8", "replace") if len(text) <= most else ""
