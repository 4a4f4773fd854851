"""Events that a collector has not taken yet. They wait for it in bounded memory, and each leaves once it was taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

MOST_WAITING = 1000
_MOST_BYTES = 4 << 20
_BATCH, _BATCH_BYTES = 100, 1 << 20
"""Of one request: collectors take 4 MB by gRPC."""
_OVERHEAD = 1000


class _Waiting(NamedTuple):
    record: Any
    size: int


class Outbox:
    """One thread puts events in, and another one takes them out to send them."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._count = self._bytes = 0
        """Of all that was not taken yet, also of a batch that is being sent."""
        self._most = _BATCH
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    @property
    def room(self) -> int:
        """For how many events there is room. Who finds none tells of them later."""
        with self._lock:
            return MOST_WAITING - self._count if self._bytes < _MOST_BYTES else 0

    def add(self, records: Sequence[Any], sizes: Sequence[int]) -> None:
        """Leave events; ``sizes`` are the bytes of their texts."""
        several = [_Waiting(record, size + _OVERHEAD) for record, size in zip(records, sizes)]
        with self._lock:
            self._waiting.extend(several)
            self._count += len(several)
            self._bytes += sum(one.size for one in several)

    def take(self) -> list[_Waiting]:
        """The next events, as many as one request may have; none if nothing waits."""
        with self._lock:
            batch: list[_Waiting] = []
            room = _BATCH_BYTES
            while self._waiting and len(batch) < self._most and (not batch or self._waiting[0].size <= room):
                batch.append(self._waiting.popleft())
                room -= batch[-1].size
            return batch

    def done(self, batch: Sequence[_Waiting], *, taken: bool) -> None:
        """What became of a batch. One that was not taken comes back behind the others, and the next one is smaller.

        So an event that a collector always refuses is alone in the end, and keeps nothing from its way.
        """
        with self._lock:
            if taken:
                self._most = min(2 * self._most, _BATCH)
                self._count -= len(batch)
                self._bytes -= sum(one.size for one in batch)
            else:
                self._most = max(self._most // 2, 1)
                self._waiting.extend(batch)
