"""One scan of a heap, and the chains that it shows for the sockets that are looked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from tracer.model.holder import Lineage, Missing, Root, RootKind, SocketAt, Use
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.chain import Step
from tracer.stacks.languages.java.heap.classes import Klass
from tracer.stacks.languages.java.heap.content import FLAGS, Array
from tracer.stacks.languages.java.heap.lost import unreferenced
from tracer.stacks.languages.java.heap.matching import match
from tracer.stacks.languages.java.heap.near import near
from tracer.stacks.languages.java.heap.opened import Heap
from tracer.stacks.languages.java.heap.parked import Parked, ParkedSlot
from tracer.stacks.languages.java.heap.policy import DESCRIPTOR, THREAD
from tracer.stacks.languages.java.heap.reach import Edges, Reach
from tracer.stacks.languages.java.heap.roots import Static
from tracer.stacks.languages.java.heap.rules import Rule, use_of
from tracer.stacks.languages.java.heap.scan import scan
from tracer.stacks.languages.java.heap.spaces import Space
from tracer.stacks.languages.java.heap.stackslots import slots
from tracer.stacks.languages.java.heap.telling import Telling
from tracer.stacks.languages.java.heap.told import class_name, is_own, links_of
from tracer.stacks.languages.java.heap.words import Words
from tracer.stacks.target.reader import Nonsense

_MOST_STEPS = 100_000


@dataclass(frozen=True)
class Slot:
    """A root outside of the heap: the word at ``address`` refers to an object. ``thread`` is whose, 0 if nobody's."""

    kind: RootKind
    address: int
    thread: int = 0


Anchor = Union[Static, Slot, ParkedSlot]


