"""The types of a CPython's objects: what kind of object each has, and where its parts are. Read from live memory."""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.live import LOWEST, Live
from tracer.stacks.target.reader import Nonsense


class Kind(enum.IntEnum):
    """How an object's references are found. LEAF: not looked into. PLAIN: all its words are looked at."""

    LEAF = 0
    PLAIN = 1
    DICT = 2
    LIST = 3
    TUPLE = 4
    SET = 5
    DEQUE = 6
    GENERATOR = 7
    FRAME = 8
    TYPE = 9


_MANAGED, _INLINE = 1 << 4, 1 << 2
_HEAP, _GC, _LIST, _TUPLE, _DICT, _TYPE = 1 << 9, 1 << 14, 1 << 25, 1 << 26, 1 << 29, 1 << 31
_LEAVES = frozenset(
    "int float complex str bytes bytearray bool NoneType ellipsis NotImplementedType range code memoryview module "
    "datetime.datetime datetime.date datetime.timedelta decimal.Decimal re.Pattern weakref.ReferenceType "
    "weakref.ProxyType weakref.CallableProxyType weakref weakproxy weakcallableproxy".split()
)
_NEVER = frozenset({"module", "weakref", "weakref.ReferenceType"})
"""Neither these nor what is derived from them: modules are roots, and a weak reference holds nothing."""
_LATE = frozenset({"_BaseSelectorImpl", "BaseEventLoop", "uvloop.loop.Loop", "gevent._hub_primitives.Waiter"})
"""An event loop or a selector refers to every socket that it waits for: that tells little, so it is the last resort."""
_SOCKET, _TRANSPORT = "_socket.socket", "uvloop.loop.UVStream"
_MOST_BASES, _LARGEST, _LONGEST_NAME, _MOST_MEMBERS = 64, 1 << 20, 200, 200
_MEMBER_BYTES, _OBJECT_MEMBERS = 40, (6, 16)
"""struct PyMemberDef: name, type (T_OBJECT, T_OBJECT_EX), offset."""


@dataclass(frozen=True)
class TypeInfo:
    """A type. ``name`` is as in C (``tp_name``), ``qualname`` as in Python; ``bases`` are the types of its MRO.

    ``collected``: the garbage collector knows its objects (Py_TPFLAGS_HAVE_GC), if they are no types of C code.
    ``values``: how many values the keys at ``cached_keys`` give each object; ``base_names``: names of the MRO.
    """

    address: int
    name: str
    qualname: str
    module: str
    kind: Kind
    basic: int
    item: int
    dict_offset: int
    heap: bool
    collected: bool
    managed: bool
    inline: bool
    cached_keys: int
    values: int
    bases: tuple[int, ...]
    base_names: tuple[str, ...]
    members: dict[int, str] = field(default_factory=dict, compare=False)

    @property
    def is_socket(self) -> bool:
        """Whether its objects are sockets."""
        return _SOCKET in self.base_names

    @property
    def is_transport(self) -> bool:
        """Whether its objects are uvloop's transports."""
        return _TRANSPORT in self.base_names

    @property
    def has_number(self) -> bool:
        """Whether its objects have a descriptor's number."""
        return self.is_socket or self.is_transport

    @property
    def is_greenlet(self) -> bool:
        """Whether its objects are greenlets."""
        return "greenlet.greenlet" in self.base_names

    @property
    def is_late(self) -> bool:
        """Whether what it holds is looked at last."""
        return not _LATE.isdisjoint(self.base_names)

    @property
    def full_name(self) -> str:
        """Module and qualified name."""
        return f"{self.module}.{self.qualname}" if self.module and self.module != "builtins" else self.qualname


