"""What a run says of files that were not read, and of what reads files without being confined as it should be."""

from __future__ import annotations

from tracer.model.finding import Unconfined, Unread
from tracer.stacks.jail.keeper import Keeper


def unread(keeper: Keeper) -> tuple[Unread, ...]:
    """What did harm, or all if nothing may be read here: all of a run, each once."""
    found = [Unread(harm.what, harm.part, harm.why) for harm in keeper.harms]
    if keeper.refused:
        found.append(Unread("", "all files and memory", keeper.refused))
    return tuple(dict.fromkeys(found))


def unconfined(keeper: Keeper) -> tuple[Unconfined, ...]:
    """What could not be taken from those who read files, on this host."""
    return tuple(Unconfined(part, why) for part, why in keeper.missing.items())
