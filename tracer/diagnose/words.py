"""Figures in words: the one way in which sentences and tables tell times, sizes and counts."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Optional

from tracer.machine import calls
from tracer.machine.calls import EXECS
from tracer.model.connection import Actor, Touch
from tracer.model.frame import Frame
from tracer.model.states import RECV, SEND, Op
from tracer.stacks.registry import language

_SECOND = 1_000_000_000
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def duration(ns: int) -> str:
    """A length of time in ns for people: ``3 ms``, ``0.4 s``, ``33 s``, ``1m 11s``, ``2h 05m``, ``3d 04h``."""
    ns = max(ns, 0)
    if ns < 10_000_000:
        return "0 s" if ns == 0 else f"{max(ns / 1e6, 0.01):.2g} ms" if ns < 1_000_000 else f"{ns // 1_000_000} ms"
    if ns < 9_950_000_000:
        return f"{ns / _SECOND:.2f} s" if ns < 95_000_000 else f"{ns / _SECOND:.1f} s"
    seconds = round(ns / _SECOND)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"


def silence(ns: int) -> str:
    """A peer's idle time in ns, precise enough to recognise a configured limit: ``65.0 s``, ``5m 00.0s``."""
    tenths = round(max(ns, 0) / (_SECOND // 10))
    if tenths < 1:
        return duration(ns)
    if tenths < 1200:
        return f"{tenths / 10:.1f} s"
    minutes, rest = divmod(tenths, 600)
    return f"{minutes}m {rest / 10:04.1f}s" if minutes < 60 else duration(ns)


def byte_count(count: int) -> str:
    """A number of bytes: ``0 B``, ``5000 B``, ``12 KiB``, ``3.4 MiB``; small ones exact, for comparing with ss."""
    if count < 10_000:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1023.95 or unit == "TiB":
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    raise AssertionError("the loop returns at its last unit")


def number(count: int) -> str:
    """A small count as a word, a large one in digits."""
    return _SMALL[count] if 0 <= count < len(_SMALL) else str(count)


def plural(count: int, noun: str, nouns: Optional[str] = None) -> str:
    """``1 socket``, ``12 sockets``."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def listed(items: Iterable[str], most: int = 4) -> str:
    """``a``, ``a and b``, ``a, b, c, d and 8 more``."""
    names = list(items)
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nobody"


def thread(actor: Actor) -> str:
    """A thread as tools name it: ``http-exec-3 (tid 4160)``; the main thread by its pid."""
    return f"{actor.comm} (pid {actor.pid})" if actor.tid == actor.pid else f"{actor.comm} (tid {actor.tid})"


_RESTARTS = {
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    516: "ERESTART_RESTARTBLOCK",
}
"""What a call returns within the kernel when a signal comes (linux/errno.h). No program sees these."""


def error_name(ret: int) -> str:
    """``EAGAIN`` for -11; the number itself where errno has no name for it."""
    return errno.errorcode.get(-ret) or _RESTARTS.get(-ret) or str(ret)


def outcome(touch: Touch) -> str:
    """A call and its result in a few words: ``recv = 150``, ``recv = EAGAIN``, ``accept``."""
    label = touch.op.label
    if touch.ret is None or touch.op in (Op.ACCEPT, Op.CLOSE):
        return label
    if touch.ret < 0:
        return f"{label} = {error_name(touch.ret)}"
    return f"{label} = {touch.ret}" if touch.op in (RECV, SEND) else label


def failure(touch: Touch) -> Optional[str]:
    """The error of a call that failed: ``EFAULT (Bad address)``. None if it did not, or not for good."""
    ret = touch.ret
    if ret is None or ret >= 0 or would_block(ret) or -ret in _RESTARTS or -ret == errno.EINTR:
        return None
    return _error(ret)


def _error(ret: int) -> str:
    return f"{error_name(ret)} ({os.strerror(-ret)})"


def result(touch: Touch) -> str:
    """The same as a phrase: ``recv of 150 bytes``, ``recv that returned 0``, ``send that failed: Broken pipe``."""
    label = touch.op.label + (" (a peek)" if touch.peek else "")
    if touch.ret is None:
        return label
    if would_block(touch.ret):
        return f"{label} that found {'no room' if touch.op is SEND else 'nothing'} yet (EAGAIN)"
    if -touch.ret in _RESTARTS:
        return f"{label} that a signal interrupted"
    if touch.ret < 0:
        return f"{label} that failed with {_error(touch.ret)}"
    if touch.op not in (RECV, SEND):
        return label
    return f"{label} that returned 0" if touch.ret == 0 else f"{label} of {plural(touch.ret, 'byte')}"


def let_go(touch: Touch) -> str:
    """How the last descriptor went, by the system call that dropped it."""
    name = calls.name(touch.syscall)
    by = thread(touch.actor)
    if touch.exiting or name in ("exit", "exit_group"):
        # which of its threads was the last to leave says nothing
        whole = touch.actor.tid == touch.actor.pid
        return f"closed by the exit of {by if whole else f'process {touch.actor.pid}'}"
    if name in (None, "close"):
        return f"closed by {by}"
    if name in ("dup2", "dup3"):
        return f"closed by {by}: {name} put another file in its place"
    if name in EXECS:  # the kernel gives the new program's name by then
        return f"closed as process {touch.actor.pid} became {touch.actor.comm}: close-on-exec"
    if name == "close_range":
        return f"closed by {by} with close_range"
    return f"closed by {by} while it was in {name}"


def would_block(ret: int) -> bool:
    """Whether a call's result means only "not now" on a non-blocking socket."""
    return -ret in (errno.EAGAIN, errno.EWOULDBLOCK)


def short_name(frame: Frame) -> str:
    """A frame's function without package and parameters: ``OrderClient.callBackend``, ``do_request``, ``app+0x11d``."""
    module = (frame.module or "?").rsplit("/", 1)[-1]
    if not frame.function:
        return f"{module}+{frame.offset:#x}"
    return language(frame.language).short_name(frame.function)


def place(frame: Frame) -> str:
    """Where a frame is: ``OrderClient.java:14``, else the module's base name, else nothing."""
    if frame.file:
        file = frame.file.rsplit("/", 1)[-1]
        return f"{file}:{frame.line}" if frame.line else file
    return (frame.module or "").rsplit("/", 1)[-1]


def located(frame: Frame) -> str:
    """Name and place of a frame: ``OrderClient.callBackend (OrderClient.java:14)``."""
    where = place(frame)
    name = short_name(frame)
    return f"{name} ({where})" if where and frame.function else name


def any_port(address: str) -> str:
    """An address with any port, as endpoints are written: IPv6 in brackets."""
    return f"[{address}]:*" if ":" in address else f"{address}:*"
