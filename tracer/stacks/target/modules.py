"""Finds the file whose code is at an address of a process. A file is opened once for all processes."""

from __future__ import annotations

import os
import posixpath
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Optional

from tracer.digests import sha256
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.elf.additions import Additions
from tracer.stacks.elf.debugfiles import Places
from tracer.stacks.elf.image import Image
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process

_MAX_IMAGES = 192
_VDSO = "[vdso]"


class ImageCache:
    """Open images by file identity (device, inode, mtime, size). A full cache drops the least recently used."""

    def __init__(self, debuginfod: bool = False, additions: Optional[Additions] = None) -> None:
        self._debuginfod = debuginfod
        self._additions = additions
        self._images: OrderedDict[Hashable, Optional[Image]] = OrderedDict()

    def of_mapping(self, process: Process, mapping: Mapping) -> Optional[Image]:
        """Open the image mapped there; None if its file cannot be opened or is not an ELF file for this machine."""
        descriptor = process.open_vdso(mapping) if mapping.path == _VDSO else process.open_mapped(mapping)
        if descriptor is None:
            return None
        key = _key(descriptor, mapping)
        if key in self._images:
            os.close(descriptor)
            self._images.move_to_end(key)
            return self._images[key]
        places = Places(process.open_root, process.open_public, process.download if self._debuginfod else None)
        image = Image.open(descriptor, mapping.path, places, self._additions, process.given(descriptor))
        self._images[key] = image
        if len(self._images) > _MAX_IMAGES:
            self._images.popitem(last=False)
        return image


@dataclass(frozen=True)
class Code:
    """Mapped code. An address of the process plus ``delta`` is the address in the file (without image: the offset)."""

    mapping: Mapping
    image: Optional[Image]
    delta: int

    @property
    def module(self) -> str:
        """The file's base name, ``[vdso]``, or ``[anon]``."""
        return posixpath.basename(self.mapping.path) or "[anon]"


class Modules:
    """The code of one process."""

    def __init__(self, process: Process, images: ImageCache) -> None:
        self._process = process
        self._images = images
        self._generation = process.maps_generation
        self._by_start: dict[int, Code] = {}
        self._by_file: dict[tuple[int, int, str], Optional[Image]] = {}
        self._may_refresh = True
        self._at_ns: Optional[int] = None

    def begin(self, ns: Optional[int] = None) -> bool:
        """Start another stack: read the maps again if they are old. True if they changed since the last call.

        ``ns`` is the time of its touch in nanoseconds of CLOCK_MONOTONIC; None is now.
        """
        self._at_ns = ns
        self._may_refresh = not self._process.refresh_if_old()
        return self._changed()

    def at(self, address: int) -> Optional[Code]:
        """Find the code mapped at ``address``; None if there is none. An unknown address reads the maps again.

        Raises MemoryUnreadable where another file's code may have been there at the touch.
        """
        mapping = self._process.mapping(address)
        if (mapping is None or not mapping.executable) and self._may_refresh:
            self._may_refresh = False
            self._process.refresh()
            self._changed()
            mapping = self._process.mapping(address)
        if mapping is None or not mapping.executable:
            return None
        if self._process.was_replaced(mapping, self._at_ns):
            name = posixpath.basename(mapping.path)
            raise MemoryUnreadable(f"the code here was replaced by {name} before this stack could be read")
        code = self._by_start.get(mapping.start)
        if code is None:
            code = self._by_start[mapping.start] = self._open(mapping)
        return code

    def _changed(self) -> bool:
        if self._generation == self._process.maps_generation:
            return False
        self._generation = self._process.maps_generation
        self._by_start.clear()
        return True

    def _open(self, mapping: Mapping) -> Code:
        key = (mapping.dev, mapping.inode, mapping.path)
        if key not in self._by_file:
            if mapping.is_file or mapping.path == _VDSO:
                self._by_file[key] = self._images.of_mapping(self._process, mapping)
            else:
                self._by_file[key] = None
        image = self._by_file[key]
        bias = image.facts.bias(mapping.offset) if image is not None else None
        if image is None or bias is None:
            return Code(mapping, None, mapping.offset - mapping.start)
        return Code(mapping, image, bias + mapping.offset - mapping.start)


def _key(descriptor: int, mapping: Mapping) -> Hashable:
    if mapping.path == _VDSO:
        size = os.fstat(descriptor).st_size
        return sha256(os.pread(descriptor, size, 0)).digest()
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
