"""Facts that several tests judge or print: one of each verdict, any connection at all, hostile names."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.unit.builders import NOW, START, S, actor, touch
from tracer.flight import layout, transitions
from tracer.model.connection import Blocked, Endpoint, Holder, Interest, KernelCounters
from tracer.model.finding import Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.holder import Lineage, Missing
from tracer.model.states import Op, Origin, TcpState

HOSTILE = "a\x1b[31mred\x07\x9b2J\u202eevil\u2028\udcff\x00\tb\r\n"
V6 = Endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 65535)
OFFSET_NS = 1_700_000_000_000_000_000


def transition(**changes: Any) -> transitions.Raw:
    """A transition as it lies in the ring, by the fields of layout.Event; the stack of its ``box`` is the caller's."""
    fields: dict[str, Any] = {
        "ns": 123_456_789,
        "in_old_ns": 65_004_120_000,
        "cookie": 77,
        "netns": 4_026_531_840,
        "family": 2,
        "laddr": bytes((127, 0, 0, 1)),
        "raddr": bytes((127, 0, 0, 1)),
        "lport": 57510,
        "rport": 8081,
        "old_state": TcpState.ESTABLISHED,
        "new_state": TcpState.CLOSE_WAIT,
        "flags": layout.TR_OPEN_FD,
        "pid": 4121,
        "tid": 4160,
        "comm": b"java",
        **changes,
    }
    made = layout.Event()
    for name, value in fields.items():
        setattr(made, name, (ctypes.c_uint8 * 16)(*value) if name in ("laddr", "raddr") else value)
    raw: transitions.Raw = transitions.RECORD.unpack(bytes(8) + bytes(made))
    return raw


LOCAL_CLOSE = {"new_state": TcpState.LAST_ACK, "old_state": TcpState.CLOSE_WAIT, "box": 3}
EOF_READ: dict[str, Any] = {
    "eof": touch(Op.RECV, 66.5, 0),
    "eof_reads": 1,
    "last": touch(Op.RECV, 66.5, 0),
    "rx_queue": 0,
}
SENDING: dict[str, Any] = {"last": touch(Op.SEND, 199.5, 10), "last_tx_ns": START + round(199.5 * S)}
OTHER = (Holder(555, 7, "child"),)
KEPT = (Holder(100, 11, "new", exec_ns=START + 100 * S, close_on_exec=False),)
"""The user's process has called exec since its last call."""
INSIDE = (Blocked(actor(100, 107, "stuck"), 11, "sendto"),)
UNREAD = {"rx_queue": 501, "rx_queue_at_fin": 500}
WITH_DATA: dict[str, Any] = {
    "last": touch(Op.RECV, 67, 6),
    "last_rx_ns": START + 67 * S,
    "rx_bytes": 156,
    "rx_queue": 0,
    "kernel": KernelCounters(bytes_received=157),
}
NEVER_READ: dict[str, Any] = {
    "last": None,
    "rx_bytes": 0,
    "rx_calls": 0,
    "last_rx_ns": None,
    "kernel": KernelCounters(bytes_received=501),
    **UNREAD,
}
PAUSED: dict[str, Any] = {**UNREAD, "interests": ()}
STALLED: dict[str, Any] = {
    "last": touch(Op.SEND, 65, -11),
    "tx_queue": 2_803_712,
    "kernel": KernelCounters(unsent=2_803_712, unacked=0, peer_window=0, last_data_out_ns=START + 65 * S),
}
GOODBYE: dict[str, Any] = {
    "rx_queue": 42,
    "rx_queue_at_fin": 41,
    "kernel": KernelCounters(192, last_data_in_ns=START + 66 * S - 100_000),
}
NEVER_USED: dict[str, Any] = {
    "last": None,
    **dict.fromkeys(("rx_bytes", "tx_bytes", "rx_calls", "tx_calls"), 0),
    **dict.fromkeys(("last_rx_ns", "last_tx_ns")),
}
"""Opened by connect, and no more."""
FAREWELL: dict[str, Any] = {
    **NEVER_USED,
    **GOODBYE,
    "kernel": replace(GOODBYE["kernel"], bytes_received=42, bytes_acked=1),
}
"""The same, and the peer said something before its FIN."""
WATCHED = (Interest(100, 5, 11, 0x19),)
OLD: dict[str, Any] = {
    "preexisting": True,
    "passive": None,
    "opened": None,
    "last": None,
    "fin": None,
    "last_rx_ns": None,
    "last_tx_ns": None,
    "rx_queue_at_fin": None,
}
OKHTTP = Stack(
    (
        Frame("recv", "libc.so.6", internal=True),
        Frame("okhttp3.internal.http1.Http1ExchangeCodec.readHeaderLine", None, language="java"),
        Frame("com.acme.Client.call", None, language="java"),
    ),
    True,
)
NOT_RELEASED: dict[str, Any] = {"last": touch(Op.RECV, 1.006, 150, stack=OKHTTP), "never_reused": True}
ONE_OF_EACH: list[tuple[dict[str, Any], Verdict, str]] = [
    (EOF_READ, Verdict.EOF_IGNORED, "returned 0"),
    ({}, Verdict.IDLE_IN_POOL, "65.0 s"),
    (WITH_DATA, Verdict.END_TAKEN, "taken by one read"),
    ({"lineage": Lineage(7, missing=Missing.UNREACHABLE)}, Verdict.LOST, "lost without a close"),
    (UNREAD, Verdict.UNREAD_DATA, "500 B"),
    (PAUSED, Verdict.READING_PAUSED, "in no epoll set"),
    (NEVER_READ, Verdict.NEVER_READ, "no call has ever read"),
    (STALLED, Verdict.SEND_STALLED, "taken nothing of them for 2m 15s"),
    (NOT_RELEASED, Verdict.NOT_RELEASED, "lay idle"),
    (
        {"accepted": False, "last": None, "opened": None, "holders": (), "passive": True},
        Verdict.NEVER_ACCEPTED,
        "queue",
    ),
    ({"holders": OTHER}, Verdict.HELD_ELSEWHERE, "child (pid 555)"),
    (SENDING, Verdict.HALF_CLOSED_IN_USE, "goes on sending"),
    ({"blocked": INSIDE}, Verdict.BLOCKED_IN_CALL, "stuck (tid 107) is inside sendto"),
    ({"state": TcpState.CLOSE, "reset_by": Origin.PEER}, Verdict.RESET_STILL_OPEN, "the peer reset it"),
    ({"passive": True}, Verdict.NOT_READ_SINCE, "65.0 s after the last call"),
    (OLD, Verdict.UNKNOWN, "older than the trace"),
]

