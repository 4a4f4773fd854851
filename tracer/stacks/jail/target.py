"""A target as a worker sees it: its memory by a descriptor, all else asked of the root process."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import Callable, Optional

from tracer.stacks.elf.image import Given
from tracer.stacks.jail.wire import Line, Message
from tracer.stacks.target.maps import Mapping, parse_maps
from tracer.stacks.target.process import LONGEST_PATH, Identity, Process


class JailedProcess(Process):
    """``number`` is what the root process calls it. Its maps are read again when the root process has newer ones."""

    def __init__(self, line: Line, number: int, identity: Identity, memory: Optional[int]) -> None:
        super().__init__(identity, -1, memory)
        self._line, self.number = line, number
        self._given: dict[int, Given] = {}
        self._newest = 0
        self._known = 0
        self.barred: frozenset[int] = frozenset()

    def begin(self, generation: int, barred: frozenset[int]) -> None:
        """Another box: the root process has maps of this ``generation``, and what not to parse may have grown."""
        self._newest, self.barred = generation, barred

    def refresh_if_old(self) -> bool:
        """Get the maps if the root process has newer ones."""
        return self._newest != self._known and self._take_maps(again=False)

    def refresh(self) -> bool:
        """Have the root process read the maps again."""
        return self._take_maps(again=True)

    def _take_maps(self, *, again: bool) -> bool:
        answer = self._ask("maps", again=again)
        generation = answer.head["generation"]
        if generation == self._known:
            return False
        self._known = self._newest = generation
        self._mappings = parse_maps(answer.data)
        self._there_since = dict(answer.head["since"])
        self._starts = [mapping.start for mapping in self._mappings]
        self.maps_generation += 1
        return True

    def mapping(self, address: int) -> Optional[Mapping]:
        """As the process itself."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._mappings[index].end:
            return self._mappings[index]
        return None

    def open_root(self, path: str, *, follow_links: bool = True) -> Optional[int]:
        """As the process itself."""
        return self._file("root", path=path, follow=follow_links)

    def real_path(self, path: str) -> str:
        """As the process itself."""
        return str(self._ask("real", path=path).head["path"]) if len(path) <= LONGEST_PATH else ""

    def open_mapped(self, mapping: Mapping) -> Optional[int]:
        """As the process itself."""
        return self._file("mapped", start=mapping.start, dev=mapping.dev, inode=mapping.inode)

    def open_vdso(self, mapping: Mapping) -> Optional[int]:
        """As the process itself."""
        return self._file("vdso", start=mapping.start)

    def open_public(self, path: str) -> Optional[int]:
        """As the process itself."""
        return self._file("public", path=path)

    def download(self, build_id: bytes, waits: Callable[[], None] = lambda: None) -> Optional[int]:  # noqa: ARG002
        """As the process itself."""
        return self._file("download", build_id=build_id.hex())

    def open_executable(self) -> Optional[int]:
        """As the process itself."""
        return self._file("exe")

    def read_proc(self, name: str, limit: int = 1 << 20) -> bytes:
        """As the process itself, for the few names that the root process gives."""
        return self._ask("text", name=name).data[:limit]

    def given(self, descriptor: int) -> Given:
        """What the root process said of a file when it was opened."""
        return self._given.pop(descriptor, Given())

    def _file(self, what: str, **more: object) -> Optional[int]:
        answer = self._ask(what, **more)
        if not answer.descriptors:
            return None
        for extra in answer.descriptors[1:]:
            os.close(extra)
        descriptor = answer.descriptors[0]
        self._given = {descriptor: Given(answer.head.get("number", 0), frozenset(answer.head.get("barred", ())))}
        return descriptor

    def _ask(self, what: str, **more: object) -> Message:
        self._line.send({"ask": what, "process": self.number, **more})
        return self._line.receive_trusted()
