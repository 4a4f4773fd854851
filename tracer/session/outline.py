"""What a run without end keeps of a finding between two reports: less than half of its memory."""

from __future__ import annotations

from typing import Any

from tracer.model.changing import changed
from tracer.model.connection import Connection
from tracer.model.finding import Finding

_NOT_KEPT: dict[str, Any] = {
    "seen_ns": 0,
    "cookie": 0,
    "transitions": (),
    "last_rx_ns": None,
    "last_tx_ns": None,
    "rx_queue": None,
    "tx_queue": None,
    "kernel": None,
    "holders": (),
    "blocked": (),
    "listener": None,
    "listeners": (),
    "interests": None,
    "lineage": None,
}


def outlined(finding: Finding) -> Finding:
    """The finding without evidence, and its connection without what only a report tells: that looks at it afresh.

    It keeps what tells whose socket it is (:meth:`tracer.session.part.Part.has`), whether connections are reused
    (:func:`tracer.diagnose.reuse.marked`), and what was found, in case the socket ends.
    """
    return changed(finding, connection=_outline(finding.connection), evidence=())


def _outline(connection: Connection) -> Connection:
    return changed(connection, **_NOT_KEPT)
