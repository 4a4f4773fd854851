"""The attach plan: for each hook family the first way that this kernel offers. It only decides, it attaches nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from tracer.errors import HostUnsupported, UsageError
from tracer.kernel.features import Features
from tracer.kernel.hooks import CAST, CAST_TO
from tracer.kernel.objectcode import kernel_function
from tracer.model.connection import Probe
from tracer.model.scope import Scope

WAYS = ("auto", "fentry", "kprobe", "tracepoint")


@dataclass(frozen=True)
class Attachment:
    """One program on one hook. ``kind`` is fentry, fexit, kprobe, kretprobe or raw_tp."""

    kind: str
    target: str
    program: str

    @property
    def label(self) -> str:
        """As reports print it: ``fentry:tcp_close``."""
        return f"{self.kind}:{self.target}"


@dataclass(frozen=True)
class Way:
    """One way to hook a family: the macro to define when compiling, and what to attach."""

    name: str
    define: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True)
class Family:
    """The hooks for one kind of event: ways in order of preference, and what a report lacks without any of them."""

    name: str
    ways: tuple[Way, ...]
    cost: str
    required: bool = False
    derived: str = ""
    """Where the facts come from if the family has no hook."""


def _fentry(family: str, *functions: str, exits: bool = False) -> Way:
    prefix, kind = ("fx", "fexit") if exits else ("fe", "fentry")
    attachments = tuple(Attachment(kind, function, f"{prefix}_{function}") for function in functions)
    return Way("fentry", f"CT_WAY_{family}_FENTRY", attachments)


def _kprobe(family: str, function: str, program: str) -> Way:
    return Way("kprobe", f"CT_WAY_{family}_KPROBE", (Attachment("kprobe", function, program),))


def _call_kprobes(family: str, functions: tuple[str, str], stem: str) -> Way:
    pairs = (
        Attachment(kind, function, f"{program}_{stem}")
        for function in functions
        for kind, program in (("kretprobe", "kr"), ("kprobe", "kp"))
    )
    return Way("kprobe", f"CT_WAY_{family}_KPROBE", tuple(pairs))


def _tracepoint(family: str, **programs: str) -> Way:
    attachments = tuple(Attachment("raw_tp", target, program) for target, program in programs.items())
    return Way("tracepoint", f"CT_WAY_{family}_TP", attachments)


_ACCEPT_RETURN = Way("kprobe", "CT_WAY_OPEN_KPROBE", (Attachment("kretprobe", "inet_csk_accept", "kr_accept"),))

FAMILIES = (
    Family(
        "state",
        (
            _fentry("STATE", "tcp_set_state"),
            _kprobe("STATE", "tcp_set_state", "kp_state"),
            _tracepoint("STATE", inet_sock_set_state="tp_state"),
        ),
        "without state transitions closetrace cannot work",
        required=True,
    ),
    Family(
        "close",
        (_fentry("CLOSE", "tcp_close"), _kprobe("CLOSE", "tcp_close", "kp_close")),
        "a close that causes no transition (after a reset) is seen only as the socket's end",
        derived="the transitions that close makes",
    ),
    Family(
        "receive",
        (
            _fentry("RECEIVE", "inet_recvmsg", "inet6_recvmsg", exits=True),
            _tracepoint("RECEIVE", sock_recv_length="tp_recv"),
            _call_kprobes("RECEIVE", ("inet_recvmsg", "inet6_recvmsg"), "recv"),
        ),
        "receives are not seen: no stack of the last receive, and reading the end looks like not reading",
    ),
    Family(
        "send",
        (
            _fentry("SEND", "inet_sendmsg", "inet6_sendmsg", exits=True),
            _tracepoint("SEND", sock_send_length="tp_send"),
            _call_kprobes("SEND", ("inet_sendmsg", "inet6_sendmsg"), "send"),
        ),
        "sends are not seen: no stack of the last send",
    ),
    Family(
        "open",
        (_fentry("OPEN", "inet_csk_accept", exits=True), _ACCEPT_RETURN),
        "accept itself is not seen: an accepted socket's opener is the first call that used it",
        derived="connect from the transition to SYN_SENT; accept from the first use",
    ),
    Family(
        "shutdown",
        (_fentry("SHUTDOWN", "tcp_shutdown"), _kprobe("SHUTDOWN", "tcp_shutdown", "kp_shutdown")),
        "a shutdown that causes no transition is not seen",
        derived="the transitions that shutdown makes",
    ),
    Family(
        "reset",
        (_tracepoint("RESET", tcp_receive_reset="tp_reset_received", tcp_send_reset="tp_reset_sent"),),
        "a reset looks like a normal close",
    ),
    Family(
        "destroy",
        (
            _tracepoint("DESTROY", tcp_destroy_sock="tp_destroy"),
            _kprobe("DESTROY", "tcp_v4_destroy_sock", "kp_destroy"),
        ),
        "records of ended sockets cannot be freed",
        required=True,
    ),
)

# The kernel sets LISTEN, and SYN_RECV of a new connection, without tcp_set_state.
_STATE_REST = Attachment("raw_tp", "inet_sock_set_state", "tp_state_rest")

_EXIT = Attachment("raw_tp", "sched_process_exit", "tp_exit")
_FORK = Attachment("raw_tp", "sched_process_fork", "tp_fork")
_EXEC = Attachment("raw_tp", "sched_process_exec", "tp_exec")
"""Tells stacks of the program before an exec from those of the one after it, and who turns to a program in scope."""


@dataclass(frozen=True)
class Choice:
    """The choice for one family. ``way`` is None if no way works here; ``reason`` says why."""

    family: Family
    way: Optional[Way]
    reason: str
    extra: tuple[Attachment, ...] = ()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """Everything that is attached for this family."""
        return (self.way.attachments if self.way else ()) + self.extra

    def probe(self) -> Probe:
        """The choice as reports show it."""
        if self.way is None:
            return Probe(self.family.name, None, self.reason, self.family.cost)
        return Probe(self.family.name, "+".join(dict.fromkeys(a.label for a in self.attachments)), self.reason)


@dataclass(frozen=True)
class Plan:
    """The choice for each family, in the order of FAMILIES."""

    choices: tuple[Choice, ...]
    features: Features
    also: tuple[Attachment, ...] = ()

    def probes(self) -> tuple[Probe, ...]:
        """For the report and for doctor."""
        return tuple(choice.probe() for choice in self.choices)

    @property
    def sees_execs(self) -> bool:
        """Whether the kernel side notes when a process takes another program."""
        return _EXEC in self.also

    def unseen_calls(self) -> tuple[str, ...]:
        """Which of "receive" and "send" have no hook here. Their absence in a record proves nothing."""
        names = ("receive", "send")
        return tuple(choice.family.name for choice in self.choices if choice.family.name in names and not choice.way)

    def attachments(self) -> tuple[Attachment, ...]:
        """In the order of attaching. Ends of sockets come first, so that no record outlives its socket."""
        ordered = sorted(self.choices, key=lambda choice: choice.family.name != "destroy")
        return self.also + tuple(attachment for choice in ordered for attachment in choice.attachments)

    def defines(self) -> dict[str, str]:
        """The C macros that compile the chosen ways and no others."""
        chosen = {choice.family.name: choice.way for choice in self.choices if choice.way is not None}
        macros = {way.define: "1" for way in chosen.values()}
        if any(choice.extra for choice in self.choices) or chosen["state"].name != "tracepoint":
            macros["CT_STATE_ELSEWHERE"] = "1"
        for family, macro in (("close", "CT_CLOSE_HOOKED"), ("open", "CT_ACCEPT_HOOKED")):
            if family in chosen:
                macros[macro] = "1"
        if any(chosen[name].name == "kprobe" for name in ("receive", "send") if name in chosen):
            macros["CT_KPROBE_CALLS"] = "1"
        if self.sees_execs:
            macros["CT_EXECS"] = "1"
        if "open" in chosen:
            # fexit sees the arguments, then the result: 4 arguments became 2 in Linux 6.10 (92ef0fd55ac8)
            macros["CT_ARG_ACCEPT_RESULT"] = str(self.features.functions.get("inet_csk_accept", 2))
        return {**macros, **self.task_defines(), **self._sock_defines()}

    def _sock_defines(self) -> dict[str, str]:
        """The C macros that say how struct sock is read."""
        if not self.features.casts:
            return {}
        return {
            "CT_CAST": kernel_function(self.features.btf_ids[CAST]),
            "CT_CAST_TO": str(self.features.btf_ids[CAST_TO]),
        }

    def task_defines(self) -> dict[str, str]:
        """The C macros that say how the current task is read."""
        if {"task_pt_regs", "get_current_task_btf"} <= self.features.helpers:
            return {"CT_HAVE_TASK_PT_REGS": "1"}
        return {}


def _obstacle(attachment: Attachment, features: Features) -> Optional[str]:
    """Why this attachment is not possible here; None if it is."""
    if attachment.kind in ("fentry", "fexit"):
        if not features.trampolines:
            return features.refused.get("fentry", "not offered")
        return None if attachment.target in features.functions else f"no function {attachment.target}"
    if attachment.kind in ("kprobe", "kretprobe"):
        if attachment.target in features.kprobes:
            return None
        return features.refused.get("kprobe", f"no function {attachment.target}")
    return None if attachment.target in features.tracepoints else f"no tracepoint {attachment.target}"


def _way_obstacle(way: Way, features: Features) -> Optional[str]:
    return next((why for a in way.attachments if (why := _obstacle(a, features)) is not None), None)


def _choose(family: Family, features: Features, allowed: Callable[[Way], bool]) -> Choice:
    reasons: list[str] = []
    for way in family.ways:
        if not allowed(way):
            continue
        why = _way_obstacle(way, features)
        if why is None:
            passes_by = family.name == "state" and way.name != "tracepoint"
            extra = (_STATE_REST,) if passes_by and _obstacle(_STATE_REST, features) is None else ()
            return Choice(family, way, "; ".join(reasons), extra)
        reasons.append(f"no {way.name}: {why}")
    if family.required:
        raise HostUnsupported(
            f"no way to watch {family.name} on kernel {features.release}: {'; '.join(reasons)}. "
            "Run `closetrace doctor` for details."
        )
    return Choice(family, None, "; ".join(reasons) or family.derived)


def _processes(features: Features, scope: Scope) -> tuple[Attachment, ...]:
    """Who made whom and who took another program; with a scope that processes join and leave, their ends.

    Raises HostUnsupported where children are to be followed and cannot.
    """
    if scope.follow_forks and any(_obstacle(attachment, features) for attachment in (_EXIT, _FORK)):
        raise HostUnsupported(
            "children cannot be followed: this kernel lacks the tracepoint sched_process_fork or _exit"
        )
    joined = scope.follows_pids or bool(scope.comm)
    wanted = (*((_EXIT,) if joined else ()), _FORK, _EXEC)
    return tuple(attachment for attachment in wanted if _obstacle(attachment, features) is None)


_EVERYTHING = Scope()


def make_plan(features: Features, requested: str = "auto", scope: Scope = _EVERYTHING) -> Plan:
    """Choose a way for each family.

    ``requested`` restricts the choice to one of WAYS, except for families that only have a tracepoint.
    ``scope`` decides whether processes that come and go are followed.
    Raises HostUnsupported if a required family has no way, UsageError for an unknown ``requested``.
    """
    if requested not in WAYS:
        raise UsageError(f"--probes {requested}: choose one of {', '.join(WAYS)}")

    def allowed_in(family: Family) -> Callable[[Way], bool]:
        offered = {way.name for way in family.ways}
        if requested == "auto" or (requested not in offered and family.required):
            return lambda way: True
        if requested == "tracepoint" or offered != {"tracepoint"}:
            return lambda way: way.name == requested
        return lambda way: True

    choices = tuple(_choose(family, features, allowed_in(family)) for family in FAMILIES)
    return Plan(choices, features, _processes(features, scope))
