"""What a scan notes and what is reached from roots, on invented heaps in all forms of headers and references."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.unit.stacks.languages.java.heap.invented import BOTTOM, FORMS, Invented
from tracer.stacks.languages.java.heap import scan as scanning
from tracer.stacks.languages.java.heap.memory import CHUNK_BYTES, Memory, OutOfTime
from tracer.stacks.languages.java.heap.spaces import Space


@pytest.fixture(params=sorted(FORMS))
def heap(request: pytest.FixtureRequest) -> Iterator[Invented]:
    made = Invented(FORMS[request.param])
    yield made
    made.close()


def reached(heap: Invented, root: int, *addresses: int, weak: tuple[str, ...] = ()) -> list[bool]:
    """Which of these are reached from the root."""
    content = heap.content(weak)
    noted = heap.noted(content, heap.classes[0])
    reach = heap.reach(content, noted)
    reach.roots(heap.stored(content, root))
    found = []
    for address in addresses:
        found += reach.reached(heap.stored(content, address)).tolist()
    return found


def test_a_scan_notes_objects_and_their_references(heap: Invented) -> None:
    """With the place of each reference."""
    descriptor, holder = heap.klass("java.io.FileDescriptor"), heap.klass("Holder", 2)
    held = heap.put(descriptor)
    owner = heap.put(holder, 0, held)
    content = heap.content()
    noted = heap.noted(content, descriptor)
    assert noted.descriptors.tolist() == [held]
    assert content.decoded(noted.parents).tolist() == [owner]
    assert content.decoded(noted.children).tolist() == [held]
    assert noted.offsets.tolist() == [holder.references[1]]


def test_objects_across_the_end_of_a_chunk_are_whole(heap: Invented) -> None:
    """Wherever the chunk ends within them."""
    descriptor, holder = heap.klass("java.io.FileDescriptor"), heap.klass("Holder", 4)
    held = heap.put(descriptor)
    owners: list[int] = []
    for before in range(8, holder.size + 16, 8):
        heap.top = max(heap.top, BOTTOM + CHUNK_BYTES * (1 + len(owners)) - before)
        owners.append(heap.put(holder, 0, 0, 0, held))
    content = heap.content()
    noted = heap.noted(content, descriptor)
    assert content.decoded(noted.parents).tolist() == owners
    assert set(content.decoded(noted.children).tolist()) == {held}


def test_what_is_too_many_is_read_when_something_reachable_has_it(
    heap: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of a long list are not noted, and still the list leads to its last element; dead nodes lead nowhere."""
    monkeypatch.setattr(scanning, "MANY", 100)
    descriptor, node, table = (
        heap.klass("java.io.FileDescriptor"),
        heap.klass("Node", 2),
        heap.klass("Table", array=True),
    )
    held, lost = heap.put(descriptor), heap.put(descriptor)
    heap.put(node, lost, 0)
    following = 0
    last = heap.put(node, held, 0)
    for _ in range(300):
        following = heap.put(node, 0, following or last)
    root = heap.put(table, 0, following)
    assert reached(heap, root, held, last, lost) == [True, True, False]


def test_long_arrays_and_registrations_come_last(heap: Invented) -> None:
    """And only as long as something that is looked for is not reached."""
    descriptor, selector = heap.klass("java.io.FileDescriptor"), heap.klass("Selector", 1)
    table = heap.klass("Table", array=True)
    one, other = heap.put(descriptor), heap.put(descriptor)
    array = heap.put(table, *[0] * 20_000, one)
    registered = heap.put(selector, other)
    root = heap.put(table, array, registered)
    content = heap.content(weak=("Selector",))
    reach = heap.reach(content, heap.noted(content, descriptor))
    reach.roots(heap.stored(content, root))
    assert not reach.reached(heap.stored(content, one, other)).any()
    reach.last_resorts(heap.stored(content, one))
    assert reach.reached(heap.stored(content, one, other)).tolist() == [True, False]
    reach.last_resorts(heap.stored(content, one, other))
    assert reach.reached(heap.stored(content, one, other)).all()
    assert reach.complete


def test_no_chain_goes_through_a_thread(heap: Invented) -> None:
    """A live thread is a root of its own."""
    descriptor, thread, holder = heap.klass("java.io.FileDescriptor"), heap.klass("Thread", 1), heap.klass("H", 1)
    held = heap.put(descriptor)
    alive = heap.put(thread, held)
    root = heap.put(holder, alive)
    content = heap.content()
    reach = heap.reach(content, heap.noted(content, descriptor), alive)
    reach.roots(heap.stored(content, root))
    assert not reach.reached(heap.stored(content, held, alive)).any()
    reach.roots(heap.stored(content, alive))
    assert reach.reached(heap.stored(content, held)).all()


def test_an_object_that_was_moved_away_is_not_looked_into(heap: Invented) -> None:
    """Its mark ends in 11 and has its new address."""
    descriptor, holder, table = heap.klass("java.io.FileDescriptor"), heap.klass("H", 1), heap.klass("T", array=True)
    held = heap.put(descriptor)
    heap.put(holder, held)
    root = heap.put(table, 0)
    content = heap.content()
    noted = heap.noted(content, descriptor)
    fresh = heap.put(table, held)  # after the scan, so it is read when it is reached
    heap.put(table, fresh, at=root)
    reach = heap.reach(content, noted)
    os.pwrite(heap.descriptor, (3).to_bytes(1, "little"), fresh)
    reach.roots(heap.stored(content, root))
    assert reach.reached(heap.stored(content, fresh)).all()
    assert not reach.reached(heap.stored(content, held)).any()


def test_memory_that_cannot_be_read_is_passed_over() -> None:
    """The file ends before the space does: what is behind is zeros, and the scan goes on to its end."""
    heap = Invented(FORMS["narrow"])
    descriptor = heap.klass("java.io.FileDescriptor")
    heap.put(descriptor)
    os.ftruncate(heap.descriptor, BOTTOM + 4096)
    content = heap.content()
    spaces = [Space(BOTTOM, BOTTOM + (3 << 20))]
    noted = scanning.scan(heap.memory(), content, spaces, content.index[descriptor.address])
    assert noted.descriptors.tolist() == [BOTTOM]
    heap.close()


def test_time_that_is_over_ends_it() -> None:
    """Before the next chunk is read."""
    heap = Invented(FORMS["narrow"])
    descriptor = heap.klass("java.io.FileDescriptor")
    heap.put(descriptor)
    content = heap.content()
    with pytest.raises(OutOfTime):
        scanning.scan(
            Memory(heap.descriptor, -1.0), content, [Space(BOTTOM, heap.top)], content.index[descriptor.address]
        )
    heap.close()
