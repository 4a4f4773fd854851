"""The memory map of a process, as ``/proc/PID/maps`` has it."""

from __future__ import annotations

import os
from dataclasses import dataclass

_DELETED = " (deleted)"


@dataclass(frozen=True)
class Mapping:
    """One line of ``/proc/PID/maps``. ``path`` is "" for anonymous memory; ``dev`` is as in ``st_dev``."""

    start: int
    end: int
    perms: str
    offset: int
    dev: int
    inode: int
    path: str
    deleted: bool = False

    @property
    def executable(self) -> bool:
        """Whether code may run here."""
        return "x" in self.perms

    @property
    def is_file(self) -> bool:
        """Whether a file backs it. ``[vdso]``, ``[stack]`` and anonymous memory have inode 0."""
        return self.inode != 0


def same_code(one: Mapping, other: Mapping) -> bool:
    """Whether the same file lies there at the same place; its mapping may have been cut or grown."""
    file = (one.executable, one.dev, one.inode, one.start - one.offset)
    return file == (other.executable, other.dev, other.inode, other.start - other.offset)


def parse_maps(text: bytes) -> list[Mapping]:
    """Parse the text of ``/proc/PID/maps`` (proc_pid_maps(5)), by address. Leaves out lines that cannot be parsed."""
    mappings = []
    for line in text.split(b"\n"):
        fields = line.split(None, 5)
        if len(fields) < 5:
            continue
        try:
            mappings.append(_parse_line(fields))
        except ValueError:
            continue
    mappings.sort(key=lambda mapping: mapping.start)
    return mappings


def _parse_line(fields: list[bytes]) -> Mapping:
    start, end = (int(part, 16) for part in fields[0].split(b"-"))
    major, minor = (int(part, 16) for part in fields[3].split(b":"))
    # The only character that the kernel escapes here is a newline, as octal (seq_path with "\n").
    path = os.fsdecode(fields[5].replace(b"\\012", b"\n")) if len(fields) > 5 else ""
    deleted = path.endswith(_DELETED)
    return Mapping(
        start=start,
        end=end,
        perms=fields[1].decode("ascii"),
        offset=int(fields[2], 16),
        dev=os.makedev(major, minor),
        inode=int(fields[4]),
        path=path[: -len(_DELETED)] if deleted else path,
        deleted=deleted,
    )
