"""Holders of sockets as JSON values."""

from __future__ import annotations

from typing import Any, Optional

from tracer.diagnose import held
from tracer.model.finding import Site
from tracer.model.holder import HeapLook, HeldAlike, Lineage

Value = dict[str, Any]


def site_holders(site: Site) -> list[Value]:
    """How a site's sockets are held, those held by most first."""
    return [_alike(one) for one in site.held]


class Places:
    """Where in a site's ``held_by`` it says how a socket is held."""

    def __init__(self, site: Site) -> None:
        self._places = {held.key_of(one.lineage): place for place, one in enumerate(site.held)}

    def of(self, lineage: Optional[Lineage]) -> Optional[int]:
        """The index in the list; None if it is not known who holds it."""
        return self._places.get(held.key_of(lineage)) if lineage is not None else None


def _alike(one: HeldAlike) -> Value:
    lineage = one.lineage
    root = lineage.root
    return {
        "count": one.count,
        "text": held.chain(lineage),
        "links": [
            {
                "class": link.holder,
                "field": link.field,
                "own": link.own,
                "inner": link.inner,
                "function": link.function,
            }
            for link in lineage.links
        ],
        "root": None if root is None else {"kind": root.kind.value, "name": root.name, "own": root.own},
        "library": lineage.library or None,
        "use": None if lineage.use is None else lineage.use.value,
        "missing": None if lineage.missing is None else lineage.missing.value,
        "beside": lineage.beside or None,
    }


def heap(look: HeapLook) -> Value:
    """A look at a heap."""
    return {
        "pid": look.pid,
        "comm": look.comm,
        "sockets": look.sockets,
        "found": look.found,
        "note": look.note or None,
        "heap_bytes": look.heap_bytes,
        "scans": look.scans,
        "collector": look.collector or None,
    }
