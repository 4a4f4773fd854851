"""Since when compiled code has been at its address: it must have been there at the touch to be the code that ran.

Names are read some time after the touch. Ruby frees compiled code in garbage collections only, those of ``eval`` and of
templates soon. The VM counts its collections. Code was there at an earlier moment if no collection has begun since, if
it has survived more collections than there were since (up to three, in its flags), if it was old then and is the same
now in all that can be compared, or if the same code was read there before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.ruby import layouts as at
from tracer.stacks.languages.ruby.iseqs import OLD, Iseq, Method
from tracer.stacks.languages.ruby.process import Ruby
from tracer.stacks.target.reader import Reader

_MOST_SAMPLES, _MOST_THINGS = 256, 100_000


Thing = Union[Iseq, Method]


@dataclass(frozen=True)
class Seen:
    """What was at its address from ``since_ns`` to ``until_ns`` (CLOCK_MONOTONIC), as far as is known.

    ``others``: something else was ever seen there.
    """

    thing: Thing
    since_ns: int
    until_ns: int
    others: bool = False


class Ages:
    """What is known of the collections of one process, and of its code."""

    def __init__(self, reader: Reader, ruby: Ruby) -> None:
        self._reader, self._vm, self._layout = reader, ruby.vm, ruby.layout
        self._samples: list[tuple[int, int]] = []
        self._seen: dict[int, Seen] = {}
        self._swept: dict[int, tuple[int, int]] = {}
        self._changing: set[int] = set()
        self.unsure = True
        """Whether a thing was met, since this was set back, of which it is not known how old it is."""

    def sample(self, ns: int) -> None:
        """Note how often the collector ran up to ``ns``, which is now. Of use for later touches."""
        count = self._collections()
        if count is not None:
            self._samples.append((ns, count))
            del self._samples[:-_MOST_SAMPLES]

    def sweep(self, ns: int, found: Mapping[int, int]) -> None:
        """At ``ns`` all this was old: ``known_by`` of :data:`Thing` by address."""
        fresh = {}
        for address, known_by in found.items():
            before = self._swept.get(address)
            if before is None or before[0] != known_by:
                if before is not None:
                    self._changing.add(address)
                before = (known_by, ns)
            fresh[address] = before
        self._swept = fresh

    def known(self, address: int) -> Optional[Seen]:
        """What was last seen at ``address``."""
        return self._seen.get(address)

    def see(self, thing: Thing, survived: int, ns: int) -> Seen:
        """``thing`` was there at ``ns``, and has survived at least so many collections. Call it after the reading."""
        since = min(self._by_collections(survived, ns), self._by_sweep(thing, survived, ns))
        before = self._seen.get(thing.address)
        if before is not None and before.thing == thing:
            since = min(since, before.since_ns)
        elif before is not None:
            self._changing.add(thing.address)
        self.unsure = self.unsure or since == ns
        if len(self._seen) >= _MOST_THINGS:
            self._seen.clear()
        seen = self._seen[thing.address] = Seen(thing, since, ns, thing.address in self._changing)
        return seen

    def _by_sweep(self, thing: Thing, survived: int, ns: int) -> int:
        """The time of the first sweep since which the same old thing was found there, and nothing else ever."""
        known_by, swept_ns = self._swept.get(thing.address, (0, ns))
        is_same = known_by == thing.known_by and known_by and survived >= OLD and thing.address not in self._changing
        return swept_ns if is_same else ns

    def _by_collections(self, survived: int, ns: int) -> int:
        """The time of the first sample after which there were not enough collections to bring other code there."""
        count = self._collections(even_marking=True)
        if count is None:
            return ns
        least = count - survived
        return next((taken for taken, number in self._samples if number > least or number == count), ns)

    def _collections(self, even_marking: bool = False) -> Optional[int]:
        """How often the collector began; None if unreadable, or if it is marking: then it may yet free more."""
        try:
            objspace = self._reader.pointer(self._vm + self._layout.objspace)
            mode = self._reader.unsigned(objspace + at.GC_FLAGS, 4) & at.GC_MODE_MASK
            count = self._reader.pointer(objspace + self._layout.collections)
        except MemoryUnreadable:
            return None
        return None if mode == at.GC_MODE_MARKING and not even_marking else count
