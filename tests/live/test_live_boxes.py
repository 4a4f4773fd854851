"""Each box is in one place: free in the list of all CPUs, free in the stash of one, or a touch's own."""

from __future__ import annotations

import ctypes as ct
import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tracer.flight import layout
from tracer.kernel.maps import Map, possible_cpus
from tracer.kernel.source import STASHED, Sizes, Wanted
from tracer.machine import calls
from tracer.model.scope import Scope
from tracer.session.opening import Opened, open_recorder

PROBES = os.environ.get("CLOSETRACE_TEST_PROBES") or "auto"
SIZES = Sizes(8 << 20)
CONNECTIONS, LIMIT_S = 200, 60.0
HANDLES = {
    "small_boxes": range(layout.FIRST_SMALL_BOX, layout.FIRST_SMALL_BOX + SIZES.small_boxes),
    "boxes": range(layout.FIRST_BOX, layout.FIRST_BOX + SIZES.boxes),
    "deep_boxes": range(layout.FIRST_DEEP_BOX, layout.FIRST_DEEP_BOX + SIZES.deep_boxes),
}


@pytest.fixture
def opened() -> Iterator[Opened]:
    """A recorder of this process."""
    made = open_recorder(Scope(pids=(os.getpid(),)), SIZES, Wanted(linger_ns=3600 * 10**9), PROBES)
    made.recorder.start(made.plan)
    yield made
    made.recorder.close()


def popped(free: Map) -> Iterator[int]:
    """All that lies in a stack map, by BPF_MAP_LOOKUP_AND_DELETE_ELEM (21), as the kernel side takes it."""
    libc, value = ct.CDLL(None, use_errno=True), ct.create_string_buffer(4)
    attributes = ct.create_string_buffer(struct.pack("<IIQQQ", free.descriptor, 0, 0, ct.addressof(value), 0), 64)
    while libc.syscall(calls.number("bpf"), 21, attributes, len(attributes)) == 0:
        yield int.from_bytes(value.raw, "little")


def stashed(stashes: Map, kind: int) -> Iterator[int]:
    """What the CPUs keep of one kind, as bpf/record.h has it."""
    for cpu in range(min(possible_cpus(), 256)):
        busy, count, *boxes = struct.unpack(f"<II{STASHED}I", stashes.lookup(struct.pack("<I", cpu * 4 + kind)) or b"")
        assert busy == 0
        yield from boxes[:count]


def owned(opened: Opened) -> list[int]:
    """The boxes of the touches of all records."""
    records = (layout.Record.of(data) for data in opened.recorder._records)
    return [box for record in records for name in layout.WHICH if (box := getattr(record, name).box)]


def exchange(listener: socket.socket, cpus: list[int]) -> tuple[socket.socket, socket.socket]:
    """One connection, used at both ends, each end on another CPU than the other one where there are two."""
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    for end, peer, cpu in ((client, server, cpus[0]), (server, client, cpus[-1])):
        os.sched_setaffinity(0, {cpu})
        end.sendall(b"x")
        assert peer.recv(1) == b"x"
    return client, server


def test_each_box_is_in_one_place(opened: Opened) -> None:
    """After hundreds of connections, half of which are still open: none is lost, and none is in two places."""
    cpus = sorted(os.sched_getaffinity(0))
    kept: list[socket.socket] = []
    recorder = opened.recorder
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for number in range(CONNECTIONS):
                ends = exchange(listener, cpus)
                if number % 20:
                    os.sched_setaffinity(0, {cpus[number % len(cpus)]})
                    for end in ends:
                        end.close()
                else:
                    kept += ends
    finally:
        os.sched_setaffinity(0, set(cpus))
    until = time.monotonic() + LIMIT_S
    while recorder.watched > len(kept):
        assert time.monotonic() < until
        time.sleep(0.01)
    recorder.stop()
    program, own = recorder._program, owned(opened)
    stashes = program.map("stashes", 4, 8 + 4 * STASHED)
    counters, kept_by_cpus = recorder.counters(), 0
    found = list(own)
    for kind, (name, handles) in enumerate(HANDLES.items()):
        of_cpus = list(stashed(stashes, kind))
        found += [*of_cpus, *popped(program.map(f"free_{name}", 0, 4))]
        kept_by_cpus += len(of_cpus)
        assert len(of_cpus) <= len(handles) // 8
    assert sorted(found) == sorted(handle for handles in HANDLES.values() for handle in handles)
    assert recorder.boxes_out == counters["boxes_taken"] - counters["boxes_freed"] == len(own) >= len(kept)
    assert kept_by_cpus > 0
    for end in kept:
        end.close()
