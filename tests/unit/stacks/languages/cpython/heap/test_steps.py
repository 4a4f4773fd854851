"""How one object refers to another, in memory that is written by hand. Oracle: what was written."""

from __future__ import annotations

import pytest

from tests.unit.stacks.languages.cpython.heap.image import GC, HEAP_TYPE, MANAGED, Image, steps_of
from tracer.stacks.languages.cpython.heap.steps import ELEMENT, Step, Steps


@pytest.fixture
def image() -> Image:
    return Image()


@pytest.fixture
def thing(image: Image) -> int:
    """What is referred to."""
    return image.object(image.object_type, 16, {})


def field(steps: Steps, holder: int, held: int) -> str:
    step = steps.find(holder, held)
    return step.field if step is not None else "none"


def holds(image: Image, step: Step) -> bool:
    return all(fact.least <= image.get(fact.address) & fact.mask <= fact.most for fact in step.facts)


def test_an_attribute_among_values_has_its_name(image: Image, thing: int) -> None:
    """The keys of the type name the values of its objects."""
    kind = image.make_type("Session", 16, flags=HEAP_TYPE | GC | MANAGED, keys=("before", "sock"))
    step = steps_of(image).find(image.instance(kind, [0, thing]), thing)
    assert step is not None
    assert (step.field, step.info.full_name) == ("sock", "shop.Session")


def test_the_dict_of_an_object_is_a_step_of_its_own(image: Image, thing: int) -> None:
    """From the dict to the value is one step, from the object to its dict another."""
    kind = image.make_type("Session", 16, flags=HEAP_TYPE | GC | MANAGED)
    dictionary = image.make_dict([(image.text("sock"), thing)])
    steps = steps_of(image)
    assert field(steps, image.instance(kind, [], dictionary), dictionary) == "__dict__"
    assert field(steps, dictionary, thing) == "[sock]"


def test_an_attribute_is_found_by_its_name(image: Image, thing: int) -> None:
    """Among values as in a dict."""
    kind = image.make_type("Session", 16, flags=HEAP_TYPE | GC | MANAGED, keys=("sock",))
    steps = steps_of(image)
    in_dict = image.instance(kind, [], image.make_dict([(image.text("sock"), thing)]))
    for holder in (image.instance(kind, [thing]), in_dict):
        step = steps.attribute(holder, "sock")
        assert step is not None
        assert step.held == thing
    assert steps.attribute(in_dict, "other") is None


def test_a_list_has_only_what_its_size_says(image: Image, thing: int) -> None:
    """list.pop leaves the reference behind the end."""
    steps = steps_of(image)
    assert field(steps, image.make_list([0, thing], 2), thing) == ELEMENT
    assert field(steps, image.make_list([0, thing], 1), thing) == "none"


@pytest.mark.parametrize(("first", "size", "expected"), [(0, 3, ELEMENT), (0, 2, "none"), (3, 1, "none")])
def test_a_deque_has_only_what_is_between_its_ends(
    first: int, size: int, expected: str, image: Image, thing: int
) -> None:
    """deque.popleft and deque.pop leave the reference in the block."""
    other = image.object(image.object_type, 16, {})
    deque = image.make_deque([other, other, thing, other], first, size)
    assert field(steps_of(image), deque, thing) == expected


def test_a_set_has_keys_and_no_hashes(image: Image, thing: int) -> None:
    """A hash that looks like the object is not taken for it."""
    table = image.room(16 * 8)
    image.put(table, 0, thing, thing, 5)
    holder = image.object(image.set_type, 200, {32: 7, 40: table})
    step = steps_of(image).find(holder, thing)
    assert step is not None
    assert any(fact.address == table + 16 for fact in step.facts)


def test_a_tuple_has_its_items(image: Image, thing: int) -> None:
    """They follow its size."""
    holder = image.object(image.tuple_type, 40, {16: 2, 24: 0, 32: thing})
    assert field(steps_of(image), holder, thing) == ELEMENT


def test_a_key_that_may_be_data_is_not_shown(image: Image, thing: int) -> None:
    """Identifiers and hosts are, anything else is not."""
    steps = steps_of(image)
    for key, shown in (
        ("billing", "[billing]"),
        ("token 5f2e", "[]"),
        ("http://db.example:80", "[http://db.example:80]"),
    ):
        assert field(steps, image.make_dict([(image.text(key), thing)]), thing) == shown


def test_each_step_says_what_has_to_be_true(image: Image, thing: int) -> None:
    """Whatever is changed of what led there, one fact says so."""
    steps = steps_of(image)
    for holder in (
        image.make_list([thing], 1),
        image.make_dict([(image.text("key"), thing)]),
        image.make_deque([thing], 0, 1),
    ):
        step = steps.find(holder, thing)
        assert step is not None

        assert holds(image, step)
        for fact in step.facts:
            before = image.get(fact.address)
            image.put(fact.address, 0)
            assert not holds(image, step) or before == 0
            image.put(fact.address, before)


@pytest.mark.parametrize("references", [0, 0x7F12_3456_7890])
def test_an_object_that_was_freed_is_no_holder(references: int, image: Image, thing: int) -> None:
    """Its reference count is 0, or a link to other free memory."""
    holder = image.make_list([thing], 1)
    image.put(holder, references)
    step = steps_of(image).find(holder, thing)
    assert step is not None
    assert not holds(image, step)


def test_what_has_no_type_has_no_references(image: Image, thing: int) -> None:
    """An object whose type word leads to no type is not looked into."""
    holder = image.object(image.room(400), 48, {24: thing})
    assert steps_of(image).find(holder, thing) is None
