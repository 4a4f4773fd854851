"""Flight records of any content become connections, and never anything but."""

from __future__ import annotations

import ctypes as ct
import ipaddress
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.flight import layout, transitions
from tracer.flight.decode import decode, endpoint, no_stack_reason, state
from tracer.model.connection import Connection
from tracer.model.frame import Stack
from tracer.model.states import Op, Origin, TcpState

EMPTY = Stack((), True)


def record(**fields: Any) -> layout.Record:
    made = layout.Record()
    for name, value in {"family": 2, **fields}.items():
        if name.endswith("addr"):
            ct.memmove(getattr(made, name), value, len(value))
        else:
            setattr(made, name, value)
    return made


def with_touch(which: str, made: layout.Record, **fields: Any) -> layout.Record:
    for name, value in {"ns": 5, "pid": 7, "tid": 8, "comm": b"worker", **fields}.items():
        setattr(getattr(made, which), name, value)
    return made


def with_transitions(*steps: tuple[int, int, int, int]) -> layout.Record:
    made = record()
    for slot, (ns, old, new, flags) in zip(made.transitions, steps):
        slot.ns, slot.old_state, slot.new_state, slot.flags = ns, old, new, flags
    made.transitions_seen = len(steps)
    return made


def plain(made: layout.Record) -> Connection:
    decoded = decode(made, 1000)
    return decoded.connection({name: (None, call.no_stack()) for name, call in decoded.calls.items()})


def opened_late(op: Op, flags: int = 0) -> layout.Record:
    made = record(flags=layout.R_PASSIVE | layout.R_OPENED_LATE | flags)
    return with_touch("opened", made, op=int(op), ns=5)


def test_the_first_call_seen_is_the_last_until_there_is_another() -> None:
    """The kernel side keeps it once."""
    first = plain(opened_late(Op.RECV))
    assert first.opened is not None
    assert first.last == first.opened
    second = plain(with_touch("last", opened_late(Op.RECV), op=int(Op.SEND), ns=6))
    assert second.opened == first.opened
    assert second.last is not None
    assert (second.last.op, second.last.ns) == (Op.SEND, 6)


def test_accept_is_no_use_of_the_socket() -> None:
    """What opened a socket is its last touch only if it was a receive or a send."""
    made = plain(with_touch("opened", record(flags=layout.R_PASSIVE), op=int(Op.ACCEPT)))
    assert made.opened is not None
    assert made.last is None


@pytest.mark.parametrize(("op", "flags", "is_sent"), [(Op.SEND, 32, True), (Op.RECV, 32, False), (Op.SEND, 0, False)])
def test_a_first_send_of_an_event_loop_is_the_last_send(op: Op, flags: int, is_sent: bool) -> None:
    """Until there is another send. Other processes' sends are not kept apart."""
    made = plain(opened_late(op, flags))
    assert made.sent == (made.opened if is_sent else None)


@given(st.binary(min_size=ct.sizeof(layout.Record), max_size=ct.sizeof(layout.Record)))
def test_any_bytes_decode(data: bytes) -> None:
    """Whatever the bytes of a record, a connection comes of it, its times and texts well-formed."""
    connection = plain(layout.Record.from_buffer_copy(data))
    ipaddress.ip_address(connection.local.address)
    ipaddress.ip_address(connection.remote.address)
    times = [transition.ns for transition in connection.transitions]
    assert times == sorted(times)
    assert len(times) <= layout.TRANSITIONS
    for touch in (connection.opened, connection.last, connection.eof, connection.shutdown, connection.closed):
        assert touch is None or (touch.ns > 0 and touch.op is not Op.NONE and touch.actor.comm.encode())


@given(st.binary(min_size=ct.sizeof(layout.Event), max_size=ct.sizeof(layout.Event)), st.binary(min_size=8, max_size=8))
def test_any_bytes_decode_as_a_transition(data: bytes, ring_header: bytes) -> None:
    """Whatever the bytes of an event, they mean what the layout that a C compiler has checked says."""
    raw = layout.Event.from_buffer_copy(data)
    assert transitions.RECORD.size == 8 + len(data)
    ns, in_old_ns, sk, cookie, ends, change, owner, box = transitions.RECORD.unpack(ring_header + data)
    assert (ns, in_old_ns, sk, cookie, box) == (raw.ns, raw.in_old_ns, raw.sk, raw.cookie, raw.box)
    netns, local, remote = transitions.ends(ends)
    assert netns == raw.netns
    assert endpoint(*local) == endpoint(raw.family, raw.laddr, raw.lport)
    assert endpoint(*remote) == endpoint(raw.family, raw.raddr, raw.rport)
    old, new, _ = transitions.change(change)
    assert (old, new) == (state(raw.old_state), state(raw.new_state))
    assert transitions.owner(owner) == (raw.pid or None, raw.comm.decode(errors="replace"))


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_ipv4_and_its_mapped_form_are_the_same_endpoint(address: ipaddress.IPv4Address, port: int) -> None:
    """A Java program's v4-mapped address is shown as the IPv4 address that it is, port 0 and all."""
    plain_form = endpoint(2, address.packed + bytes(12), port)
    mapped = endpoint(10, b"\0" * 10 + b"\xff\xff" + address.packed, port)
    assert plain_form == mapped
    assert str(mapped) == f"{address}:{port}"