class OneScan:
    """Reads the heap once when it is made. Raises OutOfTime, MissingTables, MemoryUnreadable and Nonsense."""

    def __init__(self, heap: Heap, spaces: Sequence[Space], wanted: Sequence[SocketAt]) -> None:
        self._heap, self._content = heap, heap.content
        before = heap.spaces.collections()
        always = self._content.index[heap.descriptor.address]
        self._noted = scan(heap.memory, self._content, spaces, always)
        self._descriptors = match(heap, self._noted, wanted)
        self._threads = list(heap.roots.threads())
        self._roots: dict[int, Anchor] = {}
        thread_objects = self._as_stored(thread.thread for thread in self._threads)
        self._words = Words(heap.memory, self._content, spaces)
        self._parked = Parked(heap.memory, self._content, heap.objects, self._noted)
        self._reach = Reach(heap.memory, self._content, self._noted, thread_objects, self._parked.classes)
        targets = self._as_stored(address for found in self._descriptors.values() for address in found)
        known = self._follow(thread_objects, targets)
        self._follow_parked(targets)
        self._steps = self._reach.steps()
        live = self._reach.live_edges()
        self._live = live
        self._telling = Telling(self._content, heap.classes, heap.names, live, targets, self._says)
        self._stacks: Optional[tuple[dict[int, Slot], dict[int, list[Step]]]] = None
        self._lost = self._unreferenced() if known and heap.spaces.collections() == before else frozenset()
        self.moved = before[1] or heap.spaces.collections() != before
        """Whether there was a collection meanwhile: then what was not found may be there all the same."""
        self._lost = frozenset() if self.moved else self._lost

    def _as_stored(self, addresses: Iterable[int]) -> Array:
        return self._content.encoded(np.unique(np.array(list(addresses), dtype=np.uint64)))

    def _follow(self, threads: Array, targets: Array) -> bool:
        """From all roots, those that tell most first. Whether all roots are known."""
        own: list[Static] = []
        library: list[Static] = []
        alive = set(threads.tolist())
        reference = self._heap.oops.reference
        for static in self._heap.roots.statics():
            if reference(static.refers) not in alive:
                (own if is_own(static.klass.name) else library).append(static)
        self._from_statics(own)
        for one in self._threads:
            self._roots.setdefault(reference(one.thread), Slot(RootKind.THREAD, one.slot, one.thread))
        self._reach.roots(threads)
        self._from_statics(library)
        known = True
        try:
            natives = [one for one in self._heap.roots.natives() if reference(one[1]) not in alive]
        except (MemoryUnreadable, Nonsense):
            natives, known = [], False
        for slot, address in natives:
            self._roots.setdefault(reference(address), Slot(RootKind.NATIVE, slot))
        self._reach.roots(self._as_stored(address for _, address in natives))
        self._reach.last_resorts(targets)
        if known and not self._reach.reached(targets).all():
            # No root that can be told: what a thread's native code has counts only against what nothing holds.
            self._reach.roots(self._as_stored(self._heap.roots.locals()))
        return known

    def _follow_parked(self, targets: Array) -> None:
        """From the stacks of virtual threads that wait, where nothing else leads to a socket."""
        done: set[int] = set()
        while not self._reach.reached(targets).all():
            chunks = [chunk for chunk in self._parked.chunks(self._reach) if chunk not in done]
            if not chunks:
                return
            done.update(chunks)
            ranked: dict[int, list[int]] = {}
            for address, index, slot in self._parked.slots(chunks, self._words):
                self._roots.setdefault(self._heap.oops.reference(address), slot)
                ranked.setdefault(self._telling_less(self._content.classes[index]), []).append(address)
            for _, addresses in sorted(ranked.items()):
                self._reach.roots(self._as_stored(addresses))

    def _telling_less(self, klass: Klass) -> int:
        """0 for an object of the program, 1 for one of a library, 2 for a socket's own inside, 3 for its descriptor."""
        if klass.name == DESCRIPTOR:
            return 3
        return 2 if self._heap.sockets.owns(klass) else 0 if is_own(klass.name) else 1

    def _thread_of(self, chunk: int) -> int:
        """The virtual thread whose stack the chunk is, by the way on which it was reached; 0 if it is no thread's."""
        steps, reference = self._steps, self._heap.oops.reference(chunk)
        for _ in range(_MOST_STEPS):
            at = int(np.searchsorted(steps.children, reference))
            if at == len(steps) or int(steps.children[at]) != reference:
                return 0
            step = self._step(steps, at)
            if self._heap.classes.is_a(step.klass, THREAD):
                return step.holder
            reference = int(steps.parents[at])
        return 0

    def _unreferenced(self) -> frozenset[int]:
        """The objects of the sockets to which nothing at all refers."""
        owners = []
        for found in self._descriptors.values():
            for descriptor, owner in found.items() if len(found) == 1 else ():
                if not self._reach.reached(self._as_stored([descriptor])).any():
                    owners.append(owner)
        if not owners:
            return frozenset()
        return unreferenced(self._heap, self._reach, self._words, self._parked, self._threads, owners)

    def _from_statics(self, statics: Sequence[Static]) -> None:
        for static in statics:
            self._roots.setdefault(self._heap.oops.reference(static.refers), static)
        self._reach.roots(self._as_stored(static.refers for static in statics))

    def lineage(self, socket: SocketAt) -> Lineage:
        """The verified chain of one socket, or why there is none."""
        found = self._descriptors[socket]
        if len(found) != 1:
            return Lineage(socket.fd, missing=Missing.AMBIGUOUS if found else Missing.NO_OBJECT)
        ((descriptor, owner),) = found.items()
        reference = self._heap.oops.reference(descriptor)
        tried = False
        for steps, root, rule in self._candidates(reference):
            tried = True
            told = self._verified(socket, owner, steps, root, rule)
            if told is not None:
                return told
        if tried:
            return Lineage(socket.fd, missing=Missing.MOVED)
        return self._from_stacks(socket, descriptor, owner)

    def _candidates(self, target: int) -> Iterator[tuple[list[Step], Anchor, Optional[Rule]]]:
        """The chain that a rule tells most of, then the nearest one."""
        telling = self._telling.path(target)
        if telling is not None:
            places, rule = telling
            steps = [self._step(self._live, at) for at in places]
            rest = self._to_root(int(self._live.parents[places[-1]]))
            if rest is not None:
                yield steps + rest[0], rest[1], rule
        nearest = self._to_root(target)
        if nearest is not None:
            yield nearest[0], nearest[1], None

    def _to_root(self, reference: int) -> Optional[tuple[list[Step], Anchor]]:
        steps: list[Step] = []
        children = self._steps.children
        while len(steps) < _MOST_STEPS:
            at = int(np.searchsorted(children, reference))
            if at == len(children) or int(children[at]) != reference:
                root = self._roots.get(reference)
                return (steps, root) if root is not None else None
            steps.append(self._step(self._steps, at))
            reference = int(self._steps.parents[at])
        return None

    def _step(self, edges: Edges, at: int) -> Step:
        oops = self._heap.oops
        klass = self._content.classes[int(edges.indices[at])]
        holder, held = oops.address(int(edges.parents[at])), oops.address(int(edges.children[at]))
        return Step(holder, klass, int(edges.offsets[at]) & ~FLAGS, held)

    def _verified(
        self, socket: SocketAt, owner: int, steps: list[Step], root: Anchor, rule: Optional[Rule]
    ) -> Optional[Lineage]:
        """The chain in words if it is true now: all its links, the number, the ports and that the socket is open."""
        return self._heap.verifier.steady(lambda: self._true(socket, owner, steps, root, rule))

    def _true(
        self, socket: SocketAt, owner: int, steps: list[Step], root: Anchor, rule: Optional[Rule]
    ) -> Optional[Lineage]:
        heap, use = self._heap, self._use(rule, steps)
        anchored = self._root(root, steps[-1].holder if steps else 0)
        if anchored is None or not heap.verifier.holds(steps) or self._use(rule, steps) != use:
            return None
        if heap.sockets.number(steps[0].held) != socket.fd or not heap.sockets.agrees(owner, socket):
            return None
        library = rule.library if rule is not None and use is not None else ""
        return Lineage(socket.fd, links_of(steps, heap.names), anchored, library, use)

    def _root(self, root: Anchor, outermost: int) -> Optional[Root]:
        """The root in words if it refers to the ``outermost`` object of the chain. Raises MemoryUnreadable."""
        heap = self._heap
        try:
            if isinstance(root, Static):
                step = Step(root.mirror, heap.mirror_class, root.offset, outermost)
                of_class = class_name(root.klass)
                name = f"{of_class}.{heap.names.static_name(root.klass, root.name)}"
                return Root(RootKind.STATIC, name, is_own(of_class)) if heap.verifier.holds([step]) else None
            if isinstance(root, ParkedSlot):
                thread = self._thread_of(root.chunk)
                held = thread and self._parked.holds(root, thread, outermost)
                name = heap.objects.text(heap.objects.reference(thread, "name")) if held else ""
                return Root(RootKind.PARKED, name) if held else None
            if heap.reader.pointer(root.address) != outermost:
                return None
            name = heap.objects.text(heap.objects.reference(root.thread, "name")) if root.thread else ""
            return Root(root.kind, name)
        except Nonsense:
            return None

    def _use(self, rule: Optional[Rule], steps: Sequence[Step]) -> Optional[Use]:
        """What the rule says of its holder, which is the one of its kind in the chain that is nearest to the socket."""
        if rule is None:
            return None
        holder = next((s.holder for s in steps if self._heap.classes.is_a(s.klass, rule.holder)), 0)
        return self._used(rule, holder)

    def _used(self, rule: Rule, holder: int) -> Optional[Use]:
        try:
            return use_of(rule, self._heap.objects, holder)
        except (MemoryUnreadable, Nonsense):
            return None

    def _says(self, rule: Rule, reference: int) -> bool:
        return self._used(rule, self._heap.oops.address(reference)) is not None

    def _from_stacks(self, socket: SocketAt, descriptor: int, owner: int) -> Lineage:
        """A chain up to an object that a thread's stack has; failing that, what may be said."""
        found, chains = self._look_at_stacks()
        best: Optional[tuple[list[Step], Slot]] = None
        for address, steps in chains.items():
            mine = bool(steps) and steps[0].held == descriptor
            if address in found and mine and (best is None or len(steps) > len(best[0])):
                best = steps, found[address]
        if best is not None:
            told = self._verified(socket, owner, *best, None)
            return told if told is not None else Lineage(socket.fd, missing=Missing.MOVED)
        sockets = self._heap.sockets
        lost = owner in self._lost and descriptor not in found
        if not lost or sockets.number(descriptor) != socket.fd or not sockets.agrees(owner, socket):
            return Lineage(socket.fd, missing=Missing.UNFOUND)
        collected = sockets.is_collected(owner)
        return Lineage(socket.fd, missing=Missing.UNREACHABLE if collected else Missing.ABANDONED)

    def _look_at_stacks(self) -> tuple[dict[int, Slot], dict[int, list[Step]]]:
        if self._stacks is None:
            starts = [address for found in self._descriptors.values() for address in found]
            chains = near(starts, self._reach.all_edges(), self._content, self._step)
            addresses = np.array(sorted(chains), dtype=np.uint64)
            found = slots(self._heap.memory, self._threads, addresses)
            anchors = {at: Slot(RootKind.STACK, place, one.thread) for at, (place, one) in found.items()}
            self._stacks = anchors, chains
        return self._stacks
