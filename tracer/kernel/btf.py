"""Reads the running kernel's BTF with libbpf: which functions and tracepoints exist, and the offsets of fields."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterator
from typing import Any, Optional

from tracer.errors import HostUnsupported
from tracer.trail import Took, Trail

_log = Trail(__name__)

# enum of BTF kinds: Documentation/bpf/btf.rst
KIND_INT, KIND_POINTER, KIND_ARRAY, KIND_STRUCT, KIND_UNION, KIND_ENUM, KIND_FORWARD = 1, 2, 3, 4, 5, 6, 7
KIND_TYPEDEF, KIND_FUNC = 8, 12
_QUALIFIERS = frozenset({9, 10, 11, 18})  # volatile, const, restrict, type tag


class _BtfType(ct.Structure):
    """struct btf_type (uapi/linux/btf.h)."""

    _fields_ = [("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32)]

    @property
    def kind(self) -> int:
        return int(self.info >> 24) & 0x1F

    @property
    def vlen(self) -> int:
        return int(self.info) & 0xFFFF


def _names() -> Iterator[str]:
    yield from ("libbpf.so.1", "libbpf.so.0")
    from ctypes.util import find_library  # slow: it imports many modules and runs ldconfig

    name = find_library("bpf")
    if name is not None:
        yield name


def _library() -> Any:
    for name in _names():
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
        return lib
    raise HostUnsupported("libbpf is missing: install libbpf1 (apt) or libbpf (dnf)")


class Btf:
    """The BTF in the file ``path``, by default the running kernel's. Raises HostUnsupported if it cannot be read."""

    def __init__(self, path: str = "/sys/kernel/btf/vmlinux") -> None:
        took = Took()
        self._lib = _library()
        self._btf = self._lib.btf__parse(path.encode(), None)
        if not self._btf or self._btf > 2**64 - 4096:  # libbpf 0.x returns an error pointer
            raise HostUnsupported(f"cannot read the kernel's type information {path}")
        _log.debug("BTF read from %s in %s", path, took)
        self._numbers: dict[tuple[str, int], int] = {}

    def close(self) -> None:
        """Free libbpf's copy (about 10 MB)."""
        self._lib.btf__free(self._btf)

    def find(self, name: str, kind: int) -> Optional[int]:
        """The type number of ``name``, None if BTF does not have it."""
        number = self._numbers.get((name, kind))
        if number is None:  # libbpf searches all types, and callers ask for each field
            number = self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)
            self._numbers[name, kind] = number
        return number if number > 0 else None

    def _type(self, number: int) -> tuple[_BtfType, int]:
        pointer = self._lib.btf__type_by_id(self._btf, number)
        return pointer.contents, ct.addressof(pointer.contents) + ct.sizeof(_BtfType)

    def _name(self, offset: int) -> str:
        return str((self._lib.btf__name_by_offset(self._btf, offset) or b"").decode())

    def has_tracepoint(self, name: str) -> bool:
        """Whether the kernel has the tracepoint ``name``. BTF has a typedef btf_trace_NAME for each."""
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
        """The number of parameters of a kernel function, None if BTF has no such function."""
        number = self.find(function, KIND_FUNC)
        if number is None:
            return None
        proto, _ = self._type(self._type(number)[0].size_or_type)
        return proto.vlen

    def member(self, type_name: str, field: str, *, typedef: bool = False) -> Optional[tuple[int, int, str]]:
        """Offset in bytes, size in bytes and C type of a field. None if there is no such type or field.

        ``type_name`` is the name of a struct, or with ``typedef`` the name of a typedef of one. Fields of unnamed
        members are found too. The C type is ``u8`` to ``u64``, ``struct X``, ``struct X *``, ``void *`` or the name of
        a typedef; it is "" for any other type.
        """
        number = self.find(type_name, KIND_TYPEDEF if typedef else KIND_STRUCT)
        if number is None:
            return None
        found = self._search(self._unqualified(number, typedefs=True), field)
        return None if found is None else (found[0], self._size(found[1]), self._spelled(found[1]))

    def _search(self, number: int, field: str) -> Optional[tuple[int, int]]:
        """Offset in bytes and type number of ``field``. Unnamed members are searched too."""
        kind, at = self._type(number)
        if kind.kind not in (KIND_STRUCT, KIND_UNION):
            return None
        for index in range(kind.vlen):
            name_off, member_type, bits = (ct.c_uint32.from_address(at + 12 * index + 4 * n).value for n in range(3))
            offset = (bits & 0xFFFFFF if kind.info >> 31 else bits) // 8  # with kind_flag the top byte is a bit width
            if self._name(name_off) == field:
                return offset, member_type
            if not name_off:
                inner = self._search(self._unqualified(member_type, typedefs=True), field)
                if inner is not None:
                    return offset + inner[0], inner[1]
        return None

    def _unqualified(self, number: int, *, typedefs: bool) -> int:
        """The type without const, volatile, restrict and type tags; with ``typedefs`` also without typedefs."""
        skipped = _QUALIFIERS | ({KIND_TYPEDEF} if typedefs else set())
        while number and self._type(number)[0].kind in skipped:
            number = self._type(number)[0].size_or_type
        return number

    def _size(self, number: int) -> int:
        kind, at = self._type(self._unqualified(number, typedefs=True))
        if kind.kind == KIND_POINTER:
            return 8
        if kind.kind == KIND_ARRAY:
            element, count = ct.c_uint32.from_address(at).value, ct.c_uint32.from_address(at + 8).value
            return self._size(element) * count
        return int(kind.size_or_type)

    def _spelled(self, number: int) -> str:
        plain = self._unqualified(number, typedefs=False)
        name = self._name(self._type(plain)[0].name_off)
        bare = self._unqualified(plain, typedefs=True)
        kind, _ = self._type(bare)
        if kind.kind in (KIND_INT, KIND_ENUM):
            return {1: "u8", 2: "u16", 4: "u32", 8: "u64"}.get(kind.size_or_type, "")
        if kind.kind == KIND_POINTER:
            target = self._unqualified(kind.size_or_type, typedefs=False)
            pointed = self._type(target)[0] if target else None
            named = pointed is not None and pointed.kind in (KIND_STRUCT, KIND_FORWARD)
            return f"struct {self._name(pointed.name_off)} *" if named and pointed is not None else "void *"
        if self._type(plain)[0].kind == KIND_TYPEDEF:
            return name
        return f"struct {name}" if kind.kind == KIND_STRUCT and name else ""
