"""One look at a heap: who holds these sockets? It walks until every answer is verified, or a limit is met."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from tracer.model.holder import Held, Limits, Lineage, Missing, SocketAt
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.heap.memory import KEPT_BYTES, Memory, OutOfTime, TooLarge
from tracer.stacks.languages.cpython.heap.onescan import OneScan
from tracer.stacks.languages.cpython.heap.opened import Heap
from tracer.stacks.languages.cpython.process import Unfit
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense

_FEW_BYTES = 16 << 20
_REPEATS = 3
"""How often a walk from few roots follows sockets that have moved, before all is walked again."""
_STRANGE = "the transports of this version of uvloop are not known, and they have its sockets"
_ENDED = "it ended while its heap was looked at"


def look(process: Process, wanted: Sequence[SocketAt], limits: Limits) -> Held:
    """Who holds ``wanted`` in the Python process ``process``. Never raises."""
    if process.memory is None:
        return Held(note="its memory may not be read")
    look_at = _Look(process, wanted, limits)
    try:
        look_at.at(Heap(process))
    except (Unfit, TooLarge) as why:
        return look_at.held(str(why) if process.same_program() else _ENDED)
    except OutOfTime:
        return look_at.held(f"looking at its heap took more than {limits.seconds:g} s of CPU")
    except MemoryError:
        return look_at.held("its heap has more objects than can be remembered")
    except (MemoryUnreadable, Nonsense, IndexError, struct.error) as error:
        return look_at.held(f"its heap could not be read: {error}" if process.same_program() else _ENDED)
    return look_at.held("")


class _Look:
    def __init__(self, process: Process, wanted: Sequence[SocketAt], limits: Limits) -> None:
        self._process, self._limits = process, limits
        self._until_cpu_s = time.process_time() + limits.seconds
        self._found: dict[SocketAt, Lineage] = {}
        self._left = list(dict.fromkeys(wanted))
        self._bytes = self._scans = 0
        self._version = ""
        self._is_strange = False
        self._lost: set[SocketAt] = set()
        """Sockets that the last walk found to be held by nothing: it is said when two walks agree."""

    def at(self, heap: Heap) -> None:
        """Walk until nothing is left that another walk may find. Raises as OneScan does."""
        self._version = f"CPython 3.{heap.minor}"
        while self._left and self._scans < self._limits.scans:
            if self._scans:
                self._process.refresh()
            self._scans += 1
            self._once(heap)

    def _once(self, heap: Heap) -> None:
        scan = OneScan(heap, self._memory(heap, KEPT_BYTES), self._left)
        lost = scan.lost(lambda: self._memory(heap, _FEW_BYTES))
        self._bytes = scan.memory.bytes_used
        self._is_strange |= scan.is_strange
        self._tell(scan, self._left)
        for _ in range(_REPEATS):
            moved = [socket for socket in self._left if self._found[socket].missing is Missing.MOVED]
            if not moved:
                break
            scan.again(moved, self._memory(heap, _FEW_BYTES))
            self._tell(scan, moved)
        for socket in lost & self._lost:
            self._found[socket] = Lineage(socket.fd, missing=Missing.UNREACHABLE)
        again = (Missing.MOVED, Missing.UNFOUND)
        self._left = [socket for socket in self._left if self._found[socket].missing in again]
        self._lost = lost

    def _tell(self, scan: OneScan, sockets: Sequence[SocketAt]) -> None:
        for socket in sockets:
            scan.memory.check()
            lineage = scan.lineage(socket)
            if lineage.missing is not Missing.UNFOUND or self._found.get(socket) is None:
                self._found[socket] = lineage

    def _memory(self, heap: Heap, kept_bytes: int) -> Memory:
        assert self._process.memory is not None
        most = self._limits.heap_bytes
        return Memory(self._process.memory, heap.regions(), self._until_cpu_s, most, kept_bytes)

    def held(self, note: str) -> Held:
        """All that was found. That there is no object is not said where objects are of an unknown form."""
        found = tuple(self._found.values())
        if self._is_strange:
            found = tuple(one for one in found if one.missing is not Missing.NO_OBJECT)
        note = note or (_STRANGE if self._is_strange else "")
        return Held(found, note, self._bytes, self._scans, self._version)
