"""Finds separate debug files: first in the process's own root, then where elfutils looks on the host."""

from __future__ import annotations

import ctypes
import os
import posixpath
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from tracer.stacks.elf import libdw
from tracer.stacks.elf.facts import read_facts

OpenInRoot = Callable[[str], Optional[int]]
"""Opens a regular file as the process sees it; None if it is not there."""

_DEBUG_ROOT = "/usr/lib/debug"


class DebugFileFinder:
    """The ``find_debuginfo`` callback of one file's Dwfl. If ``debuginfod``, it may download from DEBUGINFOD_URLS."""

    def __init__(self, path: str, build_id: bytes, open_in_root: OpenInRoot, debuginfod: bool) -> None:
        self._path = path
        self._build_id = build_id
        self._open = open_in_root
        self._debuginfod = debuginfod
        self.callback = libdw.FindDebuginfo(self._find)

    def _find(
        self,
        module: int,
        userdata: int,
        name: int,
        base: int,
        file_name: bytes,
        link: Optional[bytes],
        crc: int,
        found_name: Any,
    ) -> int:
        """Return a descriptor, which libdwfl then owns, or -1. An exception must not pass through C code."""
        try:
            own = self._find_in_root(link, crc)
            if own is not None:
                descriptor, path = own
                found_name[0] = libdw.libc().strdup(os.fsencode(path))
                return descriptor
            with _debuginfod_only_if(self._debuginfod):
                return int(
                    libdw.load().dwfl_standard_find_debuginfo(
                        module, userdata, name, base, file_name, link, crc, found_name
                    )
                )
        except (OSError, ValueError, ctypes.ArgumentError):
            return -1

    def _find_in_root(self, link: Optional[bytes], crc: int) -> Optional[tuple[int, str]]:
        """Look in the process's root. A file there counts only if its build-id or CRC matches."""
        if self._build_id:
            text = self._build_id.hex()
            path = f"{_DEBUG_ROOT}/.build-id/{text[:2]}/{text[2:]}.debug"
            descriptor = self._open_if(path, self._has_build_id)
            if descriptor is not None:
                return descriptor, path
        if link and crc:
            directory = posixpath.dirname(self._path)
            for place in (directory, f"{directory}/.debug", _DEBUG_ROOT + directory):
                path = f"{place}/{os.fsdecode(posixpath.basename(link))}"
                descriptor = self._open_if(path, lambda candidate: _crc32(candidate) == crc)
                if descriptor is not None:
                    return descriptor, path
        return None

    def _open_if(self, path: str, proves: Callable[[int], bool]) -> Optional[int]:
        descriptor = self._open(path)
        if descriptor is not None and not proves(descriptor):
            os.close(descriptor)
            return None
        return descriptor

    def _has_build_id(self, descriptor: int) -> bool:
        facts = read_facts(descriptor)
        return facts is not None and facts.build_id == self._build_id


def _crc32(descriptor: int) -> int:
    crc, offset = 0, 0
    while True:
        block = os.pread(descriptor, 1 << 20, offset)
        if not block:
            return crc
        crc = zlib.crc32(block, crc)
        offset += len(block)


@contextmanager
def _debuginfod_only_if(allowed: bool) -> Iterator[None]:
    """Stop libdwfl from using the network: it downloads whenever DEBUGINFOD_URLS is set."""
    urls = None if allowed else os.environ.pop("DEBUGINFOD_URLS", None)
    try:
        yield
    finally:
        if urls is not None:
            os.environ["DEBUGINFOD_URLS"] = urls
