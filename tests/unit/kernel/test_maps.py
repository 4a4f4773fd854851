"""Map access on real BPF maps of this kernel, made here by bpf(2) itself."""

from __future__ import annotations

import ctypes as ct
import os
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracer.kernel.maps import BoxPool, Map, possible_cpus

HASH, ARRAY, PERCPU_ARRAY, STACK = 1, 2, 6, 23  # enum bpf_map_type

pytestmark = pytest.mark.root

MMAPABLE = 1 << 10
BOX = 8192 + 64

_libc = ct.CDLL(None, use_errno=True)


def create(kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    attributes = ct.create_string_buffer(struct.pack("<IIIII", kind, key, value, entries, flags), 72)
    descriptor = int(_libc.syscall(321, 0, attributes, len(attributes)))
    assert descriptor >= 0, os.strerror(ct.get_errno())
    return descriptor


@pytest.fixture
def made() -> Iterator[Callable[..., Map]]:
    descriptors: list[int] = []

    def make(kind: int, key: int, value: int, entries: int, flags: int = 0, read: int = 0) -> Map:
        descriptors.append(create(kind, key, value, entries, flags))
        return Map(descriptors[-1], key, read or value)

    yield make
    for descriptor in descriptors:
        os.close(descriptor)


Maker = Callable[..., Map]


def key(number: int) -> bytes:
    return struct.pack("<Q", number)


def test_store_and_look_up(made: Maker) -> None:
    """The plain operations of a hash, and what is not there is None."""
    table = made(HASH, 8, 24, 16)
    assert table.lookup(key(1)) is None
    assert table.update(key(1), b"a" * 24)
    assert table.update(key(1), b"b" * 24)
    assert table.lookup(key(1)) == b"b" * 24
    assert table.items() == [(key(1), b"b" * 24)]


def test_a_full_map_says_so(made: Maker) -> None:
    """A fixed-size hash refuses; the caller learns of it."""
    table = made(HASH, 8, 8, 4)
    stored = [table.update(key(n), key(n)) for n in range(64)]
    assert stored.count(True) == len(table.items()) < 64


@pytest.mark.parametrize("count", [0, 1, 7, 1023, 1024, 1025, 5000])
def test_batches_and_single_look_ups_agree(made: Maker, count: int) -> None:
    """A batch has every entry exactly once, at the batch's borders too, as single look-ups find it."""
    table = made(HASH, 8, 16, max(count, 1))
    expected = {key(n * 7919): struct.pack("<QQ", n, ~n & (1 << 64) - 1) for n in range(count)}
    for k, v in expected.items():
        assert table.update(k, v)
    by_batch = table.items()
    assert len(by_batch) == count
    assert dict(by_batch) == {k: table.lookup(k) for k in expected} == expected


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 2**64 - 2), st.binary(min_size=8, max_size=8), max_size=60), st.integers(1, 9))
def test_any_batch_size(made: Maker, content: dict[int, bytes], size: int) -> None:
    """A bucket that does not fit the batch makes it grow."""
    table = made(HASH, 8, 8, 64)
    for number, value in content.items():
        assert table.update(key(number), value)
    assert dict(table.items(size)) == {key(n): v for n, v in content.items()}


def test_a_map_that_cannot_be_read_says_why(made: Maker) -> None:
    """A stack has no keys to read in batches: the kernel's errno comes through."""
    with pytest.raises(OSError, match=r"\w+"):
        made(STACK, 0, 4, 4).items()


def test_per_cpu_values_come_from_every_cpu(made: Maker) -> None:
    """The kernel copies one value for each possible CPU, and no more than we made room for."""
    table = made(PERCPU_ARRAY, 4, 8, 2, read=8 * possible_cpus())
    values = struct.pack(f"<{possible_cpus()}Q", *range(1, possible_cpus() + 1))
    assert table.update(b"\0" * 4, values)
    assert table.lookup(b"\0" * 4) == values


def test_possible_cpus_is_what_the_c_library_says() -> None:
    """sysconf counts the configured CPUs."""
    assert possible_cpus() == os.sysconf("SC_NPROCESSORS_CONF")


FIRST = 0x80000001


def pool(made: Maker, count: int) -> tuple[BoxPool, Map, Map]:
    boxes, free = made(ARRAY, 4, BOX, count, MMAPABLE), made(STACK, 0, 4, count)
    return BoxPool(boxes.descriptor, free, range(FIRST, FIRST + count), BOX), boxes, free


def test_free_boxes_come_back_last_in_first_out(made: Maker) -> None:
    """The pool hands out the first boxes first, and every handle exactly once (read by the kernel's own pop)."""
    boxes, _, free = pool(made, 8)
    boxes.fill()
    assert [pop(free) for _ in range(9)] == [*range(FIRST, FIRST + 8), None]
    boxes.give_back(FIRST + 5)
    boxes.give_back(FIRST + 2)
    assert [pop(free) for _ in range(3)] == [FIRST + 2, FIRST + 5, None]
    boxes.close()


def pop(free: Map) -> object:
    """BPF_MAP_LOOKUP_AND_DELETE_ELEM: what the kernel side's pop takes."""
    value = ct.create_string_buffer(4)
    attributes = ct.create_string_buffer(struct.pack("<IIQQQ", free.descriptor, 0, 0, ct.addressof(value), 0), 64)
    if _libc.syscall(321, 21, attributes, len(attributes)) != 0:
        return None
    return struct.unpack("<I", value.raw)[0]


def test_boxes_are_read_through_the_mapping(made: Maker) -> None:
    """What is stored by bpf(2) shows in the mapped memory, box by box, headers and bodies."""
    boxes, table, _ = pool(made, 5)
    for index in range(5):
        table.update(struct.pack("<I", index), struct.pack("<I", 2 * index) + bytes([index]) * (BOX - 4))
    stored = [table.lookup(struct.pack("<I", index)) for index in range(5)]
    assert [boxes.read(handle, lambda _: BOX) for handle in boxes.handles] == stored
    assert [boxes.read(handle, lambda head: head[0] + 8) for handle in boxes.handles[1:]] == [
        (stored[index] or b"")[: 2 * index + 8] for index in range(1, 5)
    ]
    assert boxes.versions(0, 5) == [2 * index for index in range(5)]
    assert boxes.versions(2, 4) == [4, 6]
    for stranger in (0, 1, FIRST - 1, FIRST + 5):
        with pytest.raises(ValueError, match="range"):
            boxes.read(stranger, lambda _: BOX)
    boxes.close()


def test_a_box_that_is_being_written_is_not_read(made: Maker) -> None:
    """An odd version means that a CPU is inside: no bytes are better than torn ones."""
    boxes, table, _ = pool(made, 1)
    table.update(b"\0" * 4, struct.pack("<I", 7) + bytes(BOX - 4))
    assert boxes.read(FIRST, lambda _: BOX) is None
    table.update(b"\0" * 4, struct.pack("<I", 8) + bytes(BOX - 4))
    assert boxes.read(FIRST, lambda _: BOX) is not None
    boxes.close()


def test_a_box_that_is_written_while_it_is_read_is_not_read(made: Maker) -> None:
    """The version is even before and after, but not the same."""
    boxes, table, _ = pool(made, 1)

    def written_again(head: bytes) -> int:
        table.update(b"\0" * 4, struct.pack("<I", head[0] + 2) + bytes(BOX - 4))
        return BOX

    table.update(b"\0" * 4, struct.pack("<I", 8) + bytes(BOX - 4))
    assert boxes.read(FIRST, written_again) is None
    assert boxes.read(FIRST, lambda _: BOX) is not None
    boxes.close()
