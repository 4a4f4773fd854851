"""A record and its boxes are read as of one moment, whatever the kernel side writes in between."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Callable, Iterator
from typing import Any, Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.flight import consistent as module
from tracer.flight import layout
from tracer.flight.boxes import Box, BoxHeader
from tracer.flight.consistent import ATTEMPTS, consistent, ended
from tracer.model.frame import BlackBox

SK, BIRTH, HANDLE = 4096, 7, 3


class Socket:
    """One socket whose thread calls again and again, store by store, as bpf/blackbox.h does it."""

    def __init__(self) -> None:
        self.record = layout.Record(sk=SK, birth_ns=BIRTH, family=2)
        self.record.last.box = HANDLE
        self.version = 0
        self.header = [0, 0]  # ns and number of the touch whose stack lies in the box
        self.stack = b""
        self._stores: Iterator[None] = iter(())

    def step(self) -> None:
        """One store; at the end of a call the next one begins."""
        if next(self._stores, self) is self:
            self._stores = self._call()
            next(self._stores)

    def _call(self) -> Iterator[None]:
        touch = self.record.last
        touch.ns += 10
        yield
        touch.seq += 1
        yield
        touch.op, touch.pid, touch.tid = 3, 5, 50 + touch.seq % 2
        yield
        self.version += 1
        yield
        self.header[0] = touch.ns
        yield
        self.header[1] = touch.seq
        yield
        self.stack = b"%d" % touch.seq
        yield
        self.version += 1
        yield

    def look_up(self) -> bytes:
        return bytes(self.record)

    def read_box(self, handle: int) -> Optional[Box]:
        """As BoxPool.read with nothing written meanwhile."""
        assert handle == HANDLE
        if self.version & 1:
            return None
        ns, seq = self.header
        header = BoxHeader(handle, self.version, SK, BIRTH, ns, seq, layout.WHICH["last"])
        return header, BlackBox(5, 50 + seq % 2, (), self.stack, False)


@settings(max_examples=400)
@given(st.lists(st.integers(0, 9), max_size=300))
def test_a_stack_is_missing_rather_than_that_of_another_touch(steps: list[int]) -> None:
    """Whatever number of stores comes between the reads, the stack is that of the touch that is told."""
    socket, pauses = Socket(), iter(steps)

    def after_some_stores(read: Callable[[], Any]) -> Any:
        for _ in range(next(pauses, 0)):
            socket.step()
        return read()

    flight = consistent(
        lambda: after_some_stores(socket.look_up), lambda handle: after_some_stores(lambda: socket.read_box(handle))
    )
    assert flight is not None
    touch = flight.record.last
    for header, box in flight.boxes.values():
        assert (header.ns, header.touch_seq, box.stack) == (touch.ns, touch.seq, b"%d" % touch.seq)
    assert not flight.ended


def test_a_socket_at_rest_is_read_with_its_box() -> None:
    """Two copies of the record, one of the box."""
    socket = Socket()
    for _ in range(8):
        socket.step()
    reads = {"record": 0, "box": 0}

    def counted(kind: str, read: Callable[[], Any]) -> Any:
        reads[kind] += 1
        return read()

    flight = consistent(
        lambda: counted("record", socket.look_up), lambda handle: counted("box", lambda: socket.read_box(handle))
    )
    assert flight is not None
    assert flight.boxes[HANDLE][1].stack == b"1"
    assert reads == {"record": 2, "box": 1}


def test_a_socket_that_comes_to_rest_late_is_waited_for() -> None:
    """A burst of calls while it is read: the last of them is told."""
    socket = Socket()
    left = [ATTEMPTS // 2]

    def while_it_sends() -> bytes:
        if left[0]:
            left[0] -= 1
            for _ in range(8):
                socket.step()
        return socket.look_up()

    flight = consistent(while_it_sends, socket.read_box)
    assert flight is not None
    assert flight.record.last.seq == ATTEMPTS // 2
    assert flight.boxes[HANDLE][1].stack == b"%d" % (ATTEMPTS // 2)


def test_a_socket_that_never_rests_is_told_without_a_stack() -> None:
    """The reader gives up in bounded time, with the newest record."""
    socket, reads = Socket(), [0]

    def always_sending() -> bytes:
        reads[0] += 1
        for _ in range(9):
            socket.step()
        return socket.look_up()

    flight = consistent(always_sending, socket.read_box)
    assert flight is not None
    assert reads[0] == ATTEMPTS + 1
    assert flight.boxes == {}
    assert flight.record.last.seq == socket.record.last.seq


def test_a_socket_that_is_gone_is_none() -> None:
    """Before the first read, or between two."""
    data: list[Optional[bytes]] = [None, Socket().look_up()]
    assert consistent(lambda: None, lambda _: None) is None
    assert consistent(data.pop, lambda _: None) is None


def test_an_ending_is_read_once() -> None:
    """Nobody writes it any more; a box that does not fit is left out all the same."""
    socket = Socket()
    for _ in range(8):
        socket.step()
    data = socket.look_up()
    assert ended(data, socket.read_box).boxes[HANDLE][1].stack == b"1"
    assert ended(data, socket.read_box).ended
    socket.header[1] += 1
    assert ended(data, socket.read_box).boxes == {}


def test_formats_are_those_of_the_layout() -> None:
    """What is compared are the very fields that a C compiler has checked."""
    data = bytes(range(1, 250)) * 4
    record = layout.Record.from_buffer_copy(data[: ct.sizeof(layout.Record)])
    assert module._IDENTITY.unpack_from(bytes(record)) == (record.sk, record.birth_ns)
    for place, which in zip(module._TOUCHES, layout.TOUCHES):
        touch = getattr(record, which)
        expected = touch.ns, touch.pid, touch.tid, touch.box, touch.seq
        assert module._TOUCH.unpack_from(bytes(record), place) == expected
    for name in ("ns", "op", "box"):
        told = layout.of_each_touch(name).unpack_from(bytes(record))
        assert told == tuple(getattr(getattr(record, which), name) for which in layout.TOUCHES)


def test_what_was_counted_beside_is_added() -> None:
    """Those who find a record busy count beside; else its bytes are as they were."""
    record = layout.Record(sk=SK)
    record.counts.rx_bytes, record.counts.tx_calls = 5, 2
    assert layout.counted(bytes(record)) == bytes(record)
    record.contended.rx_bytes, record.contended.eof_reads = 7, 1
    told = layout.Record.of(layout.counted(bytes(record)))
    assert (told.sk, told.rx_bytes, told.tx_calls, told.eof_reads) == (SK, 12, 2, 1)
