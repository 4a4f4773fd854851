"""The one way from what the kernel side recorded to a Connection: read, decode, resolve the stacks, correct."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Optional

from tracer.flight.consistent import Flight
from tracer.flight.decode import decode
from tracer.flight.recorder import Recorder
from tracer.flight.records import SuspectEntry
from tracer.model.changing import changed
from tracer.model.connection import Connection
from tracer.session.preexisting import Preexisting
from tracer.session.stackstore import StackStore


class Reader:
    """Reads suspects and endings of one run. ``unseen`` names the kinds of calls that no hook shows on this kernel."""

    def __init__(
        self, recorder: Recorder, stacks: StackStore, preexisting: Preexisting, unseen: tuple[str, ...] = ()
    ) -> None:
        self._recorder, self._stacks, self._preexisting = recorder, stacks, preexisting
        self._unseen = unseen

    def suspect(self, entry: SuspectEntry) -> Optional[Connection]:
        """The socket of a suspect; None if it is gone, also if another has its address by now."""
        flight = self._recorder.flight(entry.sk, entry.place)
        if flight is None or flight.birth_ns != entry.birth_ns:
            return None
        return self._connection(flight)

    def endings(self) -> Iterator[Connection]:
        """The sockets that ended since the last call. What is not taken is lost."""
        return map(self._connection, self._recorder.endings())

    def _connection(self, flight: Flight) -> Connection:
        decoded = decode(flight.data, time.monotonic_ns(), flight.ended)
        return self.corrected(decoded.connection(self._stacks.resolve(flight, decoded.calls)))

    def corrected(self, connection: Connection) -> Connection:
        """With what the record cannot know: whether the socket was there at the start, and what no hook shows."""
        changes: dict[str, Any] = {}
        if self._unseen:
            changes["unseen"] = self._unseen
        if connection.preexisting:
            changes["preexisting"] = self._preexisting.is_older(connection)
            changes["fin_before_ns"] = self._preexisting.fin_before_ns(connection.cookie)
            crowded = self._recorder.lacked_records and self._preexisting.crowded_out(connection.cookie)
            changes["crowded_out"] = changes["preexisting"] and crowded
        return changed(connection, **changes) if changes else connection
