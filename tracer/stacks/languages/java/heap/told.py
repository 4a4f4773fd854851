"""A chain in words: names of classes and fields, never values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tracer.model.holder import Link
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.chain import Step
from tracer.stacks.languages.java.heap.classes import Klass, elements_of
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.packages import package
from tracer.stacks.target.reader import Nonsense

MOST_LINKS = 64
_LONGEST = 200
_INNER = (
    "java.util.",
    "java.net.",
    "java.io.",
    "sun.nio.ch.SocketChannelImpl",
    "sun.nio.ch.NioSocketImpl",
    "sun.nio.ch.UnixAsynchronousSocketChannelImpl",
    "org.apache.commons.pool2.impl.LinkedBlockingDeque",
)
"""Classes whose part in a chain goes without saying, by how their names begin."""
_HIDDEN = re.compile(r"[/+]0x[0-9a-f]+$|(?<=\$\$Lambda)\$\d+")


def class_name(klass: Klass) -> str:
    """The class's name as Java writes it, without the numbers that a JVM gives to hidden classes."""
    return _HIDDEN.sub("", elements_of(klass.name))[:_LONGEST]


def is_own(class_name: str) -> bool:
    """Whether a class is the program's own."""
    return not package(f"{class_name}.x")


def links_of(steps: Sequence[Step], names: FieldNames) -> tuple[Link, ...]:
    """The links, innermost first. What repeats itself (the nodes of a list) is told once."""
    links: list[Link] = []
    for step in steps:
        name, array = class_name(step.klass), step.klass.is_reference_array
        inner = array or name.startswith(_INNER)
        link = Link(name, "[]" if array else _field(step, names), not array and is_own(name), inner)
        if not links or links[-1] != link:
            links.append(link)
    if len(links) > MOST_LINKS:
        links = links[: MOST_LINKS // 2] + links[-MOST_LINKS // 2 :]
    return tuple(links)


def _field(step: Step, names: FieldNames) -> str:
    try:
        return names.name_at(step.klass, step.offset)[:_LONGEST]
    except (MemoryUnreadable, Nonsense):
        return f"+{step.offset}"
