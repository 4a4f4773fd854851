"""Programs that others call as their last deed: loaded once for each kind, called on this kernel."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from tracer.errors import HostUnsupported
from tracer.kernel import bpf
from tracer.kernel.features import Features
from tracer.kernel.maps import Map
from tracer.kernel.objectcode import MapSpec, ObjectCode
from tracer.kernel.plan import Attachment, Plan
from tracer.kernel.program import Program
from tracer.kernel.tailcalls import RUNNABLE, Kind, kind_of

pytestmark = pytest.mark.root

ARRAY = MapSpec("interpreter_programs", 3, 4, 4, 8, 0)
SHARED = MapSpec("shared", 2, 4, 8, 1, 0)
OWN = MapSpec("own", 2, 4, 8, 1, 0)
STATE = Attachment("raw_tp", "inet_sock_set_state", "tp_state")


def instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


def map_load(to: int, index: int) -> bytes:
    return instruction(0x18, to, 1, value=index) + instruction(0)


EXIT = instruction(0x95)


def returns(number: int) -> bytes:
    return instruction(0xB7, 0, value=number) + EXIT


def calls(language: int, array: int) -> bytes:
    """Calls the program of ``language``, and returns 7 if there is none."""
    call = map_load(2, array) + instruction(0xB7, 3, value=language - 1) + instruction(0x85, value=12)
    return call + returns(7)


def writes(number: int, index: int) -> bytes:
    """Writes ``number`` into the first element of the array map with this index, and returns it."""
    key = instruction(0x62, 10, offset=-4) + instruction(0xBF, 2, 10) + instruction(0x07, 2, value=-4)
    look_up = key + map_load(1, index) + instruction(0x85, value=1)
    write = instruction(0x15, 0, offset=1) + instruction(0x7A, 0, value=number)
    return look_up + write + returns(number)


@pytest.fixture
def program() -> Iterator[Program]:
    """Two programs that call: one of them is attached, one is run on request."""
    code = ObjectCode((SHARED, ARRAY), {"tp_state": calls(2, 1), "run_it": calls(2, 1)})
    program = Program(code, Plan((), Features("6.0"), (STATE,)), {}, ())
    yield program
    program.close()


def test_a_call_without_a_program_does_nothing(program: Program) -> None:
    """The caller goes on."""
    assert bpf.run_raw_tracepoint(program.load_runnable("run_it"), (0,)) == 7


def test_the_program_of_a_language_is_called(program: Program) -> None:
    """By its number, also by those that were loaded before it; maps of the same name are the same."""
    runnable = program.load_runnable("run_it")
    program.load_language(1, ObjectCode((), {"other": returns(1)}))
    assert bpf.run_raw_tracepoint(runnable, (0,)) == 7
    program.load_language(2, ObjectCode((OWN, SHARED), {"walk": writes(42, 1)}))
    assert bpf.run_raw_tracepoint(runnable, (0,)) == 42
    assert program.map("shared", 4, 8).lookup(bytes(4)) == struct.pack("<Q", 42)


def test_nothing_is_left() -> None:
    """Arrays, the languages' maps and their programs are freed with the program."""
    before = len(os.listdir("/proc/self/fd"))
    code = ObjectCode((SHARED, ARRAY), {"tp_state": calls(1, 1)})
    another = Program(code, Plan((), Features("6.0"), (STATE,)), {}, ())
    another.load_language(1, ObjectCode((OWN, SHARED), {"walk": writes(42, 0)}))
    another.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_refused_program_is_told_with_the_reason(program: Program) -> None:
    """And nothing is called then."""
    runnable = program.load_runnable("run_it")
    with pytest.raises(HostUnsupported, match=r"refused the program walk: .*R0 !read_ok"):
        program.load_language(2, ObjectCode((), {"walk": EXIT}))
    assert bpf.run_raw_tracepoint(runnable, (0,)) == 7


def test_the_verifiers_log_of_a_language(program: Program) -> None:
    """Once for each kind of program that calls it."""
    (told,) = program.verified_language(ObjectCode((), {"walk": EXIT}))
    assert told[0] == "walk-0"
    assert told[1].refused


def test_kinds() -> None:
    """Trampolines are of one function each, and enter or leave it."""
    ids = {"tcp_close": 5, "inet_recvmsg": 6}
    assert kind_of(STATE, ids) == RUNNABLE
    assert kind_of(Attachment("kretprobe", "tcp_close", "kr"), ids) == Kind(bpf.PROG_KPROBE)
    assert kind_of(Attachment("fentry", "tcp_close", "fe"), ids) == Kind(bpf.PROG_TRACING, 5)
    assert kind_of(Attachment("fexit", "inet_recvmsg", "fx"), ids) == Kind(bpf.PROG_TRACING, 6, exits=True)


def test_deletions() -> None:
    """A deleted key is gone."""
    hashed = bpf.create_map(1, 4, 4, 8, 0, "hashed")
    with bpf.closing(hashed):
        known = Map(hashed, 4, 4)
        known.update(b"abcd", b"efgh")
        known.delete(b"abcd")
        known.delete(b"abcd")
        assert known.lookup(b"abcd") is None
