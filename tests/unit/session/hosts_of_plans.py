"""A plan for reports that need one."""

from __future__ import annotations

from tracer.kernel.features import Features
from tracer.kernel.hooks import FUNCTIONS, TRACEPOINTS
from tracer.kernel.plan import make_plan

PLAN = make_plan(
    Features("6.18", {name: 2 for name in FUNCTIONS}, tracepoints=frozenset(TRACEPOINTS), trampolines=True)
)
