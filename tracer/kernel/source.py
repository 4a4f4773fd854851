"""Makes the C text that bcc compiles: macros for sizes, scope and plan, then the sources in bpf/.

bcc compiles a text, not a file, and rewrites map operations only in the main file. So each quoted include is replaced
by the content of its file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracer.kernel import filters
from tracer.kernel.headers import bpf_directory
from tracer.kernel.maps import possible_cpus
from tracer.kernel.objectcode import parameter
from tracer.kernel.plan import Plan
from tracer.machine.macros import machine_macros
from tracer.model.scope import Scope
from tracer.model.states import TcpState

PAGE = 4096
RING_PAGES, ASKED_PAGES = 1024, 4
SMALL_STACK, USUAL_STACK, DEEP_STACK = 4096, 16384, 65536
"""Bytes of stack in the boxes of the three pools; the last is what ``--stack-bytes`` is unless it is given."""
FAR_SHARE, STASHED = 4, 14  # bpf/record.h
_BOX_HEADER = 256
WAYS, _RECORD_BYTES, _BUCKET_BYTES = 7, 640, 64 + 8  # bpf/record.h
_PLACES, _SPARE = 17 / 16, 1 / 8
"""Places for each record that is promised: in the buckets that its address tells, and in those for what finds these
full: 3 in 100 where so many have just come, up to 10 in 100 once they come and go (bpf/table.h).
"""
_CROWDED_BYTES = 80  # struct htab_elem, key and value, its share of the hash's buckets
_RECORD_SHARE = math.ceil((_PLACES + _SPARE) * (_RECORD_BYTES + _BUCKET_BYTES / WAYS) + _SPARE * _CROWDED_BYTES)
_SMALL_SHARE, _DEEP_SHARE, _LEAST_BOXES, _LEAST_DEEP = 4, 4, 64, 16
_INCLUDE = re.compile(r'^#include "(?P<name>[^"]+)"$', re.MULTILINE)
_STATES = tuple(state.name for state in TcpState)


@dataclass(frozen=True)
class Sizes:
    """Memory of the kernel side. ``memory`` is the budget in bytes for stacks and records together."""

    memory: int
    stack_bytes: int = DEEP_STACK
    """The most that is kept of a stack."""

    @property
    def usual_stack(self) -> int:
        """Bytes of stack in a usual box."""
        return min(self.stack_bytes, USUAL_STACK)

    @property
    def records(self) -> int:
        """How many sockets can be followed at once. Records take an eighth of the budget; there are at least 4096."""
        return max(4096, self.memory // 8 // _RECORD_SHARE)

    @property
    def buckets(self) -> int:
        """How many buckets of the table of records are found by an address. Each has WAYS places."""
        return math.ceil(self.records * _PLACES / WAYS)

    @property
    def spare_buckets(self) -> int:
        """How many buckets follow, for records whose own are full."""
        return math.ceil(self.records * _SPARE / WAYS)

    @property
    def deep_boxes(self) -> int:
        """How many black boxes hold more than USUAL_STACK bytes. They take a quarter of what the records leave.

        0 if ``stack_bytes`` is not more than that.
        """
        if self.stack_bytes <= USUAL_STACK:
            return 0
        return max(_LEAST_DEEP, self._for_boxes // _DEEP_SHARE // (self.stack_bytes + _BOX_HEADER))

    @property
    def small_boxes(self) -> int:
        """How many black boxes hold up to SMALL_STACK bytes. They take up to a quarter of what the records leave."""
        left = self._for_shallow - _LEAST_BOXES * (self.usual_stack + _BOX_HEADER)
        return max(_LEAST_BOXES, min(self._for_boxes // _SMALL_SHARE, left) // (SMALL_STACK + _BOX_HEADER))

    @property
    def boxes(self) -> int:
        """How many black boxes hold up to USUAL_STACK bytes. They take the rest."""
        left = self._for_shallow - self.small_boxes * (SMALL_STACK + _BOX_HEADER)
        return max(_LEAST_BOXES, left // (self.usual_stack + _BOX_HEADER))

    @property
    def _for_shallow(self) -> int:
        return self._for_boxes - self.deep_boxes * (self.stack_bytes + _BOX_HEADER)

    @property
    def _for_boxes(self) -> int:
        return self.memory - self.memory // 8

    def stashes(self, cpus: int) -> int:
        """How many free boxes each of ``cpus`` CPUs may keep for itself, one byte for each kind: small, usual, deep.

        All CPUs together no more than an eighth of the pool, which others then cannot take.
        """
        most = (min(STASHED, count // cpus // 8) for count in (self.small_boxes, self.boxes, self.deep_boxes))
        return sum(count << 8 * kind for kind, count in enumerate(most))

    def defines(self) -> dict[str, str]:
        """As macros."""
        macros = {"CT_STACK_PAGES": str(self.usual_stack // PAGE), "CT_STACK_BYTES": str(self.usual_stack)}
        macros["CT_BUCKETS"], macros["CT_STASH_MOST"] = parameter(1), parameter(2)
        if self.deep_boxes:
            macros["CT_DEEP_STACK"] = str(self.stack_bytes)
        return macros

    def entries(self) -> dict[str, int]:
        """The number of entries (a ring: bytes) of each map that bpf/maps.h gives the size CT_SIZED, by name."""
        rings = {**dict.fromkeys(("endings", "events"), RING_PAGES * PAGE), "asked": ASKED_PAGES * PAGE}
        buckets, spare = self.buckets + self.spare_buckets, self.spare_buckets * WAYS
        table = {"buckets": buckets, "marks": buckets, "sockets": buckets * WAYS}
        table |= {"crowded": spare, "spare_places": spare}
        boxes = dict.fromkeys(("boxes", "free_boxes"), self.boxes)
        small = dict.fromkeys(("small_boxes", "free_small_boxes"), self.small_boxes)
        deep = dict.fromkeys(("deep_boxes", "free_deep_boxes"), self.deep_boxes)
        table["stashes"] = 4 * min(possible_cpus(), 256)  # CT_STASH_OF
        return {**rings, **table, "seeds": self.records, **boxes, **small, **deep}


@dataclass(frozen=True)
class Wanted:
    """What a command needs from the kernel side. ``linger_ns`` is the threshold in ns.

    ``events``: each transition, for `tail`, with its user stack if ``event_stacks``. ``all_endings``: each connection
    that ends, for `timeline`. ``guarded``: --max-overhead may reduce how many stacks are kept. ``interpreters``: there
    may be processes with an interpreter, whose frames are told at each touch.
    """

    linger_ns: int
    events: bool = False
    event_stacks: bool = False
    all_endings: bool = False
    guarded: bool = False
    interpreters: bool = False

    def defines(self) -> dict[str, str]:
        """As macros."""
        macros = {"CT_LINGER_NS": parameter(0), "CT_RB_NO_WAKEUP": "1"}
        if self.guarded:
            macros["CT_GUARDED"] = "1"
        if self.interpreters:
            macros["CT_INTERPRETERS"] = "1"
        if self.events:
            macros["CT_EVENTS"] = "1"
            if not self.event_stacks:
                macros["CT_NO_STACKS"] = "1"
        if self.event_stacks:
            macros["CT_EVENT_STACKS"] = macros["CT_ALWAYS_END_STACK"] = "1"
        if self.all_endings:
            macros["CT_ALL_ENDINGS"] = macros["CT_ALWAYS_END_STACK"] = "1"
        return macros


def parameters(scope: Scope, sizes: Sizes, wanted: Wanted) -> tuple[int, ...]:
    """The values of the parameters in the text.

    The threshold in ns, the number of buckets, how many boxes a CPU may keep (one byte for each kind), then the pids.
    """
    return (wanted.linger_ns, sizes.buckets, sizes.stashes(possible_cpus()), *scope.pids)


def _inlined(directory: Path, name: str, seen: set[str]) -> str:
    if name in seen:
        return ""
    seen.add(name)
    text = (directory / name).read_text()
    return _INCLUDE.sub(lambda match: _inlined(directory, match["name"], seen), text)


def standalone_text(name: str, macros: Mapping[str, str]) -> str:
    """The C text of a program in bpf/ that is not part of the recorder: the file ``name`` with ``macros``."""
    return _defined({**machine_macros(), **macros}) + _inlined(bpf_directory(), name, set())


def _defined(macros: Mapping[str, str]) -> str:
    return "".join(f"#define {name} {value}\n" for name, value in macros.items())


def language_text(name: str, plan: Plan, sizes: Sizes) -> str:
    """The C text of the program in bpf/languages/ that tells the frames of one language's interpreters.

    It depends on no scope. Its maps are the recorder's, by their names.
    """
    macros = {**sizes.defines(), **plan.task_defines(), "CT_INTERPRETERS": "1"}
    return standalone_text(f"languages/{name}", macros)


def program_text(plan: Plan, scope: Scope, sizes: Sizes, wanted: Wanted) -> str:
    """The C text of the recorder."""
    macros = {f"CT_{name}": str(int(TcpState[name])) for name in _STATES}
    for part in (machine_macros(), sizes.defines(), wanted.defines(), filters.defines(scope), plan.defines()):
        macros.update(part)
    return _defined(macros) + _inlined(bpf_directory(), "closetrace.bpf.c", set())
