"""Whether nothing at all refers to an object: every reference counts, and what is not known is not passed over."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.unit.stacks.languages.java.heap.invented import BOTTOM, FORMS, Invented
from tracer.stacks.languages.java.heap.content import HIDDEN, Content
from tracer.stacks.languages.java.heap.spaces import Space
from tracer.stacks.languages.java.heap.words import Words


@pytest.fixture(params=FORMS)
def heap(request: pytest.FixtureRequest) -> Invented:
    return Invented(FORMS[request.param])


def _hiding(heap: Invented, *names: str) -> Content:
    made = Content(heap.oops, heap.classes)
    made.use([[(at, HIDDEN if klass.name in names else 0) for at in klass.references] for klass in made.classes])
    return made


def test_hidden_references_count_at_last(heap: Invented) -> None:
    """They lead to no holder, but to what is not lost."""
    descriptor, loader, plain = heap.klass("java.io.FileDescriptor"), heap.klass("Loader", 1), heap.klass("Plain", 1)
    held, lost = heap.put(descriptor), heap.put(descriptor)
    root = heap.put(plain, heap.put(loader, held))
    content = _hiding(heap, "Loader")
    reach = heap.reach(content, heap.noted(content, descriptor))
    reach.roots(heap.stored(content, root))
    both = heap.stored(content, held, lost)
    assert reach.reached(both).tolist() == [False, False]
    steps = len(reach.steps())
    reach.all(heap.stored(content))
    assert reach.reached(both).tolist() == [True, False]
    assert reach.complete
    assert len(reach.steps()) == steps
    heap.close()


def test_an_object_that_is_not_known_leaves_it_open(heap: Invented) -> None:
    """Its class was loaded meanwhile: what it refers to is not known."""
    descriptor, plain = heap.klass("java.io.FileDescriptor"), heap.klass("Plain", 1)
    lost = heap.put(descriptor)
    root = heap.put(plain)
    content = heap.content()
    later = heap.klass("Later", 1)
    stranger = heap.put(later, lost)
    reach = heap.reach(content, heap.noted(content, descriptor))
    reach.all(heap.stored(content, root))
    assert reach.complete
    reach.all(heap.stored(content, stranger))
    assert not reach.complete
    heap.close()


def test_an_object_that_is_larger_than_what_is_read_leaves_it_open(heap: Invented) -> None:
    """Some of its references are not seen."""
    descriptor, large = heap.klass("java.io.FileDescriptor"), heap.klass("Large", 300)
    one = heap.put(large, heap.put(descriptor))
    content = heap.content()
    reach = heap.reach(content, heap.noted(content, descriptor))
    reach.all(heap.stored(content, one))
    assert not reach.complete
    heap.close()


def test_watched_objects_are_met() -> None:
    """Those that the scan had not noted, as they are reached."""
    heap = Invented(FORMS["narrow"])
    descriptor, chunk = heap.klass("java.io.FileDescriptor"), heap.klass("Chunk")
    one = heap.put(chunk)
    content = heap.content()
    reach = type(heap.reach(content, heap.noted(content, descriptor)))(
        heap.memory(), content, heap.noted(content, descriptor), heap.stored(content), [content.index[chunk.address]]
    )
    reach.all(heap.stored(content, one))
    assert content.decoded(reach.met()).tolist() == [one]
    heap.close()


def test_words_that_may_be_references(heap: Invented) -> None:
    """Whole addresses always; halves where references are short. Other numbers are none."""
    plain = heap.klass("Plain", 1)
    one, other = heap.put(plain), heap.put(plain)
    content = heap.content()
    words = Words(heap.memory(), content, [Space(BOTTOM, heap.top)])
    short = struct.unpack("<Q", struct.pack("<II", 7, heap.reference(other) & 0xFFFFFFFF))[0]
    found = words.objects(np.array([one, short, 12345, one + 4, heap.top, 0], dtype=np.uint64))
    assert found.tolist() == ([one, other] if heap.oops.size == 4 else [one])
    heap.close()
