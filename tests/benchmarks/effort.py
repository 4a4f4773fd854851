"""How much the benchmark does: turns, seconds, and the sizes of the large rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """``turns``: repetitions of A B A B ... ``seconds``: of each run at full speed. ``ns_seconds``: of each run that
    counts run times. ``lingering``: (sockets, call paths) of each run. ``idle``: sockets.
    """

    turns: int
    seconds: float
    ns_seconds: float
    lingering: tuple[tuple[int, int], ...]
    idle: int
    calls: tuple[tuple[int, int], ...]
    """(callers, sockets) of the ping-pong."""
    java_calls: tuple[tuple[int, int], ...]
    memories_mb: tuple[int, ...]
    stack_bytes: tuple[int, ...]
    batches: int = 5
    """Runs in a turn of which the least time of a hook counts."""
    pairs: int = 1
    """Runs with each peer for the loss of short connections, each between two untraced runs."""
    row_limit_s: float = 150
    """Seconds for a row. No turn begins that would end later, and no further size begins after it."""


# Of the largest, the most useful comes first: a busy machine has no time for all of them.
_SIZES = tuple((sockets, paths) for sockets in (1000, 10000) for paths in (1, 10, 100))
_SIZES += tuple((100000, paths) for paths in (10, 100, 1))
_CALLS = tuple((depth, sockets) for depth in (20, 40, 100) for sockets in (1, 1000))

FULL = Effort(
    turns=3,
    seconds=0.8,
    ns_seconds=0.3,
    lingering=_SIZES,
    idle=100000,
    calls=_CALLS,
    java_calls=_CALLS,
    memories_mb=(4, 16, 64, 128, 512),
    stack_bytes=(4096, 16384, 65536),
    pairs=60,
)
SMOKE = Effort(
    turns=1,
    seconds=0.3,
    ns_seconds=0.15,
    lingering=((300, 10),),
    idle=500,
    calls=((40, 1), (40, 1000)),
    java_calls=((40, 1),),
    memories_mb=(4,),
    stack_bytes=(16384,),
    batches=1,
)
# Under emulation everything is slow, starts most of all. Times mean little there, ratios are valid.
GUEST = Effort(
    turns=3,
    seconds=1.5,
    ns_seconds=1.0,
    lingering=(),
    idle=0,
    calls=((40, 1),),
    java_calls=(),
    memories_mb=(),
    stack_bytes=(),
    row_limit_s=800,
)
