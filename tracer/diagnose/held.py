"""Who holds a site's sockets, in words: short chains, how many are held alike, and whose object it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Optional

from tracer.model.finding import Finding
from tracer.model.holder import HeldAlike, Lineage, Link, Missing, RootKind, Use

_MOST_STEPS = 10
_MISSING = {
    Missing.NO_OBJECT: "no open socket object of the runtime has this descriptor and these ports",
    Missing.AMBIGUOUS: "more than one socket object has this descriptor and these ports",
    Missing.DIFFERENT: "not known: the socket object with this number has another blocking mode than the descriptor, "
    "so the number may be another socket's by now",
    Missing.UNFOUND: "no holder was found",
    Missing.UNREACHABLE: "nothing: no object, thread or native code refers to it any more",
    Missing.ABANDONED: "nothing refers to it any more, and no collection closes it",
    Missing.MOVED: "not known: its holders changed or moved whenever they were looked at",
}

_USES = {
    Use.LEASED: "leased from {}",
    Use.IDLE: "idle in {}",
    Use.SERVING: "in a request of {}",
    Use.WAITING: "between requests in {}",
}
_IN_WORDS = {
    RootKind.MODULE: "module {}",
    RootKind.VARIABLE: "local variable {}",
    RootKind.VALUE: "a value on the evaluation stack of {}, perhaps left over",
    RootKind.TASK: "a task of the event loop",
}
_SAY_ENOUGH = (RootKind.STATIC, RootKind.MODULE, RootKind.VARIABLE, RootKind.VALUE)
"""Roots that tell enough where there is no other link to show."""


def alike(findings: Iterable[Finding]) -> tuple[HeldAlike, ...]:
    """The sockets of a site by how they are held, the largest number first."""
    first: dict[object, Lineage] = {}
    counts: Counter[object] = Counter()
    for finding in findings:
        lineage = finding.connection.lineage
        if lineage is not None:
            key = key_of(lineage)
            counts[key] += 1
            first.setdefault(key, lineage)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return tuple(HeldAlike(count, first[key]) for key, count in ordered)


def key_of(lineage: Lineage) -> tuple[object, ...]:
    """What makes two lineages alike: all but the descriptor's number and the insides of collections."""
    telling = tuple(link for link in lineage.links if not link.inner)
    return (telling, lineage.root, lineage.library, lineage.use, lineage.missing, lineage.beside)


def own_place(lineage: Optional[Lineage]) -> Optional[str]:
    """The program's own object that is nearest to the socket: ``OrderClient.client``; None if there is none."""
    if lineage is None or lineage.root is None:
        return None
    for link in lineage.links:
        if link.own:
            return f"{link.field} in {link.holder}" if link.function else _step(link)
    if not lineage.root.own:
        return None
    return short(lineage.root.name) if lineage.root.kind is RootKind.STATIC else _root(lineage)


def chain(lineage: Lineage) -> str:
    """The chain, innermost first, without the insides of collections and sockets; or why there is none."""
    if lineage.root is None:
        return _MISSING[lineage.missing or Missing.UNFOUND]
    steps = _shortened([link for link in lineage.links if not link.inner])
    if not steps and lineage.root.kind not in _SAY_ENOUGH:
        steps = [_step(link) for link in lineage.links[-1:]]
    doubt = f" (by its number alone, and {lineage.beside} has sockets of its own)" if lineage.beside else ""
    return " <- ".join([*steps, _root(lineage)]) + doubt


def _shortened(links: list[Link]) -> list[str]:
    """All up to the program's outermost own object; of what frameworks hold it by, only how many they are."""
    own = max((place for place, link in enumerate(links) if link.own), default=-1)
    kept = own + 1 if own >= 0 else _MOST_STEPS
    steps = [_step(link) for link in links[:kept]]
    left = len(links) - kept
    return [*steps, f"... {left} more ..."] if left > 2 else steps + [_step(link) for link in links[kept:]]


def _step(link: Link) -> str:
    if link.function:
        return f"{_variable(link.field)} of {link.holder}"
    return short(link.holder) + ("[]" if link.field == "[]" else f".{link.field}")


def _root(lineage: Lineage) -> str:
    assert lineage.root is not None
    kind, name = lineage.root.kind, lineage.root.name
    if kind is RootKind.STATIC:
        return f"static {name}"
    if kind is RootKind.THREAD:
        return f'thread "{name}"' if name else "a thread"
    if kind in _IN_WORDS:
        return _IN_WORDS[kind].format(name)
    if kind is RootKind.PARKED:
        whose = f'the parked virtual thread "{name}"' if name else "a parked virtual thread"
        return f"the stack of {whose}, perhaps left over"
    if kind is RootKind.STACK:
        return f'a slot on the stack of thread "{name}", perhaps left over'
    return "a global reference of native code"


def _variable(name: str) -> str:
    if name.startswith("__"):
        return name
    return f"local variable {name}" if name else "a value on the evaluation stack"


def short(name: str) -> str:
    """A class, or ``class.field``, without the package: what begins with the first capital letter of a part."""
    words = name.split(".")
    at = next((index for index, word in enumerate(words) if word.lstrip("_")[:1].isupper()), max(len(words) - 2, 0))
    return ".".join(words[at:])


def use(lineage: Lineage) -> str:
    """What a library's object says: ``leased from Apache HttpClient``, ``idle in HikariCP``; empty if nothing."""
    return _USES[lineage.use].format(lineage.library) if lineage.use is not None else ""


def sentence(lineage: Lineage) -> str:
    """One sentence of evidence."""
    if lineage.missing is Missing.UNREACHABLE:
        return "Nothing in the program refers to it any more: it was lost without a close."
    if lineage.missing is Missing.ABANDONED:
        return "Nothing in the program refers to it any more: it was lost without a close, for good."
    if lineage.root is None:
        return f"Who holds it in the heap: {_MISSING[lineage.missing or Missing.UNFOUND]}."
    said = use(lineage)
    return f"Held now by {chain(lineage)}{f' ({said})' if said else ''}."
