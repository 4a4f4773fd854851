"""What the kernel made of the programs' calls. The time of each hook depends on it."""

from __future__ import annotations

import pytest

from tests.live.bpf_ids import calls_in, loaded_by
from tests.live.closetrace_command import Trace
from tests.live.workload import start

# What is behind the helpers' pointers. A call of these goes through a pointer to the map's own function.
_INDIRECT = {f"bpf_map_{name}_elem" for name in ("lookup", "update", "delete", "push", "pop")}


@pytest.mark.parametrize("scoped", [True, False])
def test_no_look_into_a_map_goes_through_a_pointer(scoped: bool) -> None:
    """The kernel puts a map's operation in line, or calls it directly, where the call always has the same map."""
    with start("idle_pool", "1") as program:
        with Trace(*(("--pid", str(program.pid())) if scoped else ())) as trace:
            trace.attached()
            found = {number: calls_in(number) for kind, number in loaded_by(trace.process.pid) if kind == "prog"}
            trace.stop()
        program.all_steps()
    every = {name for names in found.values() for name in names}
    assert "__htab_map_lookup_elem" in every or "htab_map_lookup_elem" in every
    assert every & _INDIRECT == set()