@given(
    st.builds(ipaddress.IPv6Address, st.ip_addresses(v=6).map(int)).filter(lambda a: a.ipv4_mapped is None),
    st.integers(0, 65535),
)
def test_ipv6_endpoints_are_bracketed(address: ipaddress.IPv6Address, port: int) -> None:
    """An address with colons is told from its port."""
    assert str(endpoint(10, address.packed, port)) == f"[{address}]:{port}"


@pytest.mark.parametrize("number", [0, 13, 255])
def test_unknown_states_do_not_stop_a_report(number: int) -> None:
    """A state that no kernel has today counts as CLOSE."""
    assert state(number) is TcpState.CLOSE


def test_unknown_operations_are_no_touch() -> None:
    """An operation that record.h does not have (a torn copy) is dropped instead of raised."""
    assert plain(with_touch("last", record(), op=99)).last is None


def test_comm_that_is_not_utf8() -> None:
    """Bytes that are no text become replacement characters."""
    last = plain(with_touch("last", record(), op=Op.RECV, comm=b"\xff\xfebad")).last
    assert last is not None
    assert last.actor.comm == "\ufffd\ufffdbad"


@pytest.mark.parametrize(("op", "expected"), [(Op.RECV, -11), (Op.SEND, -11), (Op.CONNECT, None), (Op.ACCEPT, None)])
def test_results_are_kept_where_the_hook_has_them(op: Op, expected: Optional[int]) -> None:
    """Of connect and accept the hooks do not know the result, so none is claimed."""
    opened = plain(with_touch("opened", record(), op=op, ret=-11)).opened
    assert opened is not None
    assert opened.ret == expected


def test_the_last_touch_is_the_later_of_two() -> None:
    """The read of EOF has a black box of its own, and is the last touch as well if nothing came after."""
    made = with_touch("last", record(), op=Op.RECV, ns=5)
    with_touch("eof", made, op=Op.RECV, ns=9)
    connection = plain(made)
    assert connection.last == connection.eof
    made.last.ns = 11
    connection = plain(made)
    assert connection.last is not None
    assert connection.last.ns == 11


def test_the_last_send_is_kept_where_the_end_was_read_after_it() -> None:
    """The end has a place of its own. A receive in the last place would have been after the send, or before it."""
    for op, is_sent in ((Op.SEND, True), (Op.RECV, False)):
        made = with_touch("eof", with_touch("last", record(), op=int(op), ns=8), op=int(Op.RECV), ns=9)
        found = plain(made)
        assert (found.last, found.sent is not None) == (found.eof, is_sent)
        made.last.ns = 10
        assert plain(made).sent is None


def test_a_send_that_is_kept_apart_may_be_the_last_call() -> None:
    """Whichever is later; it is told by itself, too."""
    made = with_touch("last", record(), op=int(Op.RECV), ns=9)
    assert plain(made).sent is None
    for ns, last in ((8, Op.RECV), (10, Op.SEND)):
        found = plain(with_touch("sent", made, op=int(Op.SEND), ns=ns))
        assert found.sent is not None
        assert found.last is not None
        assert (found.sent.op, found.last.op) == (Op.SEND, last)


@pytest.mark.parametrize(("op", "name"), [(Op.SHUTDOWN, "shutdown"), (Op.CLOSE, "closed")])
def test_the_ending_is_told_by_its_operation(op: Op, name: str) -> None:
    """One slot of the record holds the program's last word: a shutdown or a close."""
    connection = plain(with_touch("ending", record(), op=op))
    assert {"shutdown": connection.shutdown, "closed": connection.closed}[name] is not None
    assert (connection.shutdown is None) != (connection.closed is None)


@pytest.mark.parametrize(("syscall", "kept"), [(3, True), (59, False), (322, False)])
def test_what_exec_closed_has_no_stack(syscall: int, kept: bool) -> None:
    """59 and 322 are execve and execveat (asm/unistd_64.h): the stack of that moment is the next program's."""
    made = with_touch("ending", record(), op=int(Op.CLOSE), syscall=syscall, box=7)
    stack = Stack((), True)
    decoded = decode(bytes(made), 10)
    closed = decoded.connection({name: (stack, None) for name in decoded.calls}).closed
    assert closed is not None
    assert (closed.stack is stack) is kept
    assert (closed.stack_note is None) is kept


