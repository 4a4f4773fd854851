"""Which packages a process that runs Python could import: those beside its extension modules and in its venv.

A report says them where Python's functions have no names. Only names of files are read, and few of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from itertools import islice

from tracer.stacks.target.process import Process, ProcessGone

_FOLDER = re.compile(r"(/.+?/(?:site|dist)-packages)/")
_OF_THE_SYSTEM = "/usr/lib/python3/dist-packages"
"""What Debian's own programs use: that a package lies there says nothing of one program."""
_MOST = 4


def installed(pid: int, names: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that are installed for the Python in process ``pid``; none if it runs no Python."""
    try:
        process = Process.open(pid)
    except ProcessGone:
        return ()
    try:
        files = {mapping.path for mapping in process.mappings if mapping.is_file}
        program = next((one for path in files if (one := path.rpartition("/")[2]).startswith("python3.")), None)
        if program is None:
            return ()
        folders = {match.group(1) for path in files if (match := _FOLDER.match(path))} | _of_venv(process, program)
        places = list(islice(sorted(folders - {_OF_THE_SYSTEM}), _MOST))
        return tuple(n for n in names if any(process.has(f"{place}/{n}/.") for place in places))
    finally:
        process.close()


def _of_venv(process: Process, program: str) -> set[str]:
    """The packages of the venv that the command line starts in (PEP 405): ``pyvenv.cfg`` lies above ``bin``."""
    command = os.fsdecode(process.read_proc("cmdline", 4096).partition(b"\0")[0])
    above = os.path.dirname(os.path.dirname(command))
    if not command.startswith("/") or not process.has(f"{above}/pyvenv.cfg"):
        return set()
    return {f"{above}/lib/{program}/site-packages"}
