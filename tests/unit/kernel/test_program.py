"""Loading and attaching, with programs of two instructions, on this kernel."""

from __future__ import annotations

import contextlib
import errno
import os
import threading

import pytest

from tracer.errors import HostUnsupported
from tracer.kernel.features import Features
from tracer.kernel.objectcode import MapSpec, ObjectCode
from tracer.kernel.plan import Attachment, Plan
from tracer.kernel.program import Program

RETURNS_0 = bytes.fromhex("b700000000000000 9500000000000000")

pytestmark = pytest.mark.root

RETURNS_NOTHING = bytes.fromhex("9500000000000000")  # r0 was never written: the verifier refuses it
MAPS = (MapSpec("counters", 2, 4, 8, 1, 0),)
STATE = Attachment("raw_tp", "inet_sock_set_state", "tp_state")
DESTROY = Attachment("raw_tp", "tcp_destroy_sock", "tp_destroy")


def descriptors() -> dict[str, str]:
    """Of BPF objects, by number."""
    links = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            links[name] = os.readlink(f"/proc/self/fd/{name}")
    return {name: link for name, link in links.items() if "bpf" in link}


def made(attachments: tuple[Attachment, ...], **programs: bytes) -> tuple[Program, Plan]:
    plan = Plan((), Features("6.0"), attachments)
    return Program(ObjectCode(MAPS, programs), plan, {}, ()), plan


def test_all_that_the_plan_chose_is_attached() -> None:
    """A program and a link for each attachment beside the map, and nothing is left after closing."""
    before = descriptors()
    program, plan = made((STATE, DESTROY), tp_state=RETURNS_0, tp_destroy=RETURNS_0)
    program.attach(plan)
    kinds = sorted(link.partition("bpf")[2].strip("-_]") for name, link in descriptors().items() if name not in before)
    assert kinds == ["link", "link", "map", "prog", "prog"]
    program.close()
    program.close()
    assert descriptors() == before


def test_a_refused_program_is_named_and_nothing_stays() -> None:
    """The verifier's words come from the thread that loaded it; what was loaded beside it is freed."""
    before = descriptors()
    program, plan = made((STATE, DESTROY), tp_state=RETURNS_0, tp_destroy=RETURNS_NOTHING)
    with pytest.raises(HostUnsupported, match=r"refused the program tp_destroy: .*R0 !read_ok"):
        program.attach(plan)
    assert descriptors() == before
    assert not [thread for thread in threading.enumerate() if thread.name == "load"]


def test_a_refusal_points_to_the_whole_log() -> None:
    """One line of the log is shown; `doctor --dump` has the rest."""
    program, plan = made((STATE,), tp_state=RETURNS_NOTHING)
    with pytest.raises(HostUnsupported, match=r"`closetrace doctor --dump DIR` writes the whole log$"):
        program.attach(plan)


def test_the_verifiers_log_of_each_program() -> None:
    """Of one that is accepted all instructions and the effort, of one that is refused the reason; none stays loaded."""
    before = descriptors()
    program, plan = made((STATE, DESTROY), tp_state=RETURNS_0, tp_destroy=RETURNS_NOTHING, run_drain=RETURNS_0)
    found = dict(program.verified(plan, ("run_drain",)))
    program.close()
    assert descriptors() == before
    assert set(found) == {"tp_state", "tp_destroy", "run_drain"}
    for name in ("tp_state", "run_drain"):
        assert (found[name].refused, found[name].whole) == (None, True)
        assert "r0 = 0" in found[name].log
        assert found[name].log.splitlines()[-1].startswith("processed 2 insns")
    assert found["tp_destroy"].refused == errno.EACCES
    assert "R0 !read_ok\n" in found["tp_destroy"].log


def test_closing_before_attaching_frees_what_is_still_loading() -> None:
    """A failure between the two, of the recorder's own maps for one."""
    before = descriptors()
    program, _ = made((STATE, DESTROY), tp_state=RETURNS_0, tp_destroy=RETURNS_0)
    program.close()
    assert descriptors() == before
