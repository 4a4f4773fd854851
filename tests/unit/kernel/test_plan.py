"""The ways in that are picked on hosts of all kinds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel.hosts import BULLSEYE, HARDENED, MODERN, NOTHING
from tracer.errors import HostUnsupported, UsageError
from tracer.kernel.features import Features
from tracer.kernel.headers import bpf_directory
from tracer.kernel.hooks import FUNCTIONS, HELPERS, TRACEPOINTS
from tracer.kernel.objectcode import kernel_function
from tracer.kernel.plan import FAMILIES, WAYS, Plan, make_plan
from tracer.model.scope import Scope

FORKS = Scope(pids=(1,), follow_forks=True)


def ways(plan: Plan) -> dict[str, Optional[str]]:
    return {choice.family.name: choice.way.name if choice.way else None for choice in plan.choices}


def test_a_modern_kernel_takes_trampolines() -> None:
    """Every family that has fentry or fexit gets it; resets and ends have tracepoints alone."""
    assert ways(make_plan(MODERN)) == {
        "state": "fentry",
        "close": "fentry",
        "receive": "fentry",
        "send": "fentry",
        "open": "fentry",
        "shutdown": "fentry",
        "reset": "tracepoint",
        "destroy": "tracepoint",
    }


def test_a_hardened_kernel_takes_tracepoints() -> None:
    """Without trampolines and kprobes the rest is derived, with the kernel's own reasons."""
    plan = make_plan(HARDENED)
    assert ways(plan) == {
        "state": "tracepoint",
        "close": None,
        "receive": "tracepoint",
        "send": "tracepoint",
        "open": None,
        "shutdown": None,
        "reset": "tracepoint",
        "destroy": "tracepoint",
    }
    for probe in plan.probes():
        if probe.way is None:
            assert "Operation not permitted" in probe.reason
            assert "without kprobes" in probe.reason
            assert probe.cost


def test_an_old_kernel_without_trampolines_takes_kprobes() -> None:
    """5.10 has no tracepoints for receive and send: kprobe and kretprobe stand in."""
    plan = make_plan(replace(BULLSEYE, trampolines=False, refused={"fentry": "no"}))
    assert set(ways(plan).values()) == {"kprobe", "tracepoint"}
    assert ways(plan)["receive"] == ways(plan)["send"] == "kprobe"
    assert plan.defines()["CT_KPROBE_CALLS"] == "1"
    assert "CT_HAVE_TASK_PT_REGS" not in plan.defines()


def test_returns_are_hooked_before_calls() -> None:
    """A call that is seen and whose return is not would leave an entry behind."""
    plan = make_plan(replace(BULLSEYE, trampolines=False))
    kinds: dict[str, list[str]] = {}
    for attachment in plan.attachments():
        kinds.setdefault(attachment.target, []).append(attachment.kind)
    for function in ("inet_recvmsg", "inet6_recvmsg", "inet_sendmsg", "inet6_sendmsg"):
        assert kinds[function] == ["kretprobe", "kprobe"]


@pytest.mark.parametrize("host", [MODERN, HARDENED, BULLSEYE])
def test_ends_are_hooked_before_beginnings(host: Features) -> None:
    """A socket that ends between two attachments must not leave a record."""
    targets = [attachment.target for attachment in make_plan(host).attachments()]
    assert targets[:3] == ["sched_process_fork", "sched_process_exec", "tcp_destroy_sock"]


def test_children_are_followed_before_anything_is_recorded() -> None:
    """The tracepoints of exit and fork come first of all; without them a command cannot be followed."""
    plan = make_plan(HARDENED, scope=FORKS)
    targets = [attachment.target for attachment in plan.attachments()]
    assert targets[:2] == ["sched_process_exit", "sched_process_fork"]
    blind = replace(HARDENED, tracepoints=HARDENED.tracepoints - {"sched_process_fork"})
    with pytest.raises(HostUnsupported, match="sched_process_fork"):
        make_plan(blind, scope=FORKS)
    assert [attachment.target for attachment in make_plan(blind).also] == ["sched_process_exec"]


def test_execs_are_seen_where_there_is_the_tracepoint() -> None:
    """It is no condition: without it nobody knows when a process took another program."""
    assert make_plan(HARDENED).sees_execs
    assert make_plan(HARDENED).defines()["CT_EXECS"] == "1"
    blind = make_plan(replace(HARDENED, tracepoints=HARDENED.tracepoints - {"sched_process_exec"}))
    assert not blind.sees_execs
    assert "CT_EXECS" not in blind.defines()


def test_whoever_turns_to_a_program_is_followed() -> None:
    """With a program's name in scope the ends of processes are watched beside their forks and execs."""
    named = [attachment.target for attachment in make_plan(HARDENED, scope=Scope(comm="app")).also]
    assert named == ["sched_process_exit", "sched_process_fork", "sched_process_exec"]
    assert [attachment.target for attachment in make_plan(HARDENED).also] == named[1:]


def test_a_host_with_nothing_is_refused() -> None:
    """The sentence names the kernel and what leads on."""
    with pytest.raises(HostUnsupported, match=r"4\.4\.0.*doctor"):
        make_plan(NOTHING)


@pytest.mark.parametrize("missing", ["tcp_destroy_sock", "inet_sock_set_state"])
def test_a_missing_required_tracepoint_is_fatal_only_without_another_way(missing: str) -> None:
    """Modern kernels have a second way; hardened ones do not."""
    without = {missing}
    assert make_plan(replace(MODERN, tracepoints=MODERN.tracepoints - without))
    with pytest.raises(HostUnsupported, match=missing):
        make_plan(replace(HARDENED, tracepoints=HARDENED.tracepoints - without))


