"""Since when a code object has been at its address: it must have been there at the touch to be the one that ran.

Names are read some time after the touch. Code objects of modules live as long as the process, but those of exec,
eval, templates and reloaded modules do not. The allocator gives their memory to the next one, which looks the same.

Two things tell. Since 3.12 a code object has a version, from a counter that only rises (3.13 and later show it): one
whose version is below what the counter was at some moment was made before that moment, and objects do not move.
Otherwise: the same function was at the same address before, and nothing else ever as far as was seen. What is part of
the interpreter's file (frozen modules) is there for good.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, Optional

from tracer.stacks.languages.cpython.code import Code

_MOST_SAMPLES = 256
_MOST_CODES = 100_000


@dataclass(frozen=True)
class Seen:
    """A code object that was at its address from ``since_ns`` to ``until_ns`` (CLOCK_MONOTONIC), as far as is known.

    ``others``: at other times other ones were seen there.
    """

    code: Code
    since_ns: int
    until_ns: int
    others: bool


class Ages:
    """What is known of the code objects of one process, and of its counter.

    ``lasts`` tells whether what is at an address is part of a file.
    """

    def __init__(self, lasts: Callable[[int], bool] = lambda _address: False) -> None:
        self._lasts = lasts
        self._times: list[int] = []
        self._counts: list[int] = []
        self._seen: dict[int, Seen] = {}
        self._swept: dict[int, tuple[int, int]] = {}
        self._swept_ns = 0
        self._changing: set[int] = set()
        self.unsure = False
        """Whether a code object was met, since this was set back, of which it is not known how old it is."""

    def sample(self, ns: int, count: int) -> None:
        """The counter was ``count`` at ``ns``. Samples come in the order of time."""
        if count and (not self._counts or count > self._counts[-1]):
            self._times.append(ns)
            self._counts.append(count)
            del self._times[:-_MOST_SAMPLES], self._counts[:-_MOST_SAMPLES]

    def sweep(self, ns: int, found: Mapping[int, int]) -> None:
        """At ``ns`` all these code objects were there: :attr:`Code.known_by` by address."""
        fresh = {}
        for address, known_by in found.items():
            before = self._swept.get(address)
            is_same = before is not None and before[0] == known_by
            fresh[address] = before if before is not None and is_same else (known_by, ns)
            if before is not None and not is_same:
                self._changing.add(address)
        self._swept, self._swept_ns = fresh, ns

    def inherit(self, parent: Ages, ns: int) -> bool:
        """Take over what ``parent`` tells of the time up to ``ns``, the fork. True if its memory had been swept."""
        count = bisect_right(parent._times, ns)
        self._times, self._counts = parent._times[:count], parent._counts[:count]
        self._seen = {address: seen for address, seen in parent._seen.items() if seen.until_ns <= ns}
        self._changing = set(parent._changing)
        if not 0 < parent._swept_ns <= ns:
            return False
        self._swept, self._swept_ns = parent._swept, parent._swept_ns
        return True

    def known(self, address: int) -> Optional[Seen]:
        """What was last seen at ``address``."""
        return self._seen.get(address)

    def see(self, code: Code, ns: int) -> Seen:
        """``code`` was there at ``ns`` and somewhat later."""
        before = self._seen.get(code.address)
        if before is not None and before.code != code:
            self._changing.add(code.address)
        since = 0 if self._lasts(code.address) else min(self._by_memory(code, before, ns), self._by_version(code, ns))
        self.unsure = self.unsure or since == ns
        if len(self._seen) >= _MOST_CODES:
            self._seen.clear()
        seen = self._seen[code.address] = Seen(code, since, ns, code.address in self._changing)
        return seen

    def _by_version(self, code: Code, ns: int) -> int:
        index = bisect_right(self._counts, code.version)
        return self._times[index] if code.version and index < len(self._times) else ns

    def _by_memory(self, code: Code, before: Optional[Seen], ns: int) -> int:
        """A code object with a version is the same if all is equal; others only if they seem to be there for good."""
        known_by, swept_ns = self._swept.get(code.address, (0, ns))
        if known_by != code.known_by:
            if known_by:
                self._changing.add(code.address)
            swept_ns = ns
        made = code.file.startswith("<") and not code.file.startswith("<frozen ")
        if not code.version and (made or code.address in self._changing):
            return ns
        return min(swept_ns, before.since_ns if before is not None and before.code == code else ns)
