"""What a traced run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, Optional

from tracer.kernel.apart import compile_apart
from tracer.kernel.compiler import compile_text
from tracer.kernel.objectcode import ObjectCode
from tracer.kernel.source import Sizes, Wanted
from tracer.model.scope import Scope
from tracer.session.opening import Compile
from tracer.underway import Underway


def _nothing() -> None:
    """While another process works."""


@dataclass(frozen=True)
class Request:
    """The scope (``target``: in words), what the kernel side keeps, and the limits of the run.

    ``probes`` is one of kernel.plan.WAYS. ``interval_s`` is the time between two looks in seconds. ``max_overhead`` is
    in percent of one CPU, None for no limit. ``debuginfod`` allows debug information to be downloaded. ``lineage``:
    look at heaps for who holds the sockets; None: where a socket is older than the trace and the heap in use is small.
    ``endless``: the run may last for months, so nothing may grow with time. ``underway`` is told of work that may take
    seconds. ``pod_names``: who tells the names of pods (:func:`tracer.session.naming.pod_names`). ``waiting`` is called
    again and again while another process compiles, or reads stacks. ``from_birth``: what is traced begins with the
    trace, so all of its sockets are seen.
    """

    scope: Scope
    target: str
    sizes: Sizes
    wanted: Wanted
    probes: str = "auto"
    interval_s: float = 1.0
    max_overhead: Optional[float] = None
    debuginfod: bool = False
    lineage: Optional[bool] = None
    endless: bool = False
    underway: Underway = field(default_factory=Underway, compare=False)
    pod_names: str = "logs"
    waiting: Callable[[], None] = field(default=_nothing, compare=False)
    from_birth: bool = False

    @property
    def compiles_with(self) -> Compile:
        """What compiles the kernel side, if it was not compiled before."""
        compile_code: Compile = compile_text
        if self.endless:
            compile_code = partial(compile_apart, waiting=self.waiting)
        return partial(self._compiled, compile_code)

    def _compiled(self, compile_code: Compile, text: str, tree: Optional[Path]) -> ObjectCode:
        with self.underway.during("compiling for this kernel, once for these options"):
            return compile_code(text, tree)
