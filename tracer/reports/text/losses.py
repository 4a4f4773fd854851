"""Losses in words: what the report and the timeline say of what the recorder could not keep."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.model.connection import Losses


def described(lost: Losses) -> str:
    """Each kind of loss with its count, in one line; empty if nothing was lost."""
    kinds = (
        (lost.events, "transition", "came faster than they were read"),
        (lost.records, "socket", "not followed: no free record (raise --memory)"),
        (lost.boxes, "call", "kept without a stack: the memory for stacks was used up (raise --memory)"),
        (lost.contended, "call", "dropped: another thread was in a call on the same socket"),
        (lost.nested, "event", "not seen: the kernel skipped a hook that interrupted itself"),
        (lost.returns, "call result", "missed by the kernel's return probes"),
        (lost.descriptors, "process", "whose descriptors could not be read"),
        (lost.namespaces, "network namespace", "that could not be listed"),
        (lost.stacks_unread, "stack", "not read within the limits: the call's own place only"),
        (lost.stacks_truncated, "stack", "in this report incomplete"),
    )
    nouns = {"process": "processes"}
    return "; ".join(f"{words.plural(count, noun, nouns.get(noun))} {what}" for count, noun, what in kinds if count)
