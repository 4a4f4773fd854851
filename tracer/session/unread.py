"""What a report says of files that were not read: because they did harm, or because nothing may be read here."""

from __future__ import annotations

from tracer.model.finding import Unread
from tracer.stacks.jail.keeper import Keeper


def unread(keeper: Keeper) -> tuple[Unread, ...]:
    """All of a run, each once."""
    found = [Unread(harm.what, harm.part, harm.why) for harm in keeper.harms]
    if keeper.refused:
        found.append(Unread("", "all files and memory", keeper.refused))
    return tuple(dict.fromkeys(found))
