"""From the JSON of a socket to a Connection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypeVar

from tracer.host.epoll import event_mask
from tracer.model.connection import (
    Actor,
    Blocked,
    Connection,
    Endpoint,
    Holder,
    Interest,
    KernelCounters,
    Relation,
    Touch,
    Transition,
)
from tracer.model.finding import Verdict
from tracer.model.frame import Stack
from tracer.model.holder import Lineage
from tracer.model.states import Op, Origin, TcpState
from tracer.reports.json.reading.fields import MOST, BadReport, Fields, several
from tracer.reports.json.reading.older import record_of
from tracer.reports.json.record import ALIKE, COUNTS, KERNEL_COUNTS, KERNEL_TIMES, TIMES, TOUCHES
from tracer.reports.times import epoch_ns

T = TypeVar("T")
Stacks = Mapping[str, Optional[Stack]]
_STATES = dict(TcpState.__members__)
_OPS = {op.label: op for op in Op}
_ORIGINS = {origin.value: origin for origin in Origin}
_STAND_IN = {
    "opened": "opened_stack",
    "sent": "sent_stack",
    "closed": "closed_stack",
    **dict.fromkeys(("last", "eof", "shutdown"), "stack"),
}
"""For a stack that the report does not have: the one of its site, but for the parts of libraries the same. Not where
the site's is that of a call that goes on now.
"""
_ENDPOINT = re.compile(r"\[?([0-9A-Fa-f:.%]{1,64}?)\]?:([0-9]{1,5})")


class Sockets:
    """Reads the sockets of one report whose end is at ``now_ns``, ns since the epoch. Equal threads are one object."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._actors: dict[tuple[int, int, str], Actor] = {}
        self._read = 0

    def connection(self, socket: Fields, shown: Stacks, lineage: Optional[Lineage] = None) -> Connection:
        """Make the connection. ``shown`` are its site's stacks by key; its times are ns since the epoch."""
        self._read += 1
        record = socket.part("record") if socket.has("record") else record_of(socket, self._now_ns)
        fields: dict[str, Any] = {name: self._ns(record, name) for name in TIMES}
        fields["seen_ns"] = fields["seen_ns"] if fields["seen_ns"] is not None else self._now_ns
        fields["birth_ns"] = fields["birth_ns"] if fields["birth_ns"] is not None else self._now_ns
        fields.update((name, record.count(name)) for name in COUNTS)
        stand_in = {} if socket.text("verdict", "") == Verdict.BLOCKED_IN_CALL.value else _STAND_IN
        fields.update((name, self._touch(record, name, shown, stand_in.get(name, ""))) for name in TOUCHES)
        return Connection(
            sk=self._read,
            local=endpoint(socket, "local"),
            remote=endpoint(socket, "remote"),
            state=socket.named("state", _STATES),
            netns=socket.count("netns"),
            cookie=socket.count("cookie"),
            inode=socket.count("inode"),
            preexisting=socket.flag("preexisting"),
            passive=socket.maybe("passive"),
            accepted=socket.maybe("accepted"),
            transitions=tuple(self._transition(one, record.where) for one in record.items("transitions")),
            opened_late=record.flag("opened_late"),
            reset_by=socket.one_of("reset_by", Origin) if socket.has("reset_by") else None,
            rx_bytes=socket.count("rx_bytes"),
            tx_bytes=socket.count("tx_bytes"),
            rx_queue=socket.maybe_whole("rx_queue"),
            rx_queue_at_fin=socket.maybe_whole("rx_queue_at_fin"),
            holders=several(socket.parts("holders"), holder),
            blocked=several(socket.parts("blocked"), self._blocked),
            listener=holder(socket.part("listener")) if socket.has("listener") else None,
            listeners=several(socket.parts("listeners"), holder),
            unseen=record.texts("unseen"),
            packages=record.texts("packages"),
            tx_queue=socket.maybe_whole("tx_queue"),
            kernel=self._kernel(socket, record),
            interests=several(socket.parts("epoll"), _interest) if socket.has("epoll") else None,
            never_reused=socket.maybe("never_reused"),
            unheld=record.maybe_whole("unheld"),
            unrecorded=not socket.flag("recorded", default=True),
            crowded_out=record.flag("crowded_out"),
            lineage=lineage,
            **fields,
        )

    def actor(self, pid: object, tid: object, comm: object, where: str) -> Actor:
        """One thread. Raises BadReport for other types."""
        if type(pid) is not int or type(tid) is not int or type(comm) is not str:
            raise BadReport(f"{where}: a thread is not a pid, a tid and a name")
        known = self._actors.get((pid, tid, comm))
        if known is None:
            known = self._actors[(pid, tid, comm)] = Actor(pid, tid, comm)
        return known

    def thread(self, fields: Fields) -> Actor:
        """The thread of an object with ``pid``, ``tid`` and ``comm``."""
        return self.actor(fields.whole("pid"), fields.whole("tid"), fields.text("comm"), fields.where)

    def _ns(self, record: Fields, key: str) -> Optional[int]:
        ago = record.maybe_whole(key)
        return None if ago is None else self._now_ns - ago

    def _transition(self, one: object, where: str) -> Transition:
        if not isinstance(one, list) or len(one) not in (4, 7) or type(one[0]) is not int or abs(one[0]) > MOST:
            raise BadReport(f"{where}.transitions is not a list of transitions")
        old, new, origin = _named(_STATES, one[1]), _named(_STATES, one[2]), _named(_ORIGINS, one[3])
        if old is None or new is None or origin is None:
            raise BadReport(f"{where}.transitions has a state or an origin that this version does not know")
        actor = self.actor(one[4], one[5], one[6], where) if len(one) == 7 else None
        return Transition(self._now_ns - one[0], old, new, origin, actor)

    def _touch(self, record: Fields, key: str, shown: Stacks, stand_in: str) -> Optional[Touch]:
        if not record.has(key):
            return None
        told = record.part(key)
        by: Sequence[Any] = told.items("by")
        if len(by) != 3:
            raise BadReport(f"{told.where}.by is not a pid, a tid and a name")
        result = told.maybe_whole("result")
        if result is not None and abs(result) >= 1 << 31:
            raise BadReport(f"{told.where}.result is not the result of a call")
        which = told.text("stack", "")
        return Touch(
            op=told.named("op", _OPS),
            ns=self._now_ns - told.whole("ns"),
            actor=self.actor(by[0], by[1], by[2], told.where),
            ret=result,
            syscall=told.whole("syscall", -1),
            peek=told.flag("peek"),
            stack=shown.get(stand_in if which == ALIKE else which),
            stack_note=told.maybe_text("stack_note"),
            exiting=told.flag("exiting"),
        )

    def _blocked(self, one: Fields) -> Blocked:
        return Blocked(self.thread(one), one.whole("fd"), one.text("syscall"))

    def _kernel(self, socket: Fields, record: Fields) -> Optional[KernelCounters]:
        if not record.has("kernel"):
            return None
        told = record.part("kernel")
        fields: dict[str, Any] = {name: self._ns(told, name) for name in KERNEL_TIMES}
        fields.update((name, told.maybe_whole(name)) for name in KERNEL_COUNTS)
        public = ("bytes_received", "bytes_acked", "unsent", "unacked")
        fields.update((name, socket.maybe_whole(name)) for name in public)
        return KernelCounters(**fields, opened_here=told.maybe("opened_here"))


def _named(table: Mapping[str, T], name: object) -> Optional[T]:
    return table.get(name) if isinstance(name, str) else None


def endpoint(fields: Fields, key: str) -> Endpoint:
    """An address with its port: ``10.0.0.1:443``, ``[::1]:443``."""
    text = fields.text(key)
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise BadReport(f"{fields.where}.{key} is not an address with a port")
    return Endpoint(found[1], int(found[2]))


def holder(fields: Fields) -> Holder:
    """A process that holds the socket."""
    relation = fields.one_of("relation", Relation) if fields.has("relation") else None
    exec_ns = epoch_ns(fields.text("exec")) if fields.has("exec") else None
    flag = fields.maybe("close_on_exec")
    tid = fields.maybe_whole("tid")
    return Holder(fields.whole("pid"), fields.whole("fd"), fields.text("comm"), relation, exec_ns, flag, tid)


def _interest(fields: Fields) -> Interest:
    numbers = (fields.whole("pid"), fields.whole("epoll_fd"), fields.whole("fd"))
    return Interest(*numbers, event_mask(fields.texts("events")))
