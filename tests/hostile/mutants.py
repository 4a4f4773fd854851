"""Reads mutants of a real library as a worker does, in a process of its own: ``mutants.py FILE SEED FIRST COUNT``.

Prints the number of each before it is read, so that who started it knows which was to blame if it ends.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
from pathlib import Path

from tracer.stacks.elf.debugfiles import Places
from tracer.stacks.elf.facts import read_facts
from tracer.stacks.elf.image import Image
from tracer.stacks.naming import Naming
from tracer.stacks.registry import all_languages

_ADDRESSES = 6


def mutant(original: bytes, seed: int, number: int) -> bytes:
    """Bytes changed, words made extreme, pieces moved, cut short: each number another, always the same."""
    chance = random.Random(f"{seed}:{number}")
    data = bytearray(original)
    # Headers, notes and tables at both ends decide most: half of the changes are there.
    for _ in range(chance.choice((1, 2, 4, 16, 64))):
        end = chance.choice((64, 1024, len(data), len(data)))
        place = chance.randrange(min(end, len(data)))
        if chance.random() < 0.3:
            place = max(0, len(data) - 1 - place % 4096)
        kind = chance.random()
        if kind < 0.5:
            data[place] = chance.randrange(256)
        elif kind < 0.8:
            word = chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1, len(data), place))
            data[place : place + 8] = word.to_bytes(8, "little")[: len(data) - place]
        elif kind < 0.95:
            size, source = chance.randrange(1, 64), chance.randrange(len(data))
            data[place : place + size] = data[source : source + size]
        else:
            del data[max(64, place) :]
    return bytes(data)


def read(data: bytes, chance: random.Random) -> None:
    """Open it and ask for rules and names of some addresses."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        descriptor = os.dup(file.fileno())
    facts = read_facts(descriptor)
    naming = Naming(all_languages())
    image = Image.open(descriptor, "/nowhere/mutant.so", Places(lambda _path: None), naming.additions)
    if image is None or facts is None:
        return
    code = [segment for segment in facts.segments if segment.flags & 1 and segment.memory_size]
    for _ in range(_ADDRESSES if code else 0):
        segment = chance.choice(code)
        address = segment.vaddr + chance.randrange(segment.memory_size)
        image.rule(address)
        image.names(address)


def main(path: str, seed: int, first: int, count: int) -> None:
    """Read ``count`` mutants from number ``first`` on."""
    original = Path(path).read_bytes()
    for number in range(first, first + count):
        print(number, flush=True)
        with contextlib.suppress(MemoryError):
            read(mutant(original, seed, number), random.Random(number))


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:5]))
