"""The places of everything that the unwinder needs in one build of HotSpot. The fields decide, never the version.

Sources: OpenJDK's vmStructs.cpp, codeBlob.hpp, nmethod.hpp, compiledMethod.hpp, constMethod.hpp and
symbol.hpp, JDK 8 to 25.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.java.tables import Field, VmTables


class MissingTables(Exception):
    """The JVM's tables are not complete. The text lists what is missing."""


@dataclass(frozen=True)
class Member:
    """A field inside a struct that was read as bytes: offset and width in bytes."""

    offset: int
    width: int

    def of(self, raw: bytes) -> int:
        """Its unsigned value in ``raw``, the bytes of the struct."""
        return int.from_bytes(raw[self.offset : self.offset + self.width], "little")


@dataclass(frozen=True)
class HeapLayout:
    """CodeCache and CodeHeap. ``heaps`` is the address of a GrowableArray; None if there is a single heap (JDK 8)."""

    heaps: Optional[Field]
    single: Optional[Field]
    array_length: Optional[Member]
    array_data: Optional[Member]
    low: int
    high: int
    segmap: int
    segment_shift: int
    block_length: Member
    block_used: Member
    block_size: int


@dataclass(frozen=True)
class BlobLayout:
    """CodeBlob. ``code_begin`` is a pointer (JDK 9 to 22). If None, ``code_offset`` counts from the blob's start."""

    struct_size: int
    name: Member
    size: Member
    frame_size: Member
    code_begin: Optional[Member]
    code_offset: Optional[Member]
    data_offset: Member


@dataclass(frozen=True)
class NmethodLayout:
    """nmethod. The optional members that exist decide where its tables are (see nmethod.py)."""

    struct_size: int
    method: Member
    orig_pc_offset: Member
    deopt_pointers: tuple[Member, ...]
    deopt_offsets: tuple[Member, ...]
    scopes_pcs_offset: Member
    scopes_data_begin: Optional[Member]
    scopes_data_offset: Optional[Member]
    dependencies_offset: Optional[Member]
    metadata_offset: Optional[Member]
    immutable_data: Optional[Member]
    immutable_data_size: Optional[Member]
    mutable_data: Optional[Member]
    mutable_data_size: Optional[Member]
    relocation_size: Optional[Member]
    pc_desc_size: int
    pc_offset: Member
    scope_offset: Member


@dataclass(frozen=True)
class MethodLayout:
    """Method, ConstMethod, ConstantPool, Klass and Symbol."""

    const_method: int
    const_size: int
    constants: Member
    const_words: Member
    code_size: Member
    name_index: Member
    flags: Member
    line_numbers_flag: int
    pool_size: int
    pool_length: Member
    pool_holder: Member
    pool_source_file: Optional[Member]
    klass_name: int
    klass_source_file: Optional[Member]
    symbol_length: Member
    symbol_length_shift: int
    symbol_body: int


@dataclass(frozen=True)
class Layout:
    """All layouts. ``biased`` says that UNSIGNED5 never uses the zero byte (JDK 20 and later).

    ``bcp_slot``: an interpreted frame has its bytecode pointer this many words below the frame pointer.
    """

    heap: HeapLayout
    blob: BlobLayout
    nmethod: NmethodLayout
    method: MethodLayout
    biased: bool
    bcp_slot: int


def build_layout(tables: VmTables) -> Layout:
    """Build the layout that ``tables`` describe. Raises MissingTables."""
    return _Builder(tables).build()


