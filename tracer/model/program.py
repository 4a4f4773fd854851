"""A program file as one user runs it: what is known of one of its processes may hold for all."""

from __future__ import annotations

from typing import NamedTuple


class ProgramFile(NamedTuple):
    """``device`` is as in ``st_dev``, ``size`` in bytes: an inode's number is given to another file in time."""

    inode: int
    size: int
    device: int
    uid: int
