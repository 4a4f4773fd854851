"""Exactly how one object refers to another, as it is now: the name of the reference, and what has to be true for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Callable, Optional

import numpy as np

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.layout import Attributes
from tracer.stacks.languages.cpython.heap.live import GENERAL, LOWEST, SPLIT, Fact, Live, is_more, is_word
from tracer.stacks.languages.cpython.heap.names import NAMES, shown_key
from tracer.stacks.languages.cpython.heap.types import Kind, TypeInfo, Types
from tracer.stacks.target.reader import Nonsense

COUNT_MASK, MOST_REFERENCES = 0xFFFF_FFFF_FFFF, 1 << 32
_READ_BYTES = 1 << 20
_MOST_WORDS, _MOST_VARIABLES, _MOST_BLOCKS = 1 << 26, 2000, 1 << 16
_TAGS = 3
ELEMENT = "[]"
DICT = "__dict__"
CLASS = "__class__"


@dataclass(frozen=True)
class Step:
    """The object at ``holder``, of type ``info``, refers to the one at ``held``.

    ``field`` is an attribute, ``[]``, or ``+24`` where there is no name. ``function``: the holder is a function's
    frame or a function, and this is its name; ``file`` its file. ``key``: the text of a dict's key, which is shown only
    if it is the name of an attribute. ``class_name``: the holder is a class, and this is its name.
    """

    holder: int
    info: TypeInfo
    held: int
    field: str
    facts: tuple[Fact, ...]
    function: str = ""
    file: str = ""
    key: str = ""
    class_name: str = ""


@dataclass(frozen=True)
class _Way:
    field: str
    facts: tuple[Fact, ...] = ()
    function: str = ""
    file: str = ""
    key: str = ""


def alive(address: int, info: TypeInfo) -> tuple[Fact, ...]:
    """What is true of an object of this type that lives."""
    return (
        is_word(address + at.TYPE, info.address),
        Fact(address, 1, MOST_REFERENCES, COUNT_MASK),
    )


class Steps:
    """Raises MemoryUnreadable and Nonsense."""

    def __init__(self, live: Live, types: Types) -> None:
        self._live, self._types, self._reader = live, types, live.reader
        self._parts: dict[Kind, Callable[[int, TypeInfo, int], Iterator[_Way]]] = {
            Kind.DICT: self._in_dict,
            Kind.LIST: self._in_list,
            Kind.TUPLE: self._in_tuple,
            Kind.SET: self._in_set,
            Kind.DEQUE: self._in_deque,
            Kind.GENERATOR: self._in_generator,
            Kind.FRAME: self._in_frame_object,
        }

    def find(self, holder: int, held: int) -> Optional[Step]:
        """How ``holder`` refers to ``held``; None if it does not."""
        info = self._types.of(holder)
        if info is None:
            return None
        way = next(self._ways(holder, info, held), None)
        if way is None:
            return None
        function, file = way.function, way.file
        if info.name == "function":
            function, file = self._live.where(self._reader.pointer(holder + at.FUNCTION_CODE))
        of_class = self._types.at(holder) if info.kind is Kind.TYPE else None
        name = of_class.full_name if of_class is not None else ""
        return Step(holder, info, held, way.field, (*alive(holder, info), *way.facts), function, file, way.key, name)

    def attribute(self, holder: int, name: str) -> Optional[Step]:
        """The attribute of this name; None if there is none."""
        info = self._types.of(holder)
        if info is None:
            return None
        for address, field, facts in self._values(holder, info):
            if field == name:
                return Step(holder, info, address, name, (*alive(holder, info), *facts))
        for offset, field in self._types.members(info).items():
            if field == name and offset > 0:
                value = self._reader.pointer(holder + offset)
                return Step(holder, info, value, name, (*alive(holder, info), is_word(holder + offset, value)))
        dictionary, facts = self._dictionary(holder, info)
        if dictionary:
            for entry in self._live.entries(dictionary):
                if self._is_text(entry.key, name):
                    return Step(holder, info, entry.value, name, (*alive(holder, info), *facts, *entry.facts))
        return None

    def elements(self, holder: int, most: int) -> list[Step]:
        """All that a list, a deque, a set, a tuple or a dict has, at most so many."""
        info = self._types.of(holder)
        if info is None:
            return []
        steps = []
        for address in self._contents(holder, info, most):
            step = self.find(holder, address)
            if step is not None:
                steps.append(step)
        return steps

    def _contents(self, holder: int, info: TypeInfo, most: int) -> list[int]:
        read = self._live.words
        if info.kind is Kind.LIST:
            count, items = read(holder + at.SIZE, 2)
            return list(read(items, min(count, most)))
        if info.kind is Kind.TUPLE:
            return list(read(holder + self._live.layout.tuple_items, min(self._reader.pointer(holder + at.SIZE), most)))
        if info.kind is Kind.SET:
            mask, table = self._reader.pointer(holder + at.SET_MASK), self._reader.pointer(holder + at.SET_TABLE)
            return [key for key in read(table, 2 * min(mask + 1, most))[::2] if key > LOWEST]
        if info.kind is Kind.DEQUE:
            return [word for place, words in self._blocks(holder) for word in words][:most]
        if info.kind is Kind.DICT:
            return [entry.value for _, entry in zip(range(most), self._live.entries(holder))]
        return []

    def _ways(self, holder: int, info: TypeInfo, held: int) -> Iterator[_Way]:
        if held == info.address:
            yield _Way(CLASS)
        for value, name, facts in self._values(holder, info):
            if value == held:
                yield _Way(name, facts)
        dictionary, facts = self._dictionary(holder, info)
        if dictionary == held:
            yield _Way(DICT, facts)
        part = self._parts.get(info.kind)
        if part is not None:
            yield from part(holder, info, held)
        if info.kind not in (Kind.GENERATOR, Kind.FRAME):
            yield from self._in_words(holder, info, held)

    def _values(self, holder: int, info: TypeInfo) -> Iterator[tuple[int, str, tuple[Fact, ...]]]:
        """The attributes that are kept without a dict."""
        found = self._value_place(holder, info)
        if found is None:
            return
        start, count, facts = found
        kind, base, _ = self._live.keys(info.cached_keys)
        for index, value in enumerate(self._live.words(start, count)):
            if value:
                key = self._live.key(base, kind, index)
                yield value, self._live.text(key), (*facts, is_word(start + 8 * index, value))

    def _value_place(self, holder: int, info: TypeInfo) -> Optional[tuple[int, int, tuple[Fact, ...]]]:
        if not info.managed or info.cached_keys <= LOWEST:
            return None
        form, count = self._live.layout.attributes, min(self._live.keys(info.cached_keys)[2], 64)
        if form is Attributes.INLINE:
            start = holder + info.basic
            head = self._reader.read(start, 8) if info.inline else bytes(8)
            if head[3] != 1:
                return None
            return start + 8, min(count, head[0]), (Fact(start, 1 << 24, 1 << 24, 0xFF << 24),)
        place = holder - (32 if form is Attributes.APART else 24)
        word = self._reader.pointer(place)
        if form is Attributes.TAGGED:
            return (word + 1, count, (is_word(place, word),)) if word & 1 else None
        return (word, count, (is_word(place, word),)) if word else None

    def _dictionary(self, holder: int, info: TypeInfo) -> tuple[int, tuple[Fact, ...]]:
        """The object's ``__dict__``, 0 if it has none (yet)."""
        place = 0
        if info.kind is Kind.TYPE:
            place = holder + at.TYPE_DICT
        elif info.managed:
            place = holder - 24
        elif info.dict_offset > 0:
            place = holder + info.dict_offset
        elif info.dict_offset < 0 and info.item == 8:
            place = holder + info.basic + 8 * self._reader.pointer(holder + at.SIZE) + info.dict_offset
        if not place:
            return 0, ()
        word = self._reader.pointer(place)
        tagged = info.managed and self._live.layout.attributes is Attributes.TAGGED and word & 1
        return (0, ()) if tagged else (word, (is_word(place, word),))

    def _in_words(self, holder: int, info: TypeInfo, held: int) -> Iterator[_Way]:
        first = {Kind.DICT: at.DICT_END, Kind.LIST: at.LIST_END, Kind.SET: at.SET_END, Kind.DEQUE: at.DEQUE_END}
        if info.kind is Kind.TUPLE:
            return
        start = first.get(info.kind, 16)
        members = self._types.members(info)
        for index in self._places(holder + start, max(info.basic - start, 0) // 8, held):
            offset = start + 8 * index
            name = members.get(offset) or NAMES.get((info.name, offset)) or f"+{offset}"
            yield _Way(name, (is_word(holder + offset, held),))
        if info.item == 8 and info.kind is Kind.PLAIN:
            count = min(self._reader.pointer(holder + at.SIZE), 4096)
            for index in self._places(holder + info.basic, count, held):
                yield _Way(ELEMENT, (is_word(holder + info.basic + 8 * index, held),))

    def _places(self, address: int, count: int, held: int, width: int = 1) -> Iterator[int]:
        """Where among ``count`` words, of which every ``width``-th counts, there is this one."""
        if not 0 <= count <= _MOST_WORDS:
            raise Nonsense(f"{count} words")
        for first in range(0, count, _READ_BYTES // 8 // width * width):
            some = min(count - first, _READ_BYTES // 8 // width * width)
            words = np.frombuffer(self._reader.read(address + 8 * first, 8 * some), dtype=np.uint64)
            for index in np.flatnonzero(words[::width] == np.uint64(held)).tolist():
                yield first + index * width

    def _in_list(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        count, items = self._live.words(holder + at.SIZE, 2)
        for index in self._places(items, count, held):
            place = items + 8 * index
            facts = (is_word(holder + at.LIST_ITEMS, items), is_word(place, held), is_more(holder + at.SIZE, index))
            yield _Way(ELEMENT, facts)

    def _in_tuple(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        count = self._reader.pointer(holder + at.SIZE)
        for index in self._places(holder + self._live.layout.tuple_items, count, held):
            yield _Way(ELEMENT, (is_word(holder + self._live.layout.tuple_items + 8 * index, held),))

    def _in_set(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        mask, table = self._reader.pointer(holder + at.SET_MASK), self._reader.pointer(holder + at.SET_TABLE)
        for index in self._places(table, 2 * (mask + 1), held, 2):
            yield _Way(ELEMENT, (is_word(holder + at.SET_TABLE, table), is_word(table + 8 * index, held)))

    def _blocks(self, holder: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The parts of a deque's blocks that are in use: address and words."""
        count, block = self._live.words(holder + at.DEQUE_SIZE, 2)
        index = self._reader.pointer(holder + at.DEQUE_INDEX)
        if index >= at.DEQUE_BLOCK or count > _MOST_WORDS:
            raise Nonsense("a deque that is none")
        for _ in range(_MOST_BLOCKS):
            some = min(at.DEQUE_BLOCK - index, count)
            if some <= 0:
                return
            place = block + 8 + 8 * index
            yield place, self._live.words(place, some)
            block, index, count = self._reader.pointer(block + 8 + 8 * at.DEQUE_BLOCK), 0, count - some

    def _in_deque(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        left, before = self._reader.pointer(holder + at.DEQUE_LEFT), 0
        index = self._reader.pointer(holder + at.DEQUE_INDEX)
        facts: tuple[Fact, ...] = (is_word(holder + at.DEQUE_LEFT, left), is_word(holder + at.DEQUE_INDEX, index))
        for place, words in self._blocks(holder):
            for number, word in enumerate(words):
                if word == held:
                    more = is_more(holder + at.DEQUE_SIZE, before + number)
                    yield _Way(ELEMENT, (*facts, is_word(place + 8 * number, held), more))
            before += len(words)
            after = (place & ~7) + 8 * len(words)
            link = self._reader.pointer(after)
            facts = (*facts, is_word(after, link))

    def _in_dict(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        keys, values = self._live.words(holder + at.DICT_KEYS, 2)
        kind, base, count = self._live.keys(keys)
        facts = (is_word(holder + at.DICT_KEYS, keys),)
        if kind == SPLIT or values:
            start = values + self._live.layout.split_values
            for index in self._places(start, min(count, 64), held):
                more = (is_word(holder + at.DICT_VALUES, values), is_word(start + 8 * index, held))
                yield self._entry(self._live.key(base, kind, index), (*facts, *more))
            return
        width = 3 if kind == GENERAL else 2
        for index in self._places(base + 8 * (width - 1), width * count - (width - 1), held, width):
            place = base + 8 * (width - 1) + 8 * index
            key = self._reader.pointer(place - 8)
            yield self._entry(key, (*facts, is_word(place - 8, key), is_word(place, held)))
        if kind == GENERAL:
            for index in self._places(base + 8, width * count - 1, held, width):
                place = base + 8 + 8 * index
                value = self._reader.pointer(place + 8)
                if value:
                    yield _Way("{key}", (*facts, is_word(place, held), is_word(place + 8, value)))

    def _entry(self, key: int, facts: tuple[Fact, ...]) -> _Way:
        try:
            info = self._types.of(key)
            text = self._live.text(key) if info is not None and info.name == "str" else ""
        except (MemoryUnreadable, Nonsense):
            text = ""
        return _Way(shown_key(text), facts, key=text)

    def _is_text(self, key: int, name: str) -> bool:
        try:
            return self._live.text(key) == name
        except (MemoryUnreadable, Nonsense):
            return False

    def _in_generator(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        layout = self._live.layout
        state = self._reader.read(holder + layout.state, 1)[0]
        frame = holder + layout.frame
        top = self._stack_top(frame)
        if state not in layout.alive or not 0 <= top <= _MOST_VARIABLES:
            return
        place, shift = holder + (layout.state & ~7), 8 * (layout.state & 7)
        facts = (Fact(place, state << shift, state << shift, 0xFF << shift),)
        for way in self.in_frame(frame, top, held):
            yield replace(way, facts=(*facts, *way.facts, self._is_below_top(frame, way.facts[-1].address)))

    def _is_below_top(self, frame: int, place: int) -> Fact:
        """The frame, which does not run, has so many values that the one at ``place`` is one of them."""
        layout = self._live.layout
        if layout.tagged:
            return is_more(frame + layout.stacktop, place)
        return Fact(frame + layout.stacktop, (place - frame - layout.variables) // 8 + 1, _MOST_VARIABLES, 0xFFFF_FFFF)

    def _stack_top(self, frame: int) -> int:
        """How many values a frame has that does not run."""
        layout = self._live.layout
        if layout.tagged:
            return (self._reader.pointer(frame + layout.stacktop) - frame - layout.variables) // 8
        return int(struct.unpack("<i", self._reader.read(frame + layout.stacktop, 4))[0])

    def _in_frame_object(self, holder: int, _info: TypeInfo, held: int) -> Iterator[_Way]:
        frame = self._reader.pointer(holder + at.FRAME_OF_OBJECT)
        code = self._reader.pointer(frame + self._code_place) & ~_TAGS
        count = self._reader.unsigned(code + self._live.layout.variable_count, 4)
        for way in self.in_frame(frame, min(count, _MOST_VARIABLES), held):
            yield replace(way, facts=(is_word(holder + at.FRAME_OF_OBJECT, frame), *way.facts))

    @property
    def _code_place(self) -> int:
        return 32 if self._live.layout.attributes is Attributes.APART else 0

    def in_frame(self, frame: int, count: int, held: int) -> Iterator[_Way]:
        """In a frame, whose first ``count`` values count."""
        layout = self._live.layout
        word = self._reader.pointer(frame + self._code_place)
        code = word & ~_TAGS
        function, file = self._live.where(code)
        facts = (is_word(frame + self._code_place, word),)
        for value in (held, held | 1) if layout.tagged else (held,):
            for index in self._places(frame + layout.variables, count, value):
                place = frame + layout.variables + 8 * index
                name = self._live.variable(code, index) or ""
                yield _Way(name, (*facts, is_word(place, value)), function, file)
        if self._reader.pointer(frame + layout.locals) == held:
            yield _Way("locals()", (*facts, is_word(frame + layout.locals, held)), function, file)
