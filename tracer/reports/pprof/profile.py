"""Encodes counted stacks as profile.proto: https://github.com/google/pprof/blob/main/proto/profile.proto."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.reports.pprof.wire import nested, number, packed


class Place(NamedTuple):
    """A frame as a profile has it. ``inlined``: it shares the machine frame of the next one that is not inlined."""

    function: str
    file: str = ""
    line: int = 0
    module: str = ""
    inlined: bool = False


def place(
    function: Optional[str],
    module: Optional[str],
    offset: int,
    file: Optional[str],
    line: Optional[int],
    inlined: bool,
) -> Place:
    """A frame of a report, or of its JSON (``module_path``). Without a symbol it is ``module+0xoffset``."""
    name = function or f"{(module or '?').rsplit('/', 1)[-1]}+{offset:#x}"
    return Place(name, file or "", line or 0, module or "", inlined)


@dataclass(frozen=True)
class Sample:
    """``count`` sockets with one stack, innermost frame first, and what is said of all of them."""

    count: int
    places: Sequence[Place]
    labels: dict[str, str]


def encoded(samples: Iterable[Sample], started_ns: int, duration_ns: int) -> bytes:
    """The profile, gzipped as readers expect it; ``started_ns`` is since the epoch. Equal input gives equal bytes."""
    return gzip.compress(_Tables().profile(samples, started_ns, duration_ns), mtime=0)


class _Tables:
    """The lists that samples refer to by number: strings from 0, all else from 1."""

    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._mappings: dict[str, int] = {}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[tuple[Place, ...], int] = {}
        self._lines: list[bytes] = []

    def profile(self, samples: Iterable[Sample], started_ns: int, duration_ns: int) -> bytes:
        kind = self._value_type("sockets", "count")
        body = b"".join(nested(2, self._sample(sample)) for sample in samples)
        return b"".join(
            (
                nested(1, kind),
                body,
                *(nested(3, self._mapping(number_, path)) for path, number_ in self._mappings.items()),
                *(nested(4, line) for line in self._lines),
                *(nested(5, self._function(number_, *key)) for key, number_ in self._functions.items()),
                number(9, started_ns),
                number(10, duration_ns),
                nested(11, kind),
                number(12, 1),
                # Last, since all of the above may add to it.
                *(nested(6, _utf8(text)) for text in self._strings),
            )
        )

    def _sample(self, sample: Sample) -> bytes:
        labels = (
            nested(3, number(1, self._string(key)) + number(2, self._string(value)))
            for key, value in sample.labels.items()
            if value
        )
        places = [self._location(group) for group in _machine_frames(sample.places)]
        return packed(1, places) + packed(2, (sample.count,)) + b"".join(labels)

    def _location(self, group: tuple[Place, ...]) -> int:
        """One machine frame: its functions, the inlined ones first."""
        if group not in self._locations:
            own = len(self._locations) + 1
            self._locations[group] = own
            lines = (nested(4, number(1, self._function_id(at)) + number(2, at.line)) for at in group)
            self._lines.append(number(1, own) + number(2, self._mapping_id(group[-1].module)) + b"".join(lines))
        return self._locations[group]

    def _function_id(self, at: Place) -> int:
        return self._functions.setdefault((at.function, at.file), len(self._functions) + 1)

    def _function(self, own: int, name: str, file: str) -> bytes:
        text = self._string(name)
        return number(1, own) + number(2, text) + number(3, text) + number(4, self._string(file))

    def _mapping_id(self, path: str) -> int:
        return self._mappings.setdefault(path, len(self._mappings) + 1) if path else 0

    def _mapping(self, own: int, path: str) -> bytes:
        """With its names: a reader must not look for the file on its own host."""
        return number(1, own) + number(5, self._string(path)) + b"".join(number(field, 1) for field in (7, 8, 9, 10))

    def _value_type(self, kind: str, unit: str) -> bytes:
        return number(1, self._string(kind)) + number(2, self._string(unit))

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))


def _utf8(text: str) -> bytes:
    """Names come from traced programs, and may have bytes that are no text."""
    return text.encode(errors="backslashreplace")


def _machine_frames(places: Sequence[Place]) -> Iterable[tuple[Place, ...]]:
    group: tuple[Place, ...] = ()
    for at in places:
        group += (at,)
        if not at.inlined:
            yield group
            group = ()
    if group:
        yield group
