"""Programs that other programs call as their last deed: those of the languages, loaded when they are first needed.

The kernel wants all programs of a prog array, and those that call them, to be of one type (bpf_prog_map_compatible in
kernel/bpf/core.c), and since 6.12 trampolines' programs to be of functions with one prototype (28ead3eaabc1). So each
calling program has an array of its own, and each language is loaded once for each kind of calling program.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tracer.kernel import bpf
from tracer.kernel.maps import Map
from tracer.kernel.objectcode import MapSpec, ObjectCode
from tracer.kernel.plan import Attachment

_ARRAY = "interpreter_programs"  # bpf/maps.h
_TYPES = {
    "raw_tp": bpf.PROG_RAW_TRACEPOINT,
    "fentry": bpf.PROG_TRACING,
    "fexit": bpf.PROG_TRACING,
    "kprobe": bpf.PROG_KPROBE,
    "kretprobe": bpf.PROG_KPROBE,
}


class Kind(NamedTuple):
    """What the kernel wants to know to load a program. ``btf_id`` and ``exits`` are for trampolines."""

    type: int
    btf_id: int = 0
    exits: bool = False


RUNNABLE = Kind(bpf.PROG_RAW_TRACEPOINT)
"""Of a program that is run on request."""


def kind_of(attachment: Attachment, btf_ids: Mapping[str, int]) -> Kind:
    """The kind of the program of ``attachment``."""
    type_ = _TYPES[attachment.kind]
    btf_id = btf_ids[attachment.target] if type_ == bpf.PROG_TRACING else 0
    return Kind(type_, btf_id, attachment.kind == "fexit")


class TailCalls:
    """The prog arrays of the programs in ``code``, and what was loaded into them."""

    def __init__(self, code: ObjectCode, parameters: Sequence[int], create: Callable[[MapSpec], int]) -> None:
        """``create`` makes a map. ``parameters`` are those of ``code``; the languages' programs have the same."""
        self._code, self._parameters, self._create = code, parameters, create
        self._index = next((at for at, spec in enumerate(code.maps) if spec.name == _ARRAY), None)
        self._arrays: dict[Kind, list[int]] = {}
        self._more: dict[str, int] = {}

    def linked(self, program: str, kind: Kind, maps: Sequence[int]) -> Sequence[int]:
        """``maps``, the descriptors of all maps in ``code``, with an array for ``program`` if it makes such calls."""
        if self._index is None or self._index not in {index for _, index in self._code.map_loads(program)}:
            return maps
        array = self._create(self._code.maps[self._index])
        self._arrays.setdefault(kind, []).append(array)
        return [array if at == self._index else descriptor for at, descriptor in enumerate(maps)]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of the programs that make such calls."""
        return tuple(self._arrays)

    def language(self, code: ObjectCode, maps: Sequence[int]) -> tuple[str, bytes]:
        """Name and linked instructions of a language's program.

        Its maps are those of the calling programs where they have the same name; ``maps`` are these programs' maps.
        Others are made.
        """
        known = {spec.name: descriptor for spec, descriptor in zip(self._code.maps, maps)}
        for spec in code.maps:
            if spec.name not in known and spec.name not in self._more:
                self._more[spec.name] = self._create(spec)
        known.update(self._more)
        (name,) = code.programs
        return name, code.linked(name, [known[spec.name] for spec in code.maps], self._parameters)

    def load(self, number: int, code: ObjectCode, maps: Sequence[int], load: Callable[[str, bytes, Kind], int]) -> None:
        """Have the program of ``code`` called for the language ``number``, by all programs that call one.

        ``load`` loads it, once for each kind. Raises what that raises.
        """
        name, instructions = self.language(code, maps)
        for kind, arrays in self._arrays.items():
            with bpf.closing(load(name, instructions, kind)) as program:
                for array in arrays:
                    Map(array, 4, 4).update(struct.pack("<I", number - 1), struct.pack("<I", program))

    def close(self) -> None:
        """Free all of it."""
        for array in [array for arrays in self._arrays.values() for array in arrays] + list(self._more.values()):
            with contextlib.suppress(OSError):
                os.close(array)
        self._arrays.clear()
        self._more.clear()
