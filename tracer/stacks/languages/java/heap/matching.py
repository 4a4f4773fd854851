"""The descriptor objects of the sockets that are looked for, among all that a scan noted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tracer.model.holder import SocketAt
from tracer.stacks.languages.java.heap.opened import Heap
from tracer.stacks.languages.java.heap.scan import Noted


def match(heap: Heap, noted: Noted, wanted: Sequence[SocketAt]) -> dict[SocketAt, dict[int, int]]:
    """For each socket the addresses of FileDescriptor objects, each with that of a socket object that owns it.

    There is one if all is well. The owner is open and has the socket's ports.
    """
    numbers = {socket.fd for socket in wanted}
    by_number: dict[int, list[int]] = defaultdict(list)
    for address in noted.descriptors.tolist():
        number = heap.sockets.number(address)
        if number in numbers:
            by_number[number].append(address)
    owners = _owners(heap, noted, [address for found in by_number.values() for address in found])
    return {socket: _agreeing(heap, socket, by_number[socket.fd], owners) for socket in wanted}


def _agreeing(heap: Heap, socket: SocketAt, addresses: Sequence[int], owners: dict[int, set[int]]) -> dict[int, int]:
    found = {}
    for address in addresses:
        owner = next((one for one in owners.get(address, ()) if heap.sockets.agrees(one, socket)), None)
        if owner is not None:
            found[address] = owner
    return found


def _owners(heap: Heap, noted: Noted, descriptors: Sequence[int]) -> dict[int, set[int]]:
    """The socket objects that refer to each of these descriptor objects."""
    content = heap.content
    owns = np.array([bool(klass.address) and heap.sockets.owns(klass) for klass in content.classes])
    places = np.flatnonzero(owns[noted.indices])
    children = content.decoded(noted.children[places]).tolist()
    parents = content.decoded(noted.parents[places]).tolist()
    sought = set(descriptors)
    found: dict[int, set[int]] = defaultdict(set)
    for child, parent in zip(children, parents):
        if child in sought:
            found[child].add(parent)
    return found
