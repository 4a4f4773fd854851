"""What the session asks of the recorder, the stack service and the older sockets.

The real classes and the fakes of these tests are both held against these protocols by mypy, so that a fake cannot keep
a method that the real class has lost, or a signature that it has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional, Protocol, cast

from tracer.flight.boxes import Box, BoxHeader
from tracer.flight.consistent import Flight
from tracer.flight.recorder import Recorder
from tracer.flight.records import SuspectEntry
from tracer.model.connection import Connection, Losses
from tracer.model.frame import BlackBox, Stack
from tracer.session.preexisting import Preexisting
from tracer.stacks.service import StackService


class RecorderOffer(Protocol):
    """The part of the recorder that Watch, StackStore, Members and Preexisting use."""

    @property
    def boxes_out(self) -> int: ...

    @property
    def boxes_used(self) -> float: ...

    @property
    def watched(self) -> int: ...

    def add_listener(self, netns: int, port: int) -> None: ...

    def add_pid(self, pid: int) -> None: ...

    def add_program(self, pid: int) -> None: ...

    def followed(self) -> Optional[set[int]]: ...

    def programs(self) -> Optional[set[int]]: ...

    def parent_of(self, pid: int) -> Optional[int]: ...

    def add_seed(self, cookie: int) -> None: ...

    def suspects(self) -> list[SuspectEntry]: ...

    def flight(self, sk: int, place: Optional[int] = None) -> Optional[Flight]: ...

    def endings(self) -> Iterator[Flight]: ...

    def stacks_in_use(self) -> set[int]: ...

    def owns(self, box: BoxHeader) -> bool: ...

    def box(self, handle: int) -> Optional[Box]: ...

    def written(self) -> list[BoxHeader]: ...

    def replace_box(self, box: BoxHeader, stack: int) -> bool: ...

    def give_back(self, handle: int) -> None: ...

    def losses(self) -> Losses: ...


class ServiceOffer(Protocol):
    """The part of the stack service that StackStore uses."""

    def unwind(self, box: BlackBox) -> Stack: ...


class OlderOffer(Protocol):
    """The part of Preexisting that Watch uses."""

    def is_older(self, connection: Connection) -> bool: ...

    def fin_before_ns(self, cookie: int) -> Optional[int]: ...


def as_recorder(fake: RecorderOffer) -> Recorder:
    """The fake, for a parameter that wants the real class."""
    return cast(Recorder, fake)


def as_service(fake: ServiceOffer) -> StackService:
    """The fake, for a parameter that wants the real class."""
    return cast(StackService, fake)


def as_older(fake: OlderOffer) -> Preexisting:
    """The fake, for a parameter that wants the real class."""
    return cast(Preexisting, fake)


_REAL: tuple[type[RecorderOffer], type[ServiceOffer], type[OlderOffer]] = (Recorder, StackService, Preexisting)
