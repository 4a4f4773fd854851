"""Small makers of model values for unit tests: a plain connection, and what is said about it overridden."""

from __future__ import annotations

from typing import Any, Optional

from tracer.diagnose import sites, verdict
from tracer.kernel import plan
from tracer.model.connection import Actor, Connection, Endpoint, Holder, Host, Losses, Probe, Touch, Transition
from tracer.model.finding import Finding, Report
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op, Origin, TcpState
from tracer.session.endings import Endings

S = 1_000_000_000
START = 1_000 * S
"""Monotonic time at which the trace starts."""
NOW = START + 200 * S
OFFSET = 1_700_000_000 * S


def actor(pid: int = 100, tid: Optional[int] = None, comm: str = "worker") -> Actor:
    """A thread; the main one unless ``tid`` is given."""
    return Actor(pid, pid if tid is None else tid, comm)


def frame(function: Optional[str], module: str = "app", **more: Any) -> Frame:
    """A native frame of the program."""
    return Frame(function, module, **more)


def stack(*functions: str, complete: bool = True, note: Optional[str] = None) -> Stack:
    """The C library's frame of a call, then ``functions``, innermost first."""
    libc = Frame("__libc_recv", "/usr/lib/x86_64-linux-gnu/libc.so.6", 0x64, internal=True)
    return Stack((libc, *(frame(f) for f in functions)), complete, note)


def touch(op: Op, seconds: float, ret: Optional[int] = None, **more: Any) -> Touch:
    """A call ``seconds`` after the start of the trace."""
    by = more.pop("actor", None) or actor()
    return Touch(op, START + round(seconds * S), by, ret, **more)


def life(*steps: tuple[float, TcpState, TcpState, Origin]) -> tuple[Transition, ...]:
    """Transitions, each at its second after the start."""
    return tuple(Transition(START + round(t * S), old, new, origin) for t, old, new, origin in steps)


CONNECTED = (
    (1.0, TcpState.CLOSE, TcpState.SYN_SENT, Origin.LOCAL),
    (1.001, TcpState.SYN_SENT, TcpState.ESTABLISHED, Origin.PEER),
)


def connection(serial: int = 1, *, fin: Optional[float] = 66.0, **more: Any) -> Connection:
    """A connect-opened socket in CLOSE_WAIT since ``fin`` s, last read at 1.006 s, held by its owner; FIN unread."""
    steps = CONNECTED if fin is None else (*CONNECTED, (fin, TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, Origin.PEER))
    facts: dict[str, Any] = {
        "sk": 0xFFFF888000000000 + serial * 0x900,
        "birth_ns": START + S,
        "local": Endpoint("127.0.0.1", 40000 + serial),
        "remote": Endpoint("127.0.0.1", 8081),
        "state": TcpState.CLOSE_WAIT,
        "seen_ns": NOW,
        "inode": 7000 + serial,
        "cookie": serial,
        "netns": 4026531840,
        "passive": False,
        "transitions": life(*steps),
        "opened": touch(Op.CONNECT, 1.0, 0, stack=stack("connect_backend", "call_backend", "main")),
        "last": touch(Op.RECV, 1.006, 150, stack=stack("read_reply", "call_backend", "main")),
        "fin_ns": None if fin is None else START + round(fin * S),
        "rx_bytes": 150,
        "tx_bytes": 120,
        "rx_calls": 1,
        "tx_calls": 1,
        "last_rx_ns": START + round(1.006 * S),
        "last_tx_ns": START + round(1.004 * S),
        "rx_queue": 1,
        "rx_queue_at_fin": 0,
        "holders": (Holder(100, 10 + serial, "app"),),
    }
    return Connection(**{**facts, **more})


def accepted(serial: int = 1, **more: Any) -> Connection:
    """The same socket on the accepting side of port 8080."""
    facts: dict[str, Any] = {
        "local": Endpoint("10.0.0.5", 8080),
        "remote": Endpoint("10.0.0.9", 50000 + serial),
        "passive": True,
        "accepted": True,
        "opened": touch(Op.ACCEPT, 1.0, 11, stack=stack("accept_loop", "main")),
    }
    return connection(serial, **{**facts, **more})


def judged(*connections: Connection) -> list[Finding]:
    """Findings as the session gets them."""
    return [verdict.judge(c, NOW, START) for c in connections]


FAMILIES = tuple(family.name for family in plan.FAMILIES)


def report(*connections: Connection, **more: Any) -> Report:
    """A report on ``connections`` 200 s after the start, with nothing lost."""
    facts: dict[str, Any] = {
        "host": Host("host1", "6.18.0", "x86_64"),
        "target": "app (pid 100)",
        "started": (START + OFFSET) / S,
        "ended": (NOW + OFFSET) / S,
        "now_ns": NOW,
        "clock_offset_ns": OFFSET,
        "linger_ns": 10 * S,
        "plan": tuple(Probe(family, "raw_tp:x") for family in FAMILIES),
        "sites": sites.group(judged(*connections)),
        "losses": Losses(),
        "watched": 412,
    }
    endings = Endings()
    for gone in more.get("ended_findings", ()):
        endings.add(gone)
    return Report(**{**facts, "ended_kinds": endings.kinds(), **more})
