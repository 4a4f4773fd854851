"""One walk through all objects, and the chains that it shows for the sockets that are looked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Callable, Optional

import numpy as np

from tracer.model.holder import Lineage, Missing, SocketAt
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython import is_own_file
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.content import Content
from tracer.stacks.languages.cpython.heap.lost import lost
from tracer.stacks.languages.cpython.heap.memory import Memory
from tracer.stacks.languages.cpython.heap.numbers import Strange
from tracer.stacks.languages.cpython.heap.opened import Heap
from tracer.stacks.languages.cpython.heap.roots import Anchor, Origin
from tracer.stacks.languages.cpython.heap.rules import HOLDERS, RULES, Rule, ends
from tracer.stacks.languages.cpython.heap.steps import COUNT_MASK, MOST_REFERENCES, Step
from tracer.stacks.languages.cpython.heap.told import Own, links_of, root_of
from tracer.stacks.languages.cpython.heap.types import TypeInfo
from tracer.stacks.languages.cpython.heap.walk import Walk
from tracer.stacks.target.reader import Nonsense

_MOST_LINKS, _MOST_HOLDERS = 5000, 10_000


class OneScan:
    """Walks when it is made. Raises OutOfTime, TooLarge, MemoryUnreadable and Nonsense."""

    def __init__(self, heap: Heap, memory: Memory, wanted: Sequence[SocketAt]) -> None:
        self._heap, self.memory = heap, memory
        self._anchors: list[Anchor] = []
        self._modules = heap.roots.modules()
        self._own = Own({module.name for module in self._modules if module.own}, is_own_file)
        self._of_program = Own({module.name for module in self._modules if module.of_program}, heap.roots.of_program)
        self._walk = self._new_walk(memory)
        self._follow_all()
        self._wanted = wanted
        self.is_strange = False
        """Whether transports of uvloop were met that have their numbers elsewhere."""
        self._ends: dict[int, tuple[Rule, int, list[Step]]] = {}
        self._note_found()
        self._by_number = self._sockets({socket.fd for socket in wanted})

    def _new_walk(self, memory: Memory) -> Walk:
        heap = self._heap
        walk = Walk(memory, Content(memory, heap.layout), heap.types, HOLDERS, heap.leaves)
        walk.bar([*heap.roots.module_tables, *(module.globals for module in self._modules), *heap.lookalikes])
        return walk

    def _note_found(self) -> None:
        self._nodes = {self._walk.object(node): node for node in self._walk.sockets}
        self._ends.clear()
        self._apply_rules()

    def again(self, sockets: Collection[SocketAt], memory: Memory) -> None:
        """Walk once more, from those roots alone that led to these sockets: that takes far less time.

        ``memory`` has nothing in it yet. What was found of other sockets is forgotten.
        """
        places = [self._by_number.get(socket.fd, [0])[0] for socket in sockets]
        roots = {self._walk.path(self._nodes[place])[1] for place in places if place in self._nodes}
        self._walk = self._new_walk(memory)
        if roots:
            numbers = sorted(roots, reverse=True)
            self._walk.follow([self._anchors[-number - 1].word for number in numbers], numbers)
            self._walk.follow_late()
        self._note_found()

    def _follow_all(self) -> None:
        """Those roots first that tell most of the program."""
        roots = self._heap.roots
        variables: list[Anchor] = []
        slots: list[Anchor] = []
        for thread, frame in roots.frames():
            for anchor in roots.of_frame(thread, frame):
                (slots if anchor.origin is Origin.SLOT else variables).append(anchor)
        self._from(self._globals(own=True))
        self._from(anchor for anchor in variables if anchor.own)
        self._from(self._globals(own=False, of_program=True))
        self._from(anchor for anchor in variables if anchor.of_program and not anchor.own)
        for module in self._modules:
            self._from(roots.tasks(module) if module.name == "asyncio.tasks" else ())
        self._from(anchor for anchor in variables if not (anchor.own or anchor.of_program))
        self._from(self._globals(own=False))
        self._from(roots.of_threads())
        greenlets = [info.address for info in self._heap.types.met() if info.is_greenlet]
        if greenlets:
            self._from(anchor for place in self._of_types(greenlets) for anchor in roots.of_greenlet(place))
        self._walk.follow_late()
        self._from(slots)

    def _globals(self, own: bool, of_program: bool = False) -> Iterator[Anchor]:
        for module in self._modules:
            if module.own is own and (own or module.of_program is of_program):
                yield from self._heap.roots.of_module(module)

    def _from(self, anchors: Iterable[Anchor]) -> None:
        words, numbers = [], []
        for anchor in anchors:
            self._anchors.append(anchor)
            words.append(anchor.word)
            numbers.append(-len(self._anchors))
        if words:
            self._walk.follow(words, numbers)

    def _of_types(self, types: Sequence[int]) -> list[int]:
        """The addresses of whatever has one of these types, of what lives and of what was freed."""
        found = []
        for start, words in self.memory.chunks():
            for one in types:
                found += [start + 8 * place - at.TYPE for place in np.flatnonzero(words == np.uint64(one)).tolist()]
        return found

    def _sockets(self, numbers: set[int]) -> dict[int, list[int]]:
        """All objects that live with one of these descriptors, reached or not. A transport's own socket goes first."""
        types = {info.address: info for info in self._heap.types.met() if info.has_number}
        found: dict[int, list[int]] = defaultdict(list)
        for address in {*self._of_types(sorted(types)), *self._nodes}:
            try:
                number = self._number(address, types)
            except MemoryUnreadable:
                continue
            if number in numbers:
                found[number].append(address)
        for number, places in found.items():
            found[number] = [one for one in places if not self._has_other(one, places)]
        return found

    def _number(self, address: int, types: Mapping[int, TypeInfo]) -> Optional[int]:
        """The descriptor of the object at ``address``, if one of these types lives there. Raises MemoryUnreadable."""
        references, kind = self._heap.live.words(address, 2)
        if kind not in types or not 0 < references & COUNT_MASK <= MOST_REFERENCES:
            return None
        if address not in self._nodes and not self._heap.known.is_kept(address):
            return None
        try:
            return self._heap.numbers.number(address, types[kind])
        except Strange:
            self.is_strange = True
            return None

    def _has_other(self, address: int, places: Sequence[int]) -> bool:
        """Whether this is a transport that was given a socket object, which is one of the others."""
        try:
            info = self._heap.types.of(address)
            is_transport = info is not None and info.is_transport
            return is_transport and any(self._heap.steps.find(address, one) for one in places if one != address)
        except (MemoryUnreadable, Nonsense):
            return False

    def _apply_rules(self) -> None:
        """Which connections are said to be idle or leased, by which object."""
        for rule in RULES:
            for node in self._walk.found.get(rule.holder, ())[:_MOST_HOLDERS]:
                for way in ends(rule, self._heap.steps, self._walk.object(node)):
                    self._ends.setdefault(way[-1].held, (rule, node, way[::-1]))

    def lost(self, memory: Callable[[], Memory]) -> set[SocketAt]:
        """Those that nothing holds but cycles of references. ``memory`` makes one that has nothing in it yet."""
        places = {socket: self._by_number.get(socket.fd, []) for socket in self._wanted}
        unreached = {socket: found[0] for socket, found in places.items() if len(found) == 1}
        unreached = {
            socket: place
            for socket, place in unreached.items()
            if place not in self._nodes and self._agrees(socket, place)
        }
        if not unreached:
            return set()
        try:
            alone = lost(self._heap, memory(), self._walk, unreached.values())
        except (MemoryUnreadable, Nonsense, MemoryError):
            return set()
        return {socket for socket, place in unreached.items() if place in alone}

    def lineage(self, socket: SocketAt) -> Lineage:
        """The verified chain of one socket, or why there is none."""
        found = self._by_number.get(socket.fd, [])
        if len(found) != 1:
            return Lineage(socket.fd, missing=Missing.AMBIGUOUS if found else Missing.NO_OBJECT)
        if not self._agrees(socket, found[0]):
            return Lineage(socket.fd, missing=Missing.DIFFERENT)
        node = self._nodes.get(found[0])
        if node is None:
            return Lineage(socket.fd, missing=Missing.UNFOUND)
        for addresses, way, root, rule in self._candidates(node):
            try:
                told = self._told(socket, addresses, way, root, rule)
            except (MemoryUnreadable, Nonsense):
                told = None
            if told is not None:
                return told
        return Lineage(socket.fd, missing=Missing.MOVED)

    def _agrees(self, socket: SocketAt, address: int) -> bool:
        try:
            info = self._heap.types.of(address)
            return info is not None and self._heap.numbers.agrees(socket, address, info)
        except MemoryUnreadable:
            return False

    def _candidates(self, node: int) -> Iterator[tuple[list[int], list[Step], int, Optional[Rule]]]:
        """The chain that a rule tells most of, then the nearest one: objects, the rule's steps behind them, the root.

        The objects of the first one are in two parts: up to what the rule is about, and from its holder on.
        """
        addresses, root = self._walk.path(node)
        for index, address in enumerate(addresses):
            if address in self._ends:
                rule, holder, way = self._ends[address]
                rest, root_of_holder = self._walk.path(holder)
                yield [*addresses[: index + 1], *rest], way, root_of_holder, rule
                break
        yield addresses, [], root, None

    def _told(
        self, socket: SocketAt, addresses: list[int], way: list[Step], root: int, rule: Optional[Rule]
    ) -> Optional[Lineage]:
        """The chain in words if it is true now."""
        if len(addresses) > _MOST_LINKS:
            return None
        verifier, anchor = self._heap.verifier, self._anchors[-root - 1]
        steps = verifier.steps(addresses) if not way else self._around(addresses, way)
        if steps is None or not self._are_objects(steps) or not verifier.holds(socket, addresses[0], steps, anchor):
            return None
        info = self._heap.types.of(addresses[0])
        first = self._heap.numbers.step(socket, addresses[0], info) if info is not None else None
        steps = steps if first is None else [first, *steps]
        name = self._heap.live.text(anchor.name) if anchor.name else ""
        library, use = (rule.library, rule.use) if rule is not None else ("", None)
        links, anchored = links_of(steps, self._own), root_of(anchor, name, anchor.own)
        if not anchored.own and not any(link.own for link in links):
            links, anchored = links_of(steps, self._of_program), root_of(anchor, name, anchor.of_program)
        return Lineage(socket.fd, links, anchored, library, use, beside=self._heap.beside)

    def _are_objects(self, steps: Iterable[Step]) -> bool:
        """Whether all holders are objects. What only looks like one is never passed through again."""
        lookalikes = {step.holder for step in steps if not self._heap.known.is_object(step.holder, step.info)}
        self._heap.lookalikes |= lookalikes
        return not lookalikes

    def _around(self, addresses: list[int], way: list[Step]) -> Optional[list[Step]]:
        """The steps below what a rule is about, the rule's own, and those above its holder."""
        verifier = self._heap.verifier
        end = addresses.index(way[0].held)
        below, above = verifier.steps(addresses[: end + 1]), verifier.steps(addresses[end + 1 :])
        return None if below is None or above is None else [*below, *way, *above]