TOUCHES = st.one_of(
    st.none(),
    st.builds(
        lambda op, t, ret: touch(op, t, ret),
        st.sampled_from(list(Op)),
        st.floats(0, 199),
        st.one_of(st.none(), st.integers(-120, 10_000)),
    ),
)
ANYTHING = st.fixed_dictionaries(
    {
        "fin": st.one_of(st.none(), st.floats(0, 199)),
        "state": st.sampled_from(list(TcpState)),
        "passive": st.sampled_from([None, True, False]),
        "accepted": st.sampled_from([None, True, False]),
        "preexisting": st.booleans(),
        "opened": TOUCHES,
        "last": TOUCHES,
        "eof": TOUCHES,
        "eof_reads": st.integers(0, 3),
        "reset_by": st.sampled_from([None, *Origin]),
        "reset_ns": st.one_of(st.none(), st.integers(START, NOW)),
        "rx_queue": st.one_of(st.none(), st.integers(0, 100_000)),
        "rx_queue_at_fin": st.one_of(st.none(), st.integers(0, 100_000)),
        "last_tx_ns": st.one_of(st.none(), st.integers(START, NOW)),
        "fin_before_ns": st.one_of(st.none(), st.integers(START - S, NOW)),
        "holders": st.sampled_from(
            [(), OTHER, (Holder(100, 3, "app"),), (Holder(100, 3, "app"), *OTHER), KEPT, (*KEPT, *OTHER)]
        ),
        "blocked": st.sampled_from([(), INSIDE]),
        "missed_touches": st.integers(0, 2),
        "tx_queue": st.one_of(st.none(), st.integers(0, 100_000)),
        "interests": st.sampled_from([None, (), WATCHED, (Interest(100, 5, 11, 0x4),)]),
        "never_reused": st.sampled_from([None, True, False]),
        "kernel": st.one_of(
            st.none(),
            st.builds(
                KernelCounters,
                *(st.one_of(st.none(), st.integers(0, 100_000)) for _ in range(2)),
                *(st.one_of(st.none(), st.integers(START - S, NOW)) for _ in range(3)),
                *(st.one_of(st.none(), st.integers(0, 100_000)) for _ in range(3)),
                st.one_of(st.none(), st.integers(0, 100 * S)),
            ),
        ),
    }
)
