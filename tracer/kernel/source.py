"""Makes the C text that bcc compiles: macros for sizes, scope and plan, then the sources in bpf/.

bcc compiles a text, not a file, and rewrites map operations only in the main file. So each quoted include is replaced
by the content of its file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracer.kernel import filters
from tracer.kernel.headers import bpf_directory
from tracer.kernel.objectcode import parameter
from tracer.kernel.plan import Plan
from tracer.machine.macros import machine_macros
from tracer.model.scope import Scope
from tracer.model.states import TcpState

PAGE = 4096
RING_PAGES = 1024
SMALL_STACK = 4096
_RECORD_BYTES, _SUSPECT_BYTES, _BOX_HEADER = 640, 64, 256
_SMALL_SHARE, _LEAST_BOXES = 4, 64
_INCLUDE = re.compile(r'^#include "(?P<name>[^"]+)"$', re.MULTILINE)
_STATES = tuple(state.name for state in TcpState)


@dataclass(frozen=True)
class Sizes:
    """Memory of the kernel side. ``memory`` is the budget in bytes for stacks and records together."""

    memory: int
    stack_bytes: int = 16384

    @property
    def records(self) -> int:
        """How many sockets can be followed at once. Records take an eighth of the budget; there are at least 4096."""
        return max(4096, self.memory // 8 // (_RECORD_BYTES + _SUSPECT_BYTES))

    @property
    def small_boxes(self) -> int:
        """How many black boxes hold up to SMALL_STACK bytes. They take up to a quarter of what the records leave."""
        left = self._for_boxes - _LEAST_BOXES * (self.stack_bytes + _BOX_HEADER)
        return max(_LEAST_BOXES, min(self._for_boxes // _SMALL_SHARE, left) // (SMALL_STACK + _BOX_HEADER))

    @property
    def boxes(self) -> int:
        """How many black boxes hold up to ``stack_bytes``. They take the rest."""
        left = self._for_boxes - self.small_boxes * (SMALL_STACK + _BOX_HEADER)
        return max(_LEAST_BOXES, left // (self.stack_bytes + _BOX_HEADER))

    @property
    def _for_boxes(self) -> int:
        return self.memory - self.memory // 8

    def defines(self) -> dict[str, str]:
        """As macros."""
        return {
            "CT_STACK_PAGES": str(self.stack_bytes // PAGE),
            "CT_STACK_BYTES": str(self.stack_bytes),
        }

    def entries(self) -> dict[str, int]:
        """The number of entries (a ring: bytes) of each map that bpf/maps.h gives the size CT_SIZED, by name."""
        rings = dict.fromkeys(("endings", "events"), RING_PAGES * PAGE)
        records = dict.fromkeys(("sockets", "suspects", "seeds"), self.records)
        boxes = dict.fromkeys(("boxes", "free_boxes"), self.boxes)
        small = dict.fromkeys(("small_boxes", "free_small_boxes"), self.small_boxes)
        return {**rings, **records, **boxes, **small}


@dataclass(frozen=True)
class Wanted:
    """What a command needs from the kernel side. ``linger_ns`` is the threshold in ns.

    ``events``: each transition, for `tail`, with its user stack if ``event_stacks``. ``all_endings``: each connection
    that ends, for `timeline`. ``guarded``: --max-overhead may reduce how many stacks are kept.
    """

    linger_ns: int
    events: bool = False
    event_stacks: bool = False
    all_endings: bool = False
    guarded: bool = False

    def defines(self) -> dict[str, str]:
        """As macros."""
        macros = {"CT_LINGER_NS": parameter(0), "CT_RB_NO_WAKEUP": "1"}
        if self.guarded:
            macros["CT_GUARDED"] = "1"
        if self.events:
            macros["CT_EVENTS"] = "1"
            if not self.event_stacks:
                macros["CT_NO_STACKS"] = "1"
        if self.event_stacks:
            macros["CT_EVENT_STACKS"] = macros["CT_ALWAYS_END_STACK"] = "1"
        if self.all_endings:
            macros["CT_ALL_ENDINGS"] = macros["CT_ALWAYS_END_STACK"] = "1"
        return macros


def parameters(scope: Scope, wanted: Wanted) -> tuple[int, ...]:
    """The values of the parameters in the text: the threshold in ns, then the pids."""
    return (wanted.linger_ns, *scope.pids)


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


def program_text(plan: Plan, scope: Scope, sizes: Sizes, wanted: Wanted) -> str:
    """The C text of the recorder."""
    macros = {f"CT_{name}": str(int(TcpState[name])) for name in _STATES}
    for part in (machine_macros(), sizes.defines(), wanted.defines(), filters.defines(scope), plan.defines()):
        macros.update(part)
    return _defined(macros) + _inlined(bpf_directory(), "closetrace.bpf.c", set())