class Types:
    """All types that were met, by address. Never raises."""

    def __init__(self, live: Live, type_type: int) -> None:
        self._live = live
        self._known: dict[int, Optional[TypeInfo]] = {}
        self._metatypes = {type_type: True}
        self._modules: dict[int, int] = {}
        self._module_key = 0

    def at(self, address: int) -> Optional[TypeInfo]:
        """The type at ``address``; None if there is none."""
        if address in self._known:
            return self._known[address]
        found = None
        try:
            if address > LOWEST and not address & 7 and self._is_type(address):
                found = self._read(address)
        except (MemoryUnreadable, Nonsense, struct.error):
            found = None
        self._known[address] = found
        return found

    def of(self, address: int) -> Optional[TypeInfo]:
        """The type of the object at ``address``. Raises MemoryUnreadable."""
        return self.at(self._live.reader.pointer(address + at.TYPE))

    def met(self) -> Sequence[TypeInfo]:
        """All types so far."""
        return [one for one in self._known.values() if one is not None]

    def _is_type(self, address: int) -> bool:
        meta = self._live.reader.pointer(address + at.TYPE)
        known = self._metatypes.get(meta)
        if known is None:
            known = False
            if meta > LOWEST and not meta & 7:
                try:
                    flags, metameta = (
                        self._live.reader.pointer(meta + at.TYPE_FLAGS),
                        self._live.reader.pointer(meta + at.TYPE),
                    )
                    known = bool(flags & _TYPE) and metameta in self._metatypes
                except MemoryUnreadable:
                    known = False
            if len(self._metatypes) < 1 << 20:
                self._metatypes[meta] = known
        return known

    def _read(self, address: int) -> Optional[TypeInfo]:
        raw = self._live.reader.read(address, at.TYPE_BYTES)

        def word(offset: int) -> int:
            return int(struct.unpack_from("<q", raw, offset)[0])

        basic, item, flags, name_at = word(at.TYPE_BASIC), word(at.TYPE_ITEM), word(at.TYPE_FLAGS), word(at.TYPE_NAME)
        if word(at.REFERENCES) <= 0 or not 16 <= basic <= _LARGEST or not 0 <= item <= 1024 or name_at <= LOWEST:
            return None
        name = self._live.reader.cstring(name_at, _LONGEST_NAME)
        bases, names = self._bases(word(at.TYPE_MRO), address)
        heap = bool(flags & _HEAP)
        qualname, module, keys, values = name.rpartition(".")[2], name.rpartition(".")[0], 0, 0
        if heap:
            layout = self._live.layout
            qualname = self._live.text(self._live.reader.pointer(address + layout.qualname))
            keys = self._live.reader.pointer(address + layout.cached_keys)
            if keys > LOWEST:
                values = min(self._live.keys(keys)[2], 64)
            module = module or self._module(word(at.TYPE_DICT))
        return TypeInfo(
            address, name, qualname[:_LONGEST_NAME], module[:_LONGEST_NAME], _kind(name, names, flags), basic, item,
            word(at.TYPE_DICT_OFFSET), heap, bool(flags & _GC), bool(flags & _MANAGED), bool(flags & _INLINE),
            keys, values, bases, names,
        )  # fmt: skip

    def _bases(self, mro: int, address: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
        if mro <= LOWEST:
            return (address,), ()
        count = self._live.reader.unsigned(mro + at.SIZE, 8)
        if not 0 < count <= _MOST_BASES:
            raise Nonsense("a type without bases")
        bases = self._live.words(mro + self._live.layout.tuple_items, count)
        reader = self._live.reader
        names = (reader.cstring(reader.pointer(base + at.TYPE_NAME), _LONGEST_NAME) for base in bases)
        return bases, tuple(names)

    def _module(self, dictionary: int) -> str:
        """``__module__`` of a class, whose dict this is. The key is one str for all classes."""
        for entry in self._live.entries(dictionary):
            if entry.key == self._module_key or (not self._module_key and self._is_module_key(entry.key)):
                self._module_key = entry.key
                return self._live.text(entry.value)
        return ""

    def _is_module_key(self, key: int) -> bool:
        try:
            return self._live.text(key) == "__module__"
        except Nonsense:
            return False

    def members(self, info: TypeInfo) -> Mapping[int, str]:
        """Names of slots (``__slots__``, members of C types) by offset in the object."""
        if not info.members:
            info.members[-1] = ""
            for base in info.bases:
                of_base = self.at(base)
                if of_base is not None:
                    self._add_members(of_base, info.members)
        return info.members

    def _add_members(self, info: TypeInfo, members: dict[int, str]) -> None:
        reader = self._live.reader
        try:
            table = reader.pointer(info.address + at.TYPE_MEMBERS)
            count = reader.unsigned(info.address + at.SIZE, 8) if info.heap else _MOST_MEMBERS
            for index in range(min(count, _MOST_MEMBERS) if table > LOWEST else 0):
                name, kind, offset = struct.unpack("<Qi4xQ", reader.read(table + _MEMBER_BYTES * index, 24))
                if name <= LOWEST:
                    break
                if kind in _OBJECT_MEMBERS:
                    members.setdefault(offset, reader.cstring(name, _LONGEST_NAME))
        except MemoryUnreadable:
            return


def _kind(name: str, bases: tuple[str, ...], flags: int) -> Kind:
    if (name in _LEAVES and not flags & _GC) or not _NEVER.isdisjoint((name, *bases)):
        return Kind.LEAF
    if name in ("code", "memoryview", "module"):
        return Kind.LEAF
    for bit, kind in ((_TYPE, Kind.TYPE), (_DICT, Kind.DICT), (_LIST, Kind.LIST), (_TUPLE, Kind.TUPLE)):
        if flags & bit:
            return kind
    if "set" in bases or "frozenset" in bases:
        return Kind.SET
    if "frozendict" in bases:
        return Kind.DICT
    if name in ("generator", "coroutine", "async_generator"):
        return Kind.GENERATOR
    if "collections.deque" in bases:
        return Kind.DEQUE
    return Kind.FRAME if name == "frame" else Kind.PLAIN