@given(st.permutations([(1, 7, 2, 1), (2, 2, 1, 0), (3, 1, 8, 0), (4, 8, 9, 1), (5, 9, 7, 0)]))
def test_the_timeline_is_in_order_however_it_was_stored(steps: list[tuple[int, int, int, int]]) -> None:
    """Two CPUs may store transitions out of order; the reader does not see it."""
    connection = plain(with_transitions(*steps))
    assert [t.new for t in connection.transitions] == [
        TcpState.SYN_SENT,
        TcpState.ESTABLISHED,
        TcpState.CLOSE_WAIT,
        TcpState.LAST_ACK,
        TcpState.CLOSE,
    ]
    assert connection.transitions[2].origin is Origin.PEER


@given(st.integers(layout.TRANSITIONS, 2**32 - 1))
def test_transitions_that_were_not_kept_are_counted(seen: int) -> None:
    """A record keeps eight; how many more there were is told."""
    assert plain(record(transitions_seen=seen)).transitions_dropped == seen - layout.TRANSITIONS


def test_the_actor_of_a_transition_is_named_only_for_local_calls() -> None:
    """Over loopback the peer's thread is on the CPU when FIN arrives: it is never named."""
    made = with_transitions((1, 8, 9, layout.TR_OWNED), (2, 1, 8, 0))
    for slot in made.transitions:
        slot.tid = 8
    with_touch("ending", made, op=Op.CLOSE)
    last_ack, close_wait = plain(made).transitions
    assert last_ack.actor is not None
    assert (last_ack.actor.pid, last_ack.actor.tid, last_ack.actor.comm) == (7, 8, "worker")
    assert close_wait.actor is None


@pytest.mark.parametrize(
    ("flags", "passive", "accepted"),
    [
        (0, None, None),
        (layout.R_ACTIVE, False, None),
        (layout.R_PASSIVE, True, False),
        (layout.R_PASSIVE | layout.R_ACCEPTED, True, True),
        (layout.R_ADOPTED, None, None),
    ],
)
def test_how_a_life_began(flags: int, passive: Optional[bool], accepted: Optional[bool]) -> None:
    """Connected, accepted, waiting to be accepted, or older than the trace."""
    connection = plain(record(flags=flags))
    assert (connection.passive, connection.accepted) == (passive, accepted)
    assert connection.preexisting == bool(flags & layout.R_ADOPTED)


def test_resets_are_told_by_who_sent_them() -> None:
    """tcp_receive_reset and tcp_send_reset leave different marks."""
    gone = TcpState.CLOSE
    assert plain(record(state=gone, reset_flags=layout.TR_RESET_PEER)).reset_by is None
    assert plain(record(state=gone, reset_ns=9, reset_flags=layout.TR_RESET_PEER)).reset_by is Origin.PEER
    assert plain(record(state=gone, reset_ns=9, reset_flags=layout.TR_RESET_LOCAL)).reset_by is Origin.LOCAL


def test_a_refused_segment_resets_nothing() -> None:
    """An RST that a living socket sent for a segment that it refused did not end it."""
    alive = record(state=TcpState.CLOSE_WAIT, reset_ns=9, reset_flags=layout.TR_RESET_LOCAL)
    assert plain(alive).reset_by is None


def test_no_fin_no_queue() -> None:
    """What lay unread when FIN came is not known before FIN came."""
    assert plain(record(unread_at_fin=5)).rx_queue_at_fin is None
    assert plain(record(unread_at_fin=5, fin_ns=9)).rx_queue_at_fin == 5


def test_a_stack_makes_its_reason_superfluous() -> None:
    """Where there is a stack there is no note that it is missing."""
    made = with_touch("last", record(), op=Op.RECV, flags=layout.TOUCH_NO_BOX)
    with_stack = decode(made, 1).connection({"last": (EMPTY, "ignored")}).last
    assert with_stack is not None
    assert (with_stack.stack, with_stack.stack_note) == (EMPTY, None)
    bare = plain(made).last
    assert bare is not None
    assert bare.stack_note is not None
    assert "--memory" in bare.stack_note


@pytest.mark.parametrize(
    "flag", sorted(name for name in dir(layout) if name.startswith("TOUCH_") and name != "TOUCH_PEEK")
)
def test_every_missing_stack_has_a_reason(flag: str) -> None:
    """Each way to have no stack is told apart."""
    reasons = {no_stack_reason(getattr(layout, name)) for name in dir(layout) if name.startswith("TOUCH_")}
    assert no_stack_reason(getattr(layout, flag)) in reasons - {None}
    assert len(reasons - {None}) == 6
