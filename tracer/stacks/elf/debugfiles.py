"""Where separate debug files are looked for: the process's own root first, then /usr/lib/debug of the host.

libdw itself opens no path: all that it would look for is found here, and opened by the rules of tracer/host/opening.py.
"""

from __future__ import annotations

import ctypes
import os
import posixpath
import zlib
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Optional

from tracer.host.opening import open_own
from tracer.stacks.elf import libdw
from tracer.stacks.elf.emptyfile import open_empty
from tracer.stacks.elf.facts import read_facts

Open = Callable[[str], Optional[int]]
"""Opens a regular file; None if it is not there."""


def _open_public(path: str) -> Optional[int]:
    return open_own(path, public=True)


@dataclass(frozen=True)
class Places:
    """Who opens debug files: as the process sees them, those of the host that are no secret, and by build-id.

    ``download`` is None where it was not asked for.
    """

    in_root: Open
    of_host: Open = _open_public
    download: Optional[Callable[[bytes], Optional[int]]] = None


_DEBUG_ROOT = "/usr/lib/debug"
_MAX_CRC_BYTES = 1 << 30
"""A debug file is read whole for its CRC: larger ones count as not found. Those with a build-id need no CRC."""
_MAX_ALTLINK_BYTES = 4096 + 64


class _Found(NamedTuple):
    descriptor: int
    path: str


class DebugFileFinder:
    """The ``find_debuginfo`` callback of one file's Dwfl. Without ``places`` no debug file is found.

    ``descriptor`` is the file's own and stays the caller's, who keeps it open as long as the Dwfl lives.
    """

    def __init__(self, descriptor: int, path: str, build_id: bytes, places: Optional[Places]) -> None:
        self._main = _Found(descriptor, path)
        self._debug: Optional[_Found] = None
        self._build_id = build_id
        self._places = places
        self.callback = libdw.FindDebuginfo(self._find)

    def _find(
        self,
        _module: int,
        _userdata: int,
        _name: int,
        _base: int,
        _file_name: bytes,
        link: Optional[bytes],
        crc: int,
        found_name: Any,
    ) -> int:
        """Answer libdwfl with a descriptor that it then owns, or -1. Nothing may be raised through C.

        A link without CRC is that of ``.gnu_debugaltlink`` (find_debug_altlink in libdwfl/dwfl_module_getdwarf.c).
        """
        places = self._places
        try:
            if link and not crc:
                return self._find_alternate(places)
            found = self._find_debug(places, os.fsdecode(link) if link else "", crc) if places is not None else None
            if found is None:
                return -1
            self._debug = found
            found_name[0] = libdw.libc().strdup(os.fsencode(found.path))
            return found.descriptor
        except (OSError, ValueError, MemoryError, ctypes.ArgumentError):
            return -1

    def _find_debug(self, places: Places, link: str, crc: int) -> Optional[_Found]:
        """What is found must prove by build-id or CRC that it belongs to the file."""
        found = _by_build_id(places, self._build_id)
        if found is None and link and crc:
            found = self._by_link(places, posixpath.basename(link), crc)
        if found is None and places.download is not None and self._build_id:
            found = _if_it_proves(places.download(self._build_id), "debuginfod", self._build_id)
        return found

    def _find_alternate(self, places: Optional[Places]) -> int:
        """The file that dwz(1) moved common parts to.

        Where there is none, an empty one is given: libdw would open the path by itself when it meets a reference.
        """
        holder = self._debug or self._main
        path, build_id = _alternate_link(holder.descriptor)
        found = _by_build_id(places, build_id) if places is not None else None
        if found is None and path and places is not None:
            place = posixpath.join(posixpath.dirname(holder.path), path)
            found = _if_it_proves(places.in_root(place), place, build_id)
        return found.descriptor if found is not None else open_empty()

    def _by_link(self, places: Places, name: str, crc: int) -> Optional[_Found]:
        directory = posixpath.dirname(self._main.path)
        in_debug_root = f"{_DEBUG_ROOT}{directory}/{name}"
        for path in (f"{directory}/{name}", f"{directory}/.debug/{name}", in_debug_root):
            found = _if_it_has(places.in_root(path), path, crc)
            if found is not None:
                return found
        return _if_it_has(places.of_host(in_debug_root), in_debug_root, crc)


def _by_build_id(places: Places, build_id: bytes) -> Optional[_Found]:
    text = build_id.hex()
    if len(text) < 4:
        return None
    path = f"{_DEBUG_ROOT}/.build-id/{text[:2]}/{text[2:]}.debug"
    return _if_it_proves(places.in_root(path), path, build_id) or _if_it_proves(places.of_host(path), path, build_id)


def _if_it_proves(descriptor: Optional[int], path: str, build_id: bytes) -> Optional[_Found]:
    if descriptor is None:
        return None
    facts = read_facts(descriptor)
    if build_id and facts is not None and facts.build_id == build_id:
        return _Found(descriptor, path)
    os.close(descriptor)
    return None


def _if_it_has(descriptor: Optional[int], path: str, crc: int) -> Optional[_Found]:
    if descriptor is None:
        return None
    if os.fstat(descriptor).st_size <= _MAX_CRC_BYTES and _crc32(descriptor) == crc:
        return _Found(descriptor, path)
    os.close(descriptor)
    return None


def _alternate_link(descriptor: int) -> tuple[str, bytes]:
    """Path and build-id in ``.gnu_debugaltlink``: the path ends with a NUL, the rest is the build-id."""
    facts = read_facts(descriptor)
    section = facts.sections.get(b".gnu_debugaltlink") if facts is not None else None
    if section is None:
        return "", b""
    path, _, build_id = os.pread(descriptor, min(section.size, _MAX_ALTLINK_BYTES), section.offset).partition(b"\0")
    return os.fsdecode(path), build_id


def _crc32(descriptor: int) -> int:
    crc, offset = 0, 0
    while offset < _MAX_CRC_BYTES:
        block = os.pread(descriptor, 1 << 20, offset)
        if not block:
            break
        crc = zlib.crc32(block, crc)
        offset += len(block)
    return crc