@pytest.mark.parametrize("requested", WAYS)
def test_a_requested_way_is_the_only_one_used(requested: str) -> None:
    """--probes narrows the choice; a required family that lacks that way keeps its own."""
    plan = make_plan(MODERN, requested)
    for choice in plan.choices:
        offered = {way.name for way in choice.family.ways}
        if requested == "auto" or offered == {"tracepoint"}:
            assert choice.way is not None
        elif choice.way is not None and not choice.family.required:
            assert choice.way.name == requested


def test_requested_trampolines_on_a_kernel_that_refuses_them() -> None:
    """The refusal is the kernel's own."""
    with pytest.raises(HostUnsupported, match="Operation not permitted"):
        make_plan(HARDENED, "fentry")


def test_an_unknown_way_is_a_usage_error() -> None:
    """The sentence lists what there is."""
    with pytest.raises(UsageError, match="tracepoint"):
        make_plan(MODERN, "magic")


@pytest.mark.parametrize(("host", "position"), [(MODERN, "2"), (BULLSEYE, "4")])
def test_the_position_of_accepts_result_comes_from_btf(host: Features, position: str) -> None:
    """inet_csk_accept lost two parameters in Linux 6.10 (92ef0fd55ac8); its result follows them."""
    assert make_plan(host).defines()["CT_ARG_ACCEPT_RESULT"] == position


@pytest.mark.parametrize("host", [MODERN, HARDENED, BULLSEYE])
def test_defines_match_the_choices(host: Features) -> None:
    """Exactly the chosen bodies are compiled, and hooks are derived exactly where there are none."""
    plan = make_plan(host)
    macros, chosen = plan.defines(), ways(plan)
    assert {name for name in macros if name.startswith("CT_WAY_")} == {
        f"CT_WAY_{family.upper()}_{'TP' if way == 'tracepoint' else way.upper()}"
        for family, way in chosen.items()
        if way
    }
    assert ("CT_CLOSE_HOOKED" in macros) == (chosen["close"] is not None)
    assert ("CT_ACCEPT_HOOKED" in macros) == (chosen["open"] is not None)
    assert ("CT_STATE_ELSEWHERE" in macros) == (chosen["state"] != "tracepoint")


def test_sockets_are_read_by_loads_where_addresses_may_be_cast() -> None:
    """The function and the type by their numbers in this kernel's BTF."""
    casting = replace(HARDENED, casts=True, btf_ids={"bpf_rdonly_cast": 0x12345, "tcp_sock": 678})
    macros = make_plan(casting).defines()
    assert (macros["CT_CAST"], macros["CT_CAST_TO"]) == (kernel_function(0x12345), "678")
    assert not {"CT_CAST", "CT_CAST_TO"} & set(make_plan(HARDENED).defines())


def test_transitions_that_pass_tcp_set_state_by_are_hooked_beside_it() -> None:
    """LISTEN and SYN_RECV are stored without tcp_set_state, so the tracepoint is kept beside fentry."""
    state = next(choice for choice in make_plan(MODERN).choices if choice.family.name == "state")
    assert [a.label for a in state.attachments] == ["fentry:tcp_set_state", "raw_tp:inet_sock_set_state"]
    assert state.probe().way == "fentry:tcp_set_state+raw_tp:inet_sock_set_state"


def test_every_program_of_every_way_is_in_the_source() -> None:
    """The entry point that a way attaches stands under the macro that the way defines."""
    source = (bpf_directory() / "closetrace.bpf.c").read_text()
    for family in FAMILIES:
        for way in family.ways:
            assert way.define in source
            for attachment in way.attachments:
                prefix, _, function = attachment.program.partition("_")
                trampoline = attachment.kind in ("fentry", "fexit")
                entry = f"({prefix}, {function})" if trampoline else f"({attachment.program})"
                assert entry in source, attachment


def subsets(of: Iterable[str]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(sorted(of)))


@given(
    st.builds(
        Features,
        release=st.just("1.2.3"),
        functions=subsets(FUNCTIONS).map(lambda names: {name: 2 for name in names}),
        tracepoints=subsets(TRACEPOINTS),
        helpers=subsets(HELPERS),
        trampolines=st.booleans(),
        kprobes=subsets(FUNCTIONS),
    ),
    st.sampled_from(WAYS),
    st.booleans(),
)
def test_no_plan_asks_for_what_the_host_does_not_have(host: Features, requested: str, forks: bool) -> None:
    """Whatever a host offers, the plan uses only that, or says that it cannot be traced."""
    try:
        plan = make_plan(host, requested, Scope(pids=(1,), follow_forks=forks))
    except HostUnsupported:
        return
    for attachment in plan.attachments():
        if attachment.kind == "raw_tp":
            assert attachment.target in host.tracepoints
        elif attachment.kind in ("kprobe", "kretprobe"):
            assert attachment.target in host.kprobes
        else:
            assert host.trampolines
            assert attachment.target in host.functions
    assert [probe.family for probe in plan.probes()] == [family.name for family in FAMILIES]


def test_calls_that_no_hook_shows_are_named() -> None:
    """The diagnosis must not take silence for rest where 5.10 has raw tracepoints only."""
    assert make_plan(BULLSEYE, "tracepoint").unseen_calls() == ("receive", "send")
    assert make_plan(MODERN).unseen_calls() == make_plan(HARDENED).unseen_calls() == ()
