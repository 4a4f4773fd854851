"""What `tail` and `timeline` share: an open recorder for as long as the run lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.commands.options import Tuning
from tracer.flight.recorder import Recorder
from tracer.host.namespaces import Namespaces
from tracer.kernel.source import Wanted
from tracer.model.scope import Scope
from tracer.session.opening import clock_offset_ns, open_recorder
from tracer.session.preexisting import Preexisting
from tracer.session.stackstore import StackStore
from tracer.stacks.service import StackService


@dataclass(frozen=True)
class Stream:
    """An attached recorder with what its reader needs."""

    recorder: Recorder
    stacks: StackStore
    preexisting: Preexisting
    namespaces: Namespaces
    clock_offset_ns: int


@contextlib.contextmanager
def streaming(scope: Scope, tuning: Tuning, wanted: Wanted) -> Iterator[Stream]:
    """Attach, seed the scope, and take everything away again at the end."""
    service, namespaces = StackService(), Namespaces()
    opened = open_recorder(scope, tuning.sizes, wanted, tuning.probes)
    try:
        stream = Stream(
            opened.recorder,
            StackStore(opened.recorder, service),
            Preexisting(scope, namespaces),
            namespaces,
            clock_offset_ns(),
        )
        opened.recorder.start(opened.plan)
        stream.preexisting.take(opened.recorder)
        yield stream
    finally:
        opened.recorder.close()
        service.close()
