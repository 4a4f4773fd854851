"""The running kernel's BTF, through libbpf: which functions, fields and tracepoints exist, and their types as C."""

from __future__ import annotations

import ctypes as ct
import ctypes.util
from collections.abc import Iterable
from typing import Any, Optional

from tracer.errors import HostUnsupported

# enum of BTF kinds: Documentation/bpf/btf.rst
KIND_STRUCT, KIND_ENUM, KIND_TYPEDEF, KIND_FUNC = 4, 6, 8, 12

TYPES = (
    "tcp_sock",
    "task_struct",
    "socket",
    "pt_regs",
    "file",
    "inode",
    "net",
    "mm_struct",
    "signal_struct",
    "bpf_raw_tracepoint_args",
)
"""The structures that bpf/ reads; the dumper adds what they are made of."""


class _BtfType(ct.Structure):
    """struct btf_type (uapi/linux/btf.h)."""

    _fields_ = [("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32)]

    @property
    def kind(self) -> int:
        return int(self.info >> 24) & 0x1F

    @property
    def vlen(self) -> int:
        return int(self.info) & 0xFFFF


_PRINTER = ct.CFUNCTYPE(None, ct.c_void_p, ct.c_void_p, ct.c_void_p)


def _library() -> Any:
    for name in ("libbpf.so.1", "libbpf.so.0", ctypes.util.find_library("bpf")):
        if name is None:
            continue
        try:
            lib = ct.CDLL(name)
        except OSError:
            continue
        lib.btf__free.argtypes = [ct.c_void_p]
        lib.btf__find_by_name_kind.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_uint32]
        lib.btf__find_by_name_kind.restype = ct.c_int32
        lib.btf__type_by_id.argtypes = [ct.c_void_p, ct.c_uint32]
        lib.btf__type_by_id.restype = ct.POINTER(_BtfType)
        lib.btf__name_by_offset.argtypes = [ct.c_void_p, ct.c_uint32]
        lib.btf__name_by_offset.restype = ct.c_char_p
        lib.btf__parse.argtypes = [ct.c_char_p, ct.c_void_p]
        lib.btf__parse.restype = ct.c_void_p
        lib.btf_dump__dump_type.argtypes = [ct.c_void_p, ct.c_uint32]
        lib.btf_dump__free.argtypes = [ct.c_void_p]
        return lib
    raise HostUnsupported("libbpf is missing: install libbpf1 (apt) or libbpf (dnf)")


class Btf:
    """One BTF blob. ``path`` defaults to the running kernel's."""

    def __init__(self, path: str = "/sys/kernel/btf/vmlinux") -> None:
        self._lib = _library()
        self._btf = self._lib.btf__parse(path.encode(), None)
        if not self._btf or self._btf > 2**64 - 4096:  # libbpf 0.x returns an error pointer
            raise HostUnsupported(f"cannot read the kernel's type information {path}")

    def close(self) -> None:
        """Free libbpf's copy (some 10 MB)."""
        self._lib.btf__free(self._btf)

    def find(self, name: str, kind: int) -> Optional[int]:
        """The type number of ``name``, None if BTF does not have it."""
        number = int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind))
        return number if number > 0 else None

    def _type(self, number: int) -> tuple[_BtfType, int]:
        pointer = self._lib.btf__type_by_id(self._btf, number)
        return pointer.contents, ct.addressof(pointer.contents) + ct.sizeof(_BtfType)

    def _name(self, offset: int) -> str:
        return str((self._lib.btf__name_by_offset(self._btf, offset) or b"").decode())

    def has_tracepoint(self, name: str) -> bool:
        """Whether ``name`` is a tracepoint: its raw form has a typedef btf_trace_NAME."""
        return self.find(f"btf_trace_{name}", KIND_TYPEDEF) is not None

    def has_helper(self, name: str) -> bool:
        """Whether this kernel has the BPF helper bpf_NAME."""
        number = self.find("bpf_func_id", KIND_ENUM)
        if number is None:
            return False
        kind, at = self._type(number)
        wanted = f"BPF_FUNC_{name}"
        return any(self._name(ct.c_uint32.from_address(at + 8 * index).value) == wanted for index in range(kind.vlen))

    def parameters(self, function: str) -> Optional[int]:
        """How many parameters a kernel function has; None if there is no such function to attach to."""
        number = self.find(function, KIND_FUNC)
        if number is None:
            return None
        proto, _ = self._type(self._type(number)[0].size_or_type)
        return proto.vlen

    def has_member(self, struct: str, member: str) -> bool:
        """Whether ``struct`` has ``member`` at its top level."""
        number = self.find(struct, KIND_STRUCT)
        if number is None:
            return False
        kind, at = self._type(number)
        return any(self._name(ct.c_uint32.from_address(at + 12 * index).value) == member for index in range(kind.vlen))

    def c_types(self, names: Iterable[str] = TYPES) -> str:
        """C declarations of the named structures with all that they need, offsets exact for this kernel."""
        libc = ct.CDLL(None)
        libc.vsnprintf.argtypes = [ct.c_char_p, ct.c_size_t, ct.c_void_p, ct.c_void_p]
        buffer, parts = ct.create_string_buffer(1 << 16), []

        def keep(_context: Any, pattern: int, arguments: int) -> None:
            length = libc.vsnprintf(buffer, len(buffer), pattern, arguments)
            parts.append(buffer.raw[: min(length, len(buffer) - 1)])

        printer = _PRINTER(keep)
        dump = self._new_dump(printer)
        for name in names:
            number = self.find(name, KIND_STRUCT)
            if number is not None:
                self._lib.btf_dump__dump_type(dump, number)
        self._lib.btf_dump__free(dump)
        return b"".join(parts).decode()

    def _new_dump(self, printer: Any) -> int:
        """btf_dump__new changed its signature in libbpf 1.0: (btf, ext, opts, fn) became (btf, fn, ctx, opts)."""
        new = self._lib.btf_dump__new
        new.restype = ct.c_void_p
        major = getattr(self._lib, "libbpf_major_version", None)
        if major is not None and major() >= 1:
            new.argtypes = [ct.c_void_p, _PRINTER, ct.c_void_p, ct.c_void_p]
            return int(new(self._btf, printer, None, None))
        new.argtypes = [ct.c_void_p, ct.c_void_p, ct.c_void_p, _PRINTER]
        return int(new(self._btf, None, None, printer))
