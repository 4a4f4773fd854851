"""Words of memory by their positions, in few blocks. Oracle: each word of the file says its own address."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tracer.stacks.languages.cpython.heap import memory as module
from tracer.stacks.languages.cpython.heap.memory import BLOCK_BYTES, Memory, OutOfTime, TooLarge

_SIZE = 64 * BLOCK_BYTES
_REGIONS = [(BLOCK_BYTES, 20 * BLOCK_BYTES), (30 * BLOCK_BYTES, 60 * BLOCK_BYTES + 4096)]


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "memory"
    path.write_bytes(np.arange(0, _SIZE, 8, dtype=np.uint64).tobytes())
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def make(descriptor: int, most: int = 1 << 30, seconds: float = 60, kept: int = 1000) -> Memory:
    return Memory(descriptor, _REGIONS, time.process_time() + seconds, most, kept * BLOCK_BYTES)


def test_positions_lead_back_to_addresses(descriptor: int) -> None:
    """At both ends of each region."""
    memory = make(descriptor)
    addresses = np.array(
        [BLOCK_BYTES, 20 * BLOCK_BYTES - 8, 30 * BLOCK_BYTES, 60 * BLOCK_BYTES + 4088], dtype=np.uint64
    )
    positions, inside = memory.locate(addresses)
    assert inside.all()
    assert [memory.address(position) for position in positions.tolist()] == addresses.tolist()


@pytest.mark.parametrize("address", [0, BLOCK_BYTES - 8, 20 * BLOCK_BYTES, 29 * BLOCK_BYTES, 60 * BLOCK_BYTES + 4096])
def test_what_is_between_regions_is_outside(address: int, descriptor: int) -> None:
    """Such an address has no position."""
    assert make(descriptor).position(address) == -1


@pytest.mark.parametrize("kept", [2, 5, 1000])
def test_words_are_right_however_few_blocks_are_kept(kept: int, descriptor: int) -> None:
    """Blocks that were given up are read again."""
    memory = make(descriptor, kept=kept)
    random = np.random.default_rng(1)
    for _ in range(20):
        addresses = random.integers(30 * BLOCK_BYTES // 8, 60 * BLOCK_BYTES // 8, 300).astype(np.uint64) * np.uint64(8)
        positions, _ = memory.locate(addresses)
        assert memory.take(positions).tolist() == addresses.tolist()


def test_what_cannot_be_read_is_zeros(descriptor: int) -> None:
    """The file ends before the region does."""
    memory = Memory(descriptor, [(_SIZE - 4096, _SIZE + 8192)], time.process_time() + 60, 1 << 30)
    assert memory.take(np.array([4088, 4096, 8192])).tolist() == [_SIZE - 8, 0, 0]


def test_arrays_come_word_by_word(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word with the number of its array, in pieces."""
    monkeypatch.setattr(module, "MOST_WORDS", 3)
    memory = make(descriptor)
    found = [pair for which, at in memory.arrays(np.array([0, 800]), np.array([2, 3])) for pair in zip(which, at)]
    assert [tuple(map(int, pair)) for pair in found] == [(0, 0), (0, 8), (1, 800), (1, 808), (1, 816)]


def test_more_than_is_allowed_is_not_read(descriptor: int) -> None:
    """It raises, and says how much is allowed."""
    memory = make(descriptor, most=2 * BLOCK_BYTES)
    with pytest.raises(TooLarge, match="it uses more than"):
        memory.take(np.arange(0, 10 * BLOCK_BYTES, BLOCK_BYTES))


def test_nothing_is_read_when_the_time_is_over(descriptor: int) -> None:
    """It raises before it reads."""
    memory = make(descriptor, seconds=-1)
    with pytest.raises(OutOfTime):
        memory.take(np.array([0]))


def test_chunks_have_all_regions(descriptor: int) -> None:
    """From begin to end, once."""
    total = 0
    for address, words in make(descriptor).chunks():
        assert words[0] == address
        total += 8 * len(words)
    assert total == sum(end - start for start, end in _REGIONS)
