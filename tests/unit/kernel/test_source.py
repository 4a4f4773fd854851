"""The translation unit that bcc gets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel.hosts import BULLSEYE, HARDENED, MODERN
from tracer.kernel.features import Features
from tracer.kernel.headers import bpf_directory
from tracer.kernel.plan import make_plan
from tracer.kernel.source import PAGE, SMALL_STACK, STASHED, USUAL_STACK, WAYS, Sizes, Wanted, program_text
from tracer.model.scope import Scope

SIZES = Sizes(16 << 20)


def text(wanted: Wanted = Wanted(10), scope: Scope = Scope()) -> str:  # noqa: B008
    return program_text(make_plan(MODERN), scope, SIZES, wanted)


def test_every_header_of_ours_is_inlined_once() -> None:
    """bcc rewrites map operations in the main text alone: no quoted include may be left, and none may come twice."""
    unit = text()
    assert not re.search(r'^#include "', unit, re.MULTILINE)
    for header in [*bpf_directory().glob("*.h"), *bpf_directory().glob("hooks/*.h")]:
        line = next(line for line in header.read_text().splitlines() if line.startswith(("struct", "static", "enum")))
        assert unit.count(f"\n{line}\n") == 1, header


def test_macros_come_before_all_else() -> None:
    """The body depends on them."""
    head, _, body = text().partition("/* SPDX")
    assert all(line.startswith("#define CT_") for line in head.splitlines())
    assert "#define CT_CLOSE_WAIT 8" in head
    names = re.findall(r"^#define (\w+)", head, re.MULTILINE)
    assert len(names) == len(set(names))
    assert "struct ct_record" in body


@pytest.mark.parametrize("host", [MODERN, HARDENED, BULLSEYE])
def test_every_macro_that_the_source_uses_is_defined_somewhere(host: Features) -> None:
    """A CT_ name outside of a condition is defined by the text itself."""
    unit = program_text(make_plan(host), Scope(pids=(1,), comm="x"), SIZES, Wanted(1, True, True, True))
    code = re.sub(r"/\*.*?\*/", "", unit, flags=re.DOTALL)
    defined = set(re.findall(r"#define (CT_\w+)", code)) | set(re.findall(r"(CT_\w+) = \d+", code))
    used = set(re.findall(r"\bCT_[A-Z0-9_]+\b", re.sub(r"^#.*$", "", code, flags=re.MULTILINE)))
    guarded = {"CT_ARG_ACCEPT_RESULT", "CT_LOCAL_PORTS", "CT_REMOTE_PORTS", "CT_NETNS", "CT_REMOTES", "CT_CGROUP_ID"}
    assert used - defined <= guarded | {"CT_CGROUP_LEVEL", "CT_COMM_HIGH", "CT_COMM_LOW", "CT_CAST", "CT_CAST_TO"}


@given(st.integers(4, 65536), st.integers(1, 16))
def test_sizes_keep_to_the_budget(megabytes: int, pages: int) -> None:
    """Records and boxes together stay within --memory, but for the floors that make a small budget work at all."""
    sizes = Sizes(megabytes << 20, pages * PAGE)
    box, small, deep = 256 + sizes.usual_stack, 256 + SMALL_STACK, 256 + sizes.stack_bytes
    assert sizes.boxes >= 64
    assert sizes.deep_boxes >= 16 if sizes.stack_bytes > USUAL_STACK else sizes.deep_boxes == 0
    assert sizes.small_boxes >= 64
    assert sizes.records >= 4096
    boxes = sizes.boxes * box + sizes.small_boxes * small + sizes.deep_boxes * deep
    entries = sizes.entries()
    table = entries["sockets"] * 640 + entries["buckets"] * 64 + entries["marks"] * 8 + entries["crowded"] * 80
    floor = 64 * (box + small) + 16 * deep
    assert boxes <= max(sizes.memory, floor)
    assert boxes + table <= max(sizes.memory, floor) + 4096 * 800


@given(st.integers(4, 65536))
def test_the_table_has_a_place_for_each_record(megabytes: int) -> None:
    """One in 16 more in the buckets that an address tells, and one in 16 for those that find theirs full."""
    sizes = Sizes(megabytes << 20)
    entries = sizes.entries()
    assert entries["buckets"] == entries["marks"] == sizes.buckets + sizes.spare_buckets
    assert entries["sockets"] == entries["buckets"] * WAYS
    assert sizes.buckets * WAYS >= sizes.records * 17 / 16
    assert entries["crowded"] == entries["spare_places"] == sizes.spare_buckets * WAYS >= sizes.records / 16


@given(st.integers(4, 4096), st.integers(1, 512))
def test_cpus_keep_an_eighth_of_the_free_boxes_at_most(megabytes: int, cpus: int) -> None:
    """Of each kind, all CPUs together, and no CPU more than its stash has room for."""
    sizes = Sizes(megabytes << 20)
    most = sizes.stashes(cpus).to_bytes(3, "little")
    for count, kept in zip((sizes.small_boxes, sizes.boxes, sizes.deep_boxes), most):
        assert kept <= STASHED
        assert kept * cpus * 8 <= count
        assert kept == STASHED or (kept + 1) * cpus * 8 > count


@pytest.mark.parametrize(
    ("wanted", "macros"),
    [
        (Wanted(1), set()),
        (Wanted(1, events=True), {"CT_EVENTS"}),
        (Wanted(1, events=True, event_stacks=True), {"CT_EVENTS", "CT_EVENT_STACKS", "CT_ALWAYS_END_STACK"}),
        (Wanted(1, all_endings=True), {"CT_ALL_ENDINGS", "CT_ALWAYS_END_STACK"}),
    ],
)
def test_commands_compile_only_what_they_read(wanted: Wanted, macros: set[str]) -> None:
    """The default command's kernel side sends nothing per transition."""
    optional = {"CT_EVENTS", "CT_EVENT_STACKS", "CT_ALWAYS_END_STACK", "CT_ALL_ENDINGS"}
    assert set(wanted.defines()) & optional == macros
