"""One look at a heap: who holds these sockets? It scans until every answer is verified, or a limit is met."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tracer.model.holder import LOST, Held, Limits, Lineage, Missing, SocketAt
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.memory import Memory, OutOfTime
from tracer.stacks.languages.java.heap.onescan import OneScan
from tracer.stacks.languages.java.heap.opened import Heap
from tracer.stacks.languages.java.heap.vm import NoHeap
from tracer.stacks.languages.java.layout import MissingTables
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense


def look(process: Process, library: Mapping, wanted: Sequence[SocketAt], limits: Limits) -> Held:
    """Who holds ``wanted`` in the JVM whose libjvm is mapped as ``library``. Never raises."""
    if process.memory is None:
        return Held(note="its memory may not be read")
    look_at = _Look(wanted, limits)
    memory = Memory(process.memory, time.process_time() + limits.seconds)
    try:
        look_at.at(Heap(process, library.start, memory))
    except NoHeap as why:
        return look_at.held(str(why))
    except OutOfTime:
        return look_at.held(f"looking at its heap took more than {limits.seconds:g} s of CPU")
    except MissingTables as missing:
        return look_at.held(f"this JVM's tables do not have {missing}")
    except (MemoryUnreadable, Nonsense, IndexError) as error:
        gone = not process.same_program()
        return look_at.held("it ended while its heap was looked at" if gone else f"its heap could not be read: {error}")
    return look_at.held("")


class _Look:
    def __init__(self, wanted: Sequence[SocketAt], limits: Limits) -> None:
        self._limits = limits
        self._found: dict[SocketAt, Lineage] = {}
        self._once: dict[SocketAt, int] = {}
        self._left = list(dict.fromkeys(wanted))
        self._bytes = self._scans = 0
        self._collector = ""

    def at(self, heap: Heap) -> None:
        """Scan until nothing is left that another scan may find. Raises as OneScan does, and NoHeap."""
        self._collector = heap.collector
        while self._left and self._scans < self._limits.scans:
            spaces = heap.spaces.now()
            self._bytes = sum(space.top - space.bottom for space in spaces)
            if self._bytes > self._limits.heap_bytes:
                used, most = (size / (1 << 30) for size in (self._bytes, self._limits.heap_bytes))
                raise NoHeap(f"it uses {used:.1f} GB of heap, more than {most:.1f} GB")
            self._scans += 1
            scan = OneScan(heap, spaces, self._left)
            again = []
            for socket in self._left:
                lineage = self._found[socket] = self._sure(socket, scan.lineage(socket))
                once_more = scan.moved and lineage.missing is not None and lineage.missing not in LOST
                if lineage.missing is Missing.MOVED or once_more or self._once.get(socket) == self._scans:
                    again.append(socket)
            self._left = again

    def _sure(self, socket: SocketAt, lineage: Lineage) -> Lineage:
        """That nothing refers to it is said if two scans say so: a program may hand it from one holder to the next."""
        if lineage.missing not in LOST or socket in self._once:
            return lineage
        self._once[socket] = self._scans
        return Lineage(socket.fd, missing=Missing.UNFOUND)

    def held(self, note: str) -> Held:
        """All that was found."""
        return Held(tuple(self._found.values()), note, self._bytes, self._scans, self._collector)
