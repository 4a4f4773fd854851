"""The parts of the heap in use, for the collectors that can be read while the program runs.

A collector that moves objects while the program runs (ZGC, Shenandoah) cannot: no counter says that it moved one.
Sources: gc/g1/heapRegionManager.hpp, heapRegionType.hpp, gc/parallel/psYoungGen.hpp, gc/serial/defNewGeneration.hpp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tracer.stacks.languages.java.heap.vm import NoHeap, Vm
from tracer.stacks.target.reader import Nonsense

_MAX_REGIONS = 1 << 20
_FREE_REGION = 0
_READ = ("G1", "Parallel", "Serial")
_UNREAD = {
    "Z": "ZGC",
    "Shenandoah": "Shenandoah",
    "ConcMarkSweep": "CMS",
    "Epsilon": "Epsilon",
}


@dataclass(frozen=True)
class Space:
    """Objects lie in ``[bottom, top)`` without gaps."""

    bottom: int
    top: int


def collector(flags: dict[str, bool]) -> str:
    """The name of the collector. Raises NoHeap for one that is not read."""
    for name in _READ:
        if flags.get(f"Use{name}GC"):
            return name
    for name, title in _UNREAD.items():
        if flags.get(f"Use{name}GC"):
            raise NoHeap(
                f"its collector is {title}, which moves objects while the program runs: who holds what cannot be read"
                if name in ("Z", "Shenandoah")
                else f"its collector is {title}, which is not read"
            )
    raise NoHeap("its collector is not known")


class Spaces:
    """Reads the spaces of one heap. Methods raise MissingTables, MemoryUnreadable and Nonsense."""

    def __init__(self, vm: Vm, collector_name: str) -> None:
        self._vm, self._reader = vm, vm.reader
        self._heap = vm.word_at("Universe._collectedHeap")
        self._read = {"G1": self._g1, "Parallel": self._parallel, "Serial": self._serial}[collector_name]
        self._collections_at = vm.offset("CollectedHeap._total_collections")
        self._active_at = vm.offset("CollectedHeap._is_gc_active", "CollectedHeap._is_stw_gc_active")
        if not self._heap:
            raise Nonsense("the heap is not there yet")

    def now(self) -> list[Space]:
        """The spaces, by address."""
        found = [space for space in self._read() if space.top > space.bottom]
        if any(space.bottom % 8 or space.top % 8 or space.top - space.bottom > 1 << 40 for space in found):
            raise Nonsense("the heap's spaces are not in order")
        return sorted(found, key=lambda space: space.bottom)

    def collections(self) -> tuple[int, bool]:
        """How many collections there were, and whether one runs now. Both stand still while no object moves."""
        count = self._reader.unsigned(self._heap + self._collections_at, 4)
        return count, self._reader.unsigned(self._heap + self._active_at, 1) != 0

    def _g1(self) -> list[Space]:
        vm = self._vm
        region = "G1HeapRegion" if vm.size("G1HeapRegion") else "HeapRegion"
        manager = self._heap + vm.offset("G1CollectedHeap._hrm")
        base, count = self._region_table(manager)
        if not (base and 0 < count < _MAX_REGIONS):  # in some versions it is a pointer
            base, count = self._region_table(self._reader.pointer(manager))
        if not (base and 0 < count < _MAX_REGIONS):
            raise Nonsense(f"the heap has {count} regions")
        bottom_at = vm.offset(f"{region}._bottom", "Space._bottom")
        top_at = vm.offset(
            f"{region}._top", "ContiguousSpace._top", "G1OffsetTableContigSpace._top", "G1ContiguousSpace._top"
        )
        kind = vm.maybe(f"{region}._type")
        tag_at = vm.maybe(f"{region}Type._tag", "HeapRegionType._tag")
        size = max(vm.size(region), top_at + 8)
        found = []
        for (address,) in struct.iter_unpack("<Q", self._reader.read(base, 8 * count)):
            if not address:
                continue
            raw = self._reader.read(address, size)
            bottom, top = (struct.unpack_from("<Q", raw, at)[0] for at in (bottom_at, top_at))
            if kind is not None and tag_at is not None:
                (tag,) = struct.unpack_from("<I", raw, kind.offset + tag_at.offset)
                if tag == _FREE_REGION:
                    continue
            found.append(Space(bottom, top))
        return found

    def _region_table(self, manager: int) -> tuple[int, int]:
        name = "G1HeapRegionManager" if self._vm.maybe("G1HeapRegionManager._regions") else "HeapRegionManager"
        table = manager + self._vm.offset(f"{name}._regions")
        base, length = (self._vm.offset(f"G1HeapRegionTable.{member}") for member in ("_base", "_length"))
        return self._reader.pointer(table + base), self._reader.pointer(table + length)

    def _parallel(self) -> list[Space]:
        vm, pointer = self._vm, self._reader.pointer
        young, old = (vm.word_at(f"ParallelScavengeHeap.{name}") for name in ("_young_gen", "_old_gen"))
        places = [pointer(young + vm.offset(f"PSYoungGen._{name}_space")) for name in ("eden", "from")]
        places.append(pointer(old + vm.offset("PSOldGen._object_space")))
        bottom = vm.offset("MutableSpace._bottom", "ImmutableSpace._bottom", "Space._bottom")
        top = vm.offset("MutableSpace._top")
        return [Space(pointer(place + bottom), pointer(place + top)) for place in places]

    def _serial(self) -> list[Space]:
        vm, pointer = self._vm, self._reader.pointer
        listed = vm.maybe("GenCollectedHeap._gens")
        if listed is not None:
            young, old = (pointer(self._heap + listed.offset + 8 * index) for index in range(2))
        else:
            young, old = (
                pointer(self._heap + vm.offset(f"SerialHeap.{name}", f"GenCollectedHeap.{name}"))
                for name in ("_young_gen", "_old_gen")
            )
        places = [pointer(young + vm.offset(f"DefNewGeneration._{name}_space")) for name in ("eden", "from")]
        places.append(
            pointer(old + vm.offset("TenuredGeneration._the_space", "OneContigSpaceCardGeneration._the_space"))
        )
        bottom = vm.offset("ContiguousSpace._bottom", "Space._bottom")
        top = vm.offset("ContiguousSpace._top")
        return [Space(pointer(place + bottom), pointer(place + top)) for place in places]
