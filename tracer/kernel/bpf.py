"""The system calls bpf(2) and, to try kprobes, perf_event_open(2)."""

from __future__ import annotations

import contextlib
import ctypes as ct
import errno
import os
import struct
from collections.abc import Iterator
from typing import Optional

from tracer.machine import calls

_BPF, _PERF_EVENT_OPEN = calls.number("bpf"), calls.number("perf_event_open")
_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN, _RAW_TRACEPOINT_OPEN, _ENABLE_STATS = 0, 5, 10, 17, 32
PROG_KPROBE, PROG_RAW_TRACEPOINT, PROG_TRACING = 2, 17, 26
_TRACE_FENTRY, _TRACE_FEXIT = 24, 25

# r0 = 0; exit
_EMPTY = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)

_RESULT = struct.Struct("<I")
_libc = ct.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    """Make one bpf(2) call and return its result. Raises OSError."""
    buffer = ct.create_string_buffer(attributes, max(len(attributes), 128))
    result = int(_libc.syscall(_BPF, command, buffer, len(buffer)))
    if result < 0:
        number = ct.get_errno()
        raise OSError(number, os.strerror(number))
    return result


_ATTEMPTS = 5
"""The verifier gives up with EAGAIN while a signal is pending (kernel c3494801cd17): Ctrl-C in that very moment."""


def load_empty(kind: int, btf_id: int = 0) -> int:
    """Load a program that does nothing, to see whether the kernel accepts its type. Return its descriptor.

    Raises OSError. The errno is EPERM if a capability is missing or the kernel's policy forbids the type.
    """
    return load_program(_EMPTY, kind, "ct_trial", btf_id, exits=False)


def try_cast(function: int, to: int) -> None:
    """Load a program that calls the kernel function ``function`` to make a number an address of the structure ``to``.

    Both are BTF type numbers. Raises OSError if the kernel refuses it.
    """
    steps = ((0xB7, 1, 0, 0), (0xB7, 2, 0, to), (0x85, 0x20, 0, function), (0x79, 0, 0, 0))  # r0 = *(u64 *)r0
    code = b"".join(struct.pack("<BBhi", *step) for step in steps) + _EMPTY
    os.close(load_program(code, PROG_RAW_TRACEPOINT, "ct_trial", exits=False))


def load_program(
    instructions: bytes,
    kind: int,
    name: str,
    btf_id: int = 0,
    *,
    exits: bool,
    log: Optional[ct.Array[ct.c_char]] = None,
    log_level: int = 1,
) -> int:
    """Load a BPF program and return its descriptor.

    ``kind`` is one of the constants PROG_*. PROG_TRACING also needs ``btf_id``, the BTF type number of the traced
    function, and ``exits``: fexit if true, else fentry. The verifier writes to ``log`` as much as ``log_level`` asks
    for (include/linux/bpf_verifier.h). Raises OSError.
    """
    code = ct.create_string_buffer(instructions, len(instructions))
    licence = ct.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "<IIQQIIQII16sIIIIQIIQII",
        kind,
        len(instructions) // 8,
        ct.addressof(code),
        ct.addressof(licence),
        0 if log is None else log_level,
        0 if log is None else len(log),
        0 if log is None else ct.addressof(log),
        0,  # kernel version
        0,  # flags
        name.encode()[:15],
        0,  # ifindex
        (_TRACE_FEXIT if exits else _TRACE_FENTRY) if kind == PROG_TRACING else 0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        btf_id,
    )
    for _ in range(_ATTEMPTS):
        try:
            return _bpf(_PROG_LOAD, attributes)
        except BlockingIOError:
            continue
    return _bpf(_PROG_LOAD, attributes)


def create_map(kind: int, key_size: int, value_size: int, entries: int, flags: int, name: str) -> int:
    """Create a map and return its descriptor. ``kind`` is an enum bpf_map_type, sizes are bytes. Raises OSError."""
    numbers = (kind, key_size, value_size, entries, flags, 0, 0)
    return _bpf(_MAP_CREATE, struct.pack("<7I16s", *numbers, name.encode()[:15]))


def open_raw_tracepoint(program: int, name: str) -> int:
    """Attach a loaded raw tracepoint program and return the link. Raises OSError, ENOENT without such a tracepoint."""
    text = ct.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ct.addressof(text), program))


def open_trampoline(program: int) -> int:
    """Attach a loaded fentry or fexit program and return the link. Its target was given at load. Raises OSError."""
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", 0, program))


class Runnable:
    """A loaded raw tracepoint program that is run by itself, with ``count`` arguments (up to 64 bits each).

    It does not own the descriptor. Its buffers are made once: it may run a hundred thousand times.
    """

    def __init__(self, program: int, count: int) -> None:
        self._words = struct.Struct(f"<{count}Q")
        self._context = context = ct.create_string_buffer(self._words.size)
        numbers = (program, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ct.addressof(context), 0)
        self._attributes = ct.create_string_buffer(struct.pack("<IIIIQQIIIIQQ", *numbers), 128)

    def run(self, *arguments: int) -> int:
        """Run it once (BPF_PROG_TEST_RUN, since Linux 5.10, 1b4d60ec162f) and return the program's result.

        Raises OSError if the kernel cannot do this.
        """
        self._words.pack_into(self._context, 0, *arguments)
        if _libc.syscall(_BPF, _PROG_TEST_RUN, self._attributes, 128) < 0:
            number = ct.get_errno()
            raise OSError(number, os.strerror(number))
        return int(_RESULT.unpack_from(self._attributes, 4)[0])


def run_raw_tracepoint(program: int, arguments: tuple[int, ...]) -> int:
    """Run a raw tracepoint program once with these arguments, as :class:`Runnable` does."""
    return Runnable(program, len(arguments)).run(*arguments)


def enable_run_time_stats() -> int:
    """Make the kernel count the run time of BPF programs while the returned descriptor is open.

    BPF_ENABLE_STATS, since Linux 5.8 (d46edd671a14). Raises OSError if the kernel cannot do this.
    """
    return _bpf(_ENABLE_STATS, struct.pack("<I", 0))


def _kprobe_type() -> int:
    with open("/sys/bus/event_source/devices/kprobe/type", encoding="ascii") as file:
        return int(file.read())


def try_kprobe(function: str) -> None:
    """Place a kprobe with perf_event_open(2) and remove it again. Raises OSError if it cannot be placed."""
    name = ct.create_string_buffer(function.encode())
    attributes = struct.pack("<IIQQQQQIIQQ", _kprobe_type(), 112, 0, 0, 0, 0, 0, 0, 0, ct.addressof(name), 0)
    buffer = ct.create_string_buffer(attributes, 112)
    event = int(_libc.syscall(_PERF_EVENT_OPEN, buffer, -1, 0, -1, 8))
    if event < 0:
        number = ct.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number))
    os.close(event)


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end of the ``with`` block."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
