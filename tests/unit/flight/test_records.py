"""The table of records as user space reads it: memory made here as the kernel side would leave it."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.flight import layout
from tracer.flight.records import Records, SuspectEntry

BUCKETS, SPARE = 5, 2
FIRST_SK = 0xFFFF888012340000


class Crowded:
    """The hash of the few whose buckets are full."""

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}

    def lookup(self, key: bytes) -> Optional[bytes]:
        place = self.places.get(key)
        return None if place is None else struct.pack("<I", place)


class Table:
    """Inserts and deletes as bpf/table.h does it, in the words of that file."""

    def __init__(self) -> None:
        self.buckets = [layout.Bucket() for _ in range(BUCKETS + SPARE)]
        self.marks = [layout.Marks() for _ in range(BUCKETS + SPARE)]
        self.records = [layout.Record() for _ in range((BUCKETS + SPARE) * layout.WAYS)]
        self.crowded = Crowded()
        self.spare = list(range(BUCKETS * layout.WAYS, len(self.records)))

    def probes(self, sk: int) -> list[layout.Bucket]:
        product = sk * layout.SPREAD & (1 << 64) - 1
        high, low = product >> 32, product & 0xFFFFFFFF
        return [self.buckets[(high + low * n) % (1 << 32) * BUCKETS >> 32] for n in range(layout.PROBES)]

    def insert(self, sk: int, suspect_ns: int = 0) -> bool:
        passed = self.probes(sk)
        for number, bucket in enumerate(passed):
            if 0 in list(bucket.keys):
                place = self.buckets.index(bucket) * layout.WAYS + list(bucket.keys).index(0)
                passed = passed[:number]
                break
        else:
            if not self.spare:
                return False
            place = self.spare.pop()
            self.crowded.places[struct.pack("<Q", sk)] = place
        for bucket in passed:
            bucket.passed += 1
        self._put(place, sk, suspect_ns)
        return True

    def _put(self, place: int, sk: int, suspect_ns: int) -> None:
        index, way = divmod(place, layout.WAYS)
        state = 8 if suspect_ns else 0
        self.records[place] = layout.Record(sk=sk, birth_ns=sk >> 4, suspect_ns=suspect_ns, suspect_state=state)
        self.buckets[index].keys[way] = sk >> 1
        self.marks[index].ways[way] = bool(suspect_ns)

    def read(self) -> Records:
        parts = tuple(memory(one) for one in (self.buckets, self.marks, self.records))
        return Records(parts, self.crowded, BUCKETS, BUCKETS + SPARE)  # type: ignore[arg-type]


def memory(items: Iterable[object]) -> mmap.mmap:
    data = b"".join(bytes(item) for item in items)  # type: ignore[call-overload]
    made = mmap.mmap(-1, len(data))
    made.write(data)
    return made


def sockets(most: int) -> st.SearchStrategy[list[int]]:
    """Addresses of one slab."""
    return st.lists(st.integers(0, 5000), max_size=most, unique=True).map(lambda ns: [FIRST_SK + 64 * n for n in ns])


@given(sockets(21))
def test_every_record_is_found_and_nothing_else(sks: list[int]) -> None:
    """Also where all buckets of an address are full: one bucket and the spare ones have room for so many."""
    table = Table()
    assert [table.insert(sk) for sk in sks] == [True] * len(sks)
    records = table.read()
    assert [layout.Record.of(records.lookup(sk) or b"").sk for sk in sks] == sks
    assert sorted(layout.Record.of(data).sk for data in records) == sorted(sks)
    assert records.lookup(FIRST_SK + 64 * 5001) is None
    records.close()


@given(sockets(21))
def test_suspects_are_those_that_are_marked(sks: list[int]) -> None:
    """With the time since when they are, their birth, and the place where their record is found at once."""
    table = Table()
    for number, sk in enumerate(sks):
        assert table.insert(sk, suspect_ns=number % 3)
    records = table.read()
    expected = {SuspectEntry(sk, sk >> 4, number % 3, 8) for number, sk in enumerate(sks) if number % 3}
    found = records.suspects()
    assert {one._replace(place=None) for one in found} == expected
    for one in found:
        assert one.place is not None
        assert records.at(one.place, one.sk) == records.lookup(one.sk)
    records.close()


def test_a_place_that_was_given_to_another_socket_is_not_read() -> None:
    """Between the look at the bucket and the record the kernel side may have been there."""
    table = Table()
    assert table.insert(FIRST_SK, suspect_ns=5)
    (place,) = (at for at, record in enumerate(table.records) if record.sk)
    table.records[place].sk = FIRST_SK + 64
    records = table.read()
    assert records.lookup(FIRST_SK) is None
    assert records.at(place, FIRST_SK) is None
    assert records.suspects() == []
    assert list(records) == []
    records.close()


def test_a_socket_that_is_gone_has_no_record_at_its_place() -> None:
    """Its bytes stay there until another socket gets the place. What tells that it is gone is the key in the bucket."""
    table = Table()
    assert table.insert(FIRST_SK, suspect_ns=5)
    records = table.read()
    (suspect,) = records.suspects()
    assert suspect.place is not None
    records.close()
    table.buckets[suspect.place // layout.WAYS].keys[suspect.place % layout.WAYS] = 0
    records = table.read()
    assert records.at(suspect.place, FIRST_SK) is None
    assert records.lookup(FIRST_SK) is None
    records.close()


@pytest.mark.parametrize("freed", ["key", "state"])
def test_a_mark_alone_makes_no_suspect(freed: str) -> None:
    """It is set after what the record says, and cleared before the place is given away."""
    table = Table()
    assert table.insert(FIRST_SK, suspect_ns=5)
    if freed == "key":
        table.buckets = [layout.Bucket() for _ in table.buckets]
    else:
        for record in table.records:
            record.suspect_state = 0
    records = table.read()
    assert records.suspects() == []
    records.close()