class _Builder:
    def __init__(self, tables: VmTables) -> None:
        self._tables = tables
        self._missing: list[str] = []

    def build(self) -> Layout:
        heap, blob, nmethod, method = self._heap(), self._blob(), self._nmethod(), self._method()
        if self._missing:
            raise MissingTables(", ".join(self._missing))
        return Layout(
            heap=heap,
            blob=blob,
            nmethod=nmethod,
            method=method,
            # This field came with JDK 21, the biased encoding with JDK 20. So the decoders try both for JDK 20.
            biased=self._maybe("ConstMethod._flags._flags") is not None,
            # JDK 9 added a slot for the class mirror, and the segmented code cache.
            bcp_slot=8 if heap.heaps else 7,
        )

    def _heap(self) -> HeapLayout:
        heaps, single = self._static("CodeCache._heaps"), self._static("CodeCache._heap")
        if heaps is None and single is None:
            self._missing.append("CodeCache._heaps")
        memory, segmap = self._need("CodeHeap._memory").offset, self._need("CodeHeap._segmap").offset
        low, high = self._need("VirtualSpace._low_boundary").offset, self._need("VirtualSpace._high_boundary").offset
        return HeapLayout(
            heaps=heaps,
            single=single,
            array_length=self._maybe("GrowableArrayBase._len", "GenericGrowableArray._len"),
            array_data=self._maybe("GrowableArray<int>._data"),
            low=memory + low,
            high=memory + high,
            segmap=segmap + low,
            segment_shift=self._need("CodeHeap._log2_segment_size").offset,
            block_length=self._need("HeapBlock::Header._length"),
            block_used=self._need("HeapBlock::Header._used"),
            block_size=self._size("HeapBlock"),
        )

    def _blob(self) -> BlobLayout:
        begin, offset = self._maybe("CodeBlob._code_begin"), self._maybe("CodeBlob._code_offset")
        if begin is None and offset is None:
            self._missing.append("CodeBlob._code_begin")
        return BlobLayout(
            struct_size=self._size("CodeBlob"),
            name=self._need("CodeBlob._name"),
            size=self._need("CodeBlob._size"),
            frame_size=self._need("CodeBlob._frame_size"),
            code_begin=begin,
            code_offset=offset,
            data_offset=self._need("CodeBlob._data_offset"),
        )

    def _nmethod(self) -> NmethodLayout:
        layout = NmethodLayout(
            struct_size=self._size("nmethod"),
            method=self._need("nmethod._method", "CompiledMethod._method"),
            orig_pc_offset=self._need("nmethod._orig_pc_offset"),
            deopt_pointers=self._all("CompiledMethod._deopt_handler_begin", "CompiledMethod._deopt_mh_handler_begin"),
            deopt_offsets=self._all(
                "nmethod._deopt_handler_offset",
                "nmethod._deopt_mh_handler_offset",
                "nmethod._deopt_handler_entry_offset",
                "nmethod._deoptimize_offset",
                "nmethod._deoptimize_mh_offset",
            ),
            scopes_pcs_offset=self._need("nmethod._scopes_pcs_offset"),
            scopes_data_begin=self._maybe("CompiledMethod._scopes_data_begin"),
            scopes_data_offset=self._maybe("nmethod._scopes_data_offset"),
            dependencies_offset=self._maybe("nmethod._dependencies_offset"),
            metadata_offset=self._maybe("nmethod._metadata_offset"),
            immutable_data=self._maybe("nmethod._immutable_data"),
            immutable_data_size=self._maybe("nmethod._immutable_data_size"),
            mutable_data=self._maybe("CodeBlob._mutable_data"),
            mutable_data_size=self._maybe("CodeBlob._mutable_data_size"),
            relocation_size=self._maybe("CodeBlob._relocation_size"),
            pc_desc_size=self._size("PcDesc"),
            pc_offset=self._need("PcDesc._pc_offset"),
            scope_offset=self._need("PcDesc._scope_decode_offset"),
        )
        self._missing.extend(_unreachable_tables(layout))
        return layout

    def _method(self) -> MethodLayout:
        length = self._maybe("Symbol._length")
        shared = self._maybe("Symbol._length_and_refcount")
        if length is None and shared is None:
            self._missing.append("Symbol._length")
        pool_file = self._maybe("ConstantPool._source_file_name_index")
        klass_file = self._maybe("InstanceKlass._source_file_name_index")
        constants = self._tables.constants
        return MethodLayout(
            const_method=self._need("Method._constMethod").offset,
            const_size=self._size("ConstMethod"),
            constants=self._need("ConstMethod._constants"),
            const_words=self._need("ConstMethod._constMethod_size"),
            code_size=self._need("ConstMethod._code_size"),
            name_index=self._need("ConstMethod._name_index"),
            flags=self._need("ConstMethod._flags", "ConstMethod._flags._flags"),
            line_numbers_flag=constants.get("ConstMethod::_has_linenumber_table", 0)
            or constants.get("ConstMethodFlags::_misc_has_linenumber_table", 0),
            pool_size=self._size("ConstantPool"),
            pool_length=self._need("ConstantPool._length"),
            pool_holder=self._need("ConstantPool._pool_holder"),
            pool_source_file=pool_file,
            klass_name=self._need("Klass._name").offset,
            klass_source_file=klass_file,
            symbol_length=length or shared or Member(0, 0),
            symbol_length_shift=0 if length else 16,
            symbol_body=self._need("Symbol._body", "Symbol._body[0]").offset,
        )

    def _field(self, name: str) -> Optional[Field]:
        owner, _, member = name.partition(".")
        return self._tables.fields.get((owner, member))

    def _static(self, name: str) -> Optional[Field]:
        found = self._field(name)
        return found if found is not None and found.address is not None else None

    def _maybe(self, *names: str) -> Optional[Member]:
        for name in names:
            found = self._field(name)
            if found is not None and found.address is None:
                return Member(found.offset, found.width)
        return None

    def _need(self, *names: str) -> Member:
        found = self._maybe(*names)
        if found is None:
            self._missing.append(names[0])
            return Member(0, 0)
        return found

    def _all(self, *names: str) -> tuple[Member, ...]:
        return tuple(member for member in map(self._maybe, names) if member is not None)

    def _size(self, name: str) -> int:
        size = self._tables.sizes.get(name, 0)
        if not 0 < size < 4096:
            self._missing.append(f"sizeof({name})")
        return size


def _unreachable_tables(layout: NmethodLayout) -> list[str]:
    missing = []
    if layout.immutable_data is not None:
        if layout.immutable_data_size is None:
            missing.append("nmethod._immutable_data_size")
        if layout.scopes_data_offset is None:
            missing.append("nmethod._scopes_data_offset")
    else:
        if layout.scopes_data_begin is None and layout.scopes_data_offset is None:
            missing.append("nmethod._scopes_data_offset")
        if layout.dependencies_offset is None:
            missing.append("nmethod._dependencies_offset")
    if layout.metadata_offset is None and (layout.mutable_data is None or layout.relocation_size is None):
        missing.append("nmethod._metadata_offset")
    return missing
