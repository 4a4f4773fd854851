"""A chain in words: names of classes, attributes, modules and functions, never values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from tracer.model.holder import Link, Root, RootKind
from tracer.stacks.language import OfProgram
from tracer.stacks.languages.cpython.heap.roots import Anchor, Origin
from tracer.stacks.languages.cpython.heap.steps import DICT, Step
from tracer.stacks.languages.cpython.heap.types import Kind

MOST_LINKS = 64
_LONGEST = 200
_INNER_MODULES = ("builtins", "collections", "_collections", "_io", "functools", "itertools", "_queue", "_contextvars")
_INNER_TYPES = frozenset({"socket.SocketIO", "_asyncio.Task", "_asyncio.Future", "Context"})
"""Types whose part in a chain goes without saying."""
_KINDS = {
    Origin.MODULE: RootKind.MODULE,
    Origin.VARIABLE: RootKind.VARIABLE,
    Origin.SLOT: RootKind.VALUE,
    Origin.TASK: RootKind.TASK,
    Origin.THREAD: RootKind.THREAD,
}


@dataclass(frozen=True)
class Own:
    """What is the program's own: names of modules, and how to know a source file."""

    modules: Collection[str]
    has_file: OfProgram


def links_of(steps: Sequence[Step], own: Own) -> tuple[Link, ...]:
    """The links, innermost first, as the steps are.

    An attribute that is in an object's dict is one link. What repeats itself (the nodes of a list) is told once.
    """
    links: list[Link] = []
    entry: Optional[Step] = None
    for step in steps:
        if step.field == DICT and entry is not None and entry.key.isidentifier():
            links.pop()
            link = _link(replace(step, field=entry.key), own, of_class=step.info.kind is Kind.TYPE)
        else:
            link = _link(step, own)
        entry = step if step.info.kind is Kind.DICT else None
        if not links or links[-1] != link:
            links.append(link)
    if len(links) > MOST_LINKS:
        links = links[: MOST_LINKS // 2] + links[-MOST_LINKS // 2 :]
    return tuple(links)


def _link(step: Step, own: Own, of_class: bool = False) -> Link:
    info, field = step.info, step.field[:_LONGEST]
    if step.function:
        awaits = info.kind is Kind.GENERATOR and not field  # what it waits for is on its evaluation stack
        return Link(step.function[:_LONGEST], field, own.has_file(step.file), awaits, function=True)
    if of_class:
        name, module = step.class_name, step.class_name.rpartition(".")[0]
        return Link(name[:_LONGEST], field, module in own.modules)
    name = info.full_name[:_LONGEST]
    inner = name in _INNER_TYPES or (not info.heap and "." not in name) or info.module in _INNER_MODULES
    return Link(name, field, info.module in own.modules, inner or field.startswith("+"))


def root_of(anchor: Anchor, name: str, own: bool) -> Root:
    """The root in words. ``name`` is that of the variable."""
    kind = _KINDS[anchor.origin]
    if anchor.origin is Origin.MODULE:
        text = f"{anchor.of}: {name if name.isidentifier() else '[]'}"
    elif anchor.origin is Origin.VARIABLE:
        text = f"{name or 'a variable'} of {anchor.of}"
    else:
        text = anchor.of if anchor.origin is Origin.SLOT else ""
    return Root(kind, text[:_LONGEST], own)
