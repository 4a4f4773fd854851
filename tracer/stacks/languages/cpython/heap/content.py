"""References of many objects of one type at a time, with numpy, from memory as it was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.layout import Attributes, HeapLayout
from tracer.stacks.languages.cpython.heap.live import GENERAL, SPLIT, TEXT_KEYS
from tracer.stacks.languages.cpython.heap.memory import MOST_WORDS, Array, Memory
from tracer.stacks.languages.cpython.heap.types import Kind, TypeInfo

_MOST_ENTRIES, _MOST_VALUES, _MOST_VARIABLES, _MOST_PLAIN_ITEMS = 1 << 26, 64, 2000, 4096
_MOST_PLAIN_BYTES = 4096
_MOST_BLOCKS = 1 << 14
_TAGS = 3
_ENDS = {
    Kind.DICT: at.DICT_END,
    Kind.LIST: at.LIST_END,
    Kind.SET: at.SET_END,
    Kind.DEQUE: at.DEQUE_END,
    Kind.PLAIN: 16,
}
"""Where the part ends that is the same in all objects of a kind: what follows is looked at word by word."""
Found = Iterator[tuple[Array, Array]]
"""Which of the objects, and a word that may refer to another."""


class Content:
    """Raises OutOfTime and TooLarge."""

    def __init__(self, memory: Memory, layout: HeapLayout) -> None:
        self._memory, self._layout = memory, layout

    def references(self, info: TypeInfo, objects: Array) -> Found:
        """Of objects of this type, at these positions, whatever they may refer to."""
        kind = info.kind
        if kind is Kind.GENERATOR:
            yield from self._generator(objects)
            return
        if kind is Kind.FRAME:
            yield from self._frame_object(objects)
            return
        yield from self._contents(kind, objects)
        if kind is not Kind.TUPLE:
            yield from self._plain(objects, _ENDS.get(kind, 16), info)
        yield from self._attributes(objects, info)

    def _contents(self, kind: Kind, objects: Array) -> Found:
        if kind is Kind.DICT:
            return self._dict(objects)
        if kind is Kind.LIST:
            return self._list(objects)
        if kind is Kind.TUPLE:
            return self._tuple(objects)
        if kind is Kind.SET:
            return self._set(objects)
        return self._deque(objects) if kind is Kind.DEQUE else iter(())

    def owned(self, info: TypeInfo, objects: Array, places: Sequence[int]) -> Found:
        """Those references that objects of this type are known to own. ``places`` are offsets of some.

        Values inside an object may be shared with its dict, so those of a dict that has values apart are left out.
        """
        if info.kind in (Kind.LIST, Kind.TUPLE, Kind.SET):
            yield from self._contents(info.kind, objects)
        elif info.kind is Kind.DICT:
            own = self._memory.take(objects + at.DICT_VALUES) == 0
            some = np.flatnonzero(own | (self._layout.attributes is not Attributes.INLINE))
            for which, words in self._dict(objects[some]):
                yield some[which], words
        for offset in places:
            yield np.arange(len(objects)), self._memory.take(objects + offset)
        yield from self._attributes(objects, info)

    def _plain(self, objects: Array, first: int, info: TypeInfo) -> Found:
        offsets = np.arange(first, min(info.basic, _MOST_PLAIN_BYTES) - 7, 8)
        many = max(MOST_WORDS // max(len(offsets), 1), 1)
        for begin in range(0, len(objects) if len(offsets) else 0, many):
            some = np.arange(begin, min(begin + many, len(objects)))
            words = self._memory.take((objects[some][:, None] + offsets).ravel())
            yield np.repeat(some, len(offsets)), words
        if info.item == 8 and info.kind is Kind.PLAIN:
            counts = self._memory.take(objects + at.SIZE).astype(np.int64)
            yield from self._items(objects + info.basic, np.clip(counts, 0, _MOST_PLAIN_ITEMS))

    def _items(self, starts: Array, counts: Array) -> Found:
        for which, positions in self._memory.arrays(starts, counts):
            yield which, self._memory.take(positions)

    def _pointed(self, objects: Array, offset: int) -> tuple[Array, Array]:
        words = self._memory.take(objects + offset)
        return self._memory.locate(words)

    def _list(self, objects: Array) -> Found:
        items, inside = self._pointed(objects, at.LIST_ITEMS)
        counts = self._memory.take(objects + at.SIZE).astype(np.int64)
        yield from self._items(items, np.where(inside & (counts < _MOST_ENTRIES), counts, 0))

    def _tuple(self, objects: Array) -> Found:
        counts = self._memory.take(objects + at.SIZE).astype(np.int64)
        yield from self._items(objects + self._layout.tuple_items, np.where(counts < _MOST_ENTRIES, counts, 0))

    def _set(self, objects: Array) -> Found:
        table, inside = self._pointed(objects, at.SET_TABLE)
        counts = self._memory.take(objects + at.SET_MASK).astype(np.int64) + 1
        counts = np.where(inside & (counts < _MOST_ENTRIES), counts, 0)
        for which, positions in self._memory.arrays(table, 2 * counts):
            keys = (positions - table[which]) % 16 == 0
            yield which[keys], self._memory.take(positions[keys])

    def _deque(self, objects: Array) -> Found:
        """All that is in its blocks: more than it has, as places that were left are not cleared. Finding is exact."""
        which = np.arange(len(objects))
        blocks, inside = self._pointed(objects, at.DEQUE_LEFT)
        left = self._memory.take(objects + at.DEQUE_SIZE).astype(np.int64)
        left += self._memory.take(objects + at.DEQUE_INDEX).astype(np.int64)
        for _ in range(_MOST_BLOCKS):
            going = inside & (left > 0) & (left < _MOST_ENTRIES)
            if not going.any():
                return
            which, blocks, left = which[going], blocks[going], left[going]
            for owner, words in self._items(blocks + 8, np.minimum(left, at.DEQUE_BLOCK)):
                yield which[owner], words
            left = left - at.DEQUE_BLOCK
            blocks, inside = self._pointed(blocks, 8 + 8 * at.DEQUE_BLOCK)

    def _dict(self, objects: Array) -> Found:
        keys, inside = self._pointed(objects, at.DICT_KEYS)
        head = self._memory.take(keys + 8)
        log, kind = (head >> np.uint64(8)).astype(np.int64) & 0xFF, (head >> np.uint64(16)).astype(np.int64) & 0xFF
        counts = self._memory.take(keys + at.KEYS_COUNT).astype(np.int64)
        counts = np.where(inside & (counts > 0) & (counts < _MOST_ENTRIES), counts, 0)
        entries = keys + at.KEYS_END + (np.int64(1) << np.minimum(log, 40))
        for form, width in ((GENERAL, 3), (TEXT_KEYS, 2)):
            some = np.flatnonzero((kind == form) & (counts > 0))
            for which, positions in self._memory.arrays(entries[some], counts[some] * width):
                place = (positions - entries[some][which]) // 8 % width
                wanted = place > 0
                yield some[which[wanted]], self._memory.take(positions[wanted])
        some = np.flatnonzero((kind == SPLIT) & (counts > 0))
        if len(some):
            values, inside = self._pointed(objects[some], at.DICT_VALUES)
            counts = np.where(inside, np.minimum(counts[some], _MOST_VALUES), 0)
            for which, words in self._items(values + self._layout.split_values, counts):
                yield some[which], words

    def _generator(self, objects: Array) -> Found:
        layout = self._layout
        states = self._memory.take(objects + (layout.state & ~7)) >> np.uint64(8 * (layout.state & 7))
        alive = np.isin(states & np.uint64(0xFF), np.array(sorted(layout.alive), dtype=np.uint64))
        variables = objects + layout.frame + layout.variables
        if layout.tagged:
            tops, _ = self._pointed(objects, layout.frame + layout.stacktop)
            tops = (tops - variables) >> 3
        else:
            tops = self._memory.take(objects + layout.frame + layout.stacktop).astype(np.int64) & 0xFFFFFFFF
        counts = np.where(alive & (tops >= 0) & (tops < _MOST_VARIABLES), tops, 0)
        yield from self._variables(variables, counts)
        yield np.arange(len(objects)), self._memory.take(objects + layout.frame + layout.locals)

    def _variables(self, starts: Array, counts: Array) -> Found:
        for which, words in self._items(starts, counts):
            yield which, words & ~np.uint64(1) if self._layout.tagged else words

    def _frame_object(self, objects: Array) -> Found:
        frames, inside = self._pointed(objects, at.FRAME_OF_OBJECT)
        code, known = self._memory.locate(self._memory.take(frames + self._code_offset) & ~np.uint64(_TAGS))
        counts = self._memory.take(code + (self._layout.variable_count & ~7))
        counts = counts >> np.uint64(8 * (self._layout.variable_count & 7))
        counts = (counts & np.uint64(0xFFFFFFFF)).astype(np.int64)
        counts = np.where(inside & known & (counts < _MOST_VARIABLES), counts, 0)
        yield from self._variables(frames + self._layout.variables, counts)

    @property
    def _code_offset(self) -> int:
        return 32 if self._layout.attributes is Attributes.APART else 0

    def _attributes(self, objects: Array, info: TypeInfo) -> Found:
        which = np.arange(len(objects))
        if info.dict_offset < 0 and not info.managed and info.item == 8:  # 3.11: behind the items of a tuple
            counts = np.clip(self._memory.take(objects + at.SIZE).astype(np.int64), 0, 1 << 20)
            yield which, self._memory.take(objects + info.basic + 8 * counts + info.dict_offset)
        if not info.managed:
            return
        form = self._layout.attributes
        if form is Attributes.APART:
            values, inside = self._pointed(objects, -32)
            yield from self._items(values, np.where(inside, info.values, 0))
            yield which, self._memory.take(objects - 24)
        elif form is Attributes.TAGGED:
            words = self._memory.take(objects - 24)
            has_values = words & np.uint64(1) == 1
            values, inside = self._memory.locate(words + np.uint64(1))
            yield from self._items(values, np.where(inside & has_values, info.values, 0))
            yield which, np.where(has_values, np.uint64(0), words)
        else:
            yield which, self._memory.take(objects - 24)
            if info.inline:
                head = self._memory.take(objects + info.basic)
                valid = (head >> np.uint64(24)) & np.uint64(0xFF) == 1
                yield from self._items(
                    objects + info.basic + 8, np.where(valid, (head & np.uint64(0xFF)).astype(np.int64), 0)
                )
