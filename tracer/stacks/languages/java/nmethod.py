"""Finds the Java methods, also inlined ones, that a return address in compiled code belongs to.

Source: src/hotspot/share/code/{nmethod,pcDesc,scopeDesc,debugInfo}.hpp. Each call in compiled code has a PcDesc with
exactly its return address. The scope of a PcDesc is a chain of (sender, method, bci) records, innermost first.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.java.codecache import CodeBlob
from tracer.stacks.languages.java.layout import Layout, NmethodLayout
from tracer.stacks.languages.java.unsigned5 import Unsigned5
from tracer.stacks.target.reader import Nonsense, Reader

_MAX_TABLE_BYTES = 16 << 20
_MAX_PC_DESC_BYTES = 1 << 20
_MAX_INLINED = 512
_SCOPE_BYTES = 15  # three numbers of at most five bytes
_CACHED_TABLES = 128
_MISPLACED = "the address of its debug information is wrong"


@dataclass(frozen=True)
class ScopeDesc:
    """One active Java method: the address of its Method, and the bytecode index (None if it is not recorded)."""

    method: int
    bci: Optional[int]


@dataclass(frozen=True)
class _Tables:
    """Address ranges [begin, end) of the debug information of one nmethod."""

    pcs: tuple[int, int]
    scopes: tuple[int, int]
    metadata: tuple[int, int]


class Nmethods:
    """The debug information of the nmethods of one JVM. All methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, reader: Reader, layout: Layout) -> None:
        self._reader = reader
        self._layout = layout.nmethod
        self._biased = layout.biased
        self._descs: OrderedDict[bytes, tuple[array[int], array[int]]] = OrderedDict()

    def method(self, blob: CodeBlob) -> int:
        """The address of the Method that was compiled to ``blob``."""
        return self._layout.method.of(blob.raw)

    def original_pc_slot(self, blob: CodeBlob, pc: int) -> Optional[int]:
        """If ``pc`` is the deoptimisation handler: where the real return address was saved, in bytes above sp."""
        layout = self._layout
        handlers = {member.of(blob.raw) for member in layout.deopt_pointers}
        handlers |= {blob.address + member.of(blob.raw) for member in layout.deopt_offsets}
        if pc not in handlers:
            return None
        slot = layout.orig_pc_offset.of(blob.raw)
        if slot >= blob.frame_size * 8:
            raise Nonsense("a deoptimised frame without its return address")
        return slot

    def scopes(self, blob: CodeBlob, pc: int) -> Optional[tuple[ScopeDesc, ...]]:
        """The methods at the return address ``pc``, innermost first; None if no call returns to ``pc``."""
        tables = _locate(self._layout, blob)
        offsets, scopes = self._pc_descs(blob, tables)
        delta = pc - blob.code_begin
        index = bisect_left(offsets, delta)
        # A PcDesc without a scope is not a call: it only helps searches by approximate address.
        if index >= len(offsets) or offsets[index] != delta or scopes[index] == 0:
            return None
        try:
            return self._scope_chain(blob, tables, scopes[index], self._biased)
        except Nonsense:
            # Only JDK 20 has the new number format with the old layout.
            return self._scope_chain(blob, tables, scopes[index], not self._biased)

    def _scope_chain(self, blob: CodeBlob, tables: _Tables, start: int, biased: bool) -> tuple[ScopeDesc, ...]:
        chain = tuple(self._walk_scopes(tables, start, biased))
        if chain[-1].method != self.method(blob):
            raise Nonsense("its debug information (scopes) is of another method")
        return chain

    def _walk_scopes(self, tables: _Tables, start: int, biased: bool) -> Iterator[ScopeDesc]:
        begin, end = tables.scopes
        offset = start
        for _ in range(_MAX_INLINED):
            if not 0 < offset < end - begin:
                break
            raw = self._reader.read(begin + offset, min(_SCOPE_BYTES, end - begin - offset))
            stream = Unsigned5(raw, biased)
            sender, method, bci = stream.unsigned(), stream.unsigned(), stream.unsigned() - 1
            yield ScopeDesc(self._metadata(tables, method), bci if bci >= 0 else None)
            if sender == 0:
                return
            if sender >= offset:  # the record of a caller is always before those of the methods that it inlines
                break
            offset = sender
        raise Nonsense("its debug information (scopes) does not end")

    def _metadata(self, tables: _Tables, index: int) -> int:
        begin, end = tables.metadata
        if not 0 < index <= (end - begin) // 8:
            raise Nonsense("its debug information (metadata) has no such method")
        return self._reader.pointer(begin + 8 * (index - 1))

    def _pc_descs(self, blob: CodeBlob, tables: _Tables) -> tuple[array[int], array[int]]:
        """Code offsets (ascending) and scope offsets. The cache's key is the bytes of the nmethod struct."""
        found = self._descs.get(blob.raw)
        if found is None:
            found = self._read_pc_descs(tables)
            self._descs[blob.raw] = found
            while len(self._descs) > _CACHED_TABLES:
                self._descs.popitem(last=False)
        return found

    def _read_pc_descs(self, tables: _Tables) -> tuple[array[int], array[int]]:
        layout = self._layout
        begin, end = tables.pcs
        stride, size = layout.pc_desc_size // 4, end - begin
        if size % layout.pc_desc_size or layout.pc_desc_size % 4 or size > _MAX_PC_DESC_BYTES:
            raise Nonsense(f"its table of calls (PcDesc) has {size} bytes")
        words = array("i", self._reader.read(begin, size))
        if sys.byteorder != "little":
            words.byteswap()
        offsets, scopes = (
            words[layout.pc_offset.offset // 4 :: stride],
            words[layout.scope_offset.offset // 4 :: stride],
        )
        if len(offsets) != len(scopes):
            raise Nonsense("its calls (PcDesc) have members outside themselves")
        return offsets, scopes


def _locate(layout: NmethodLayout, blob: CodeBlob) -> _Tables:
    raw, start, end = blob.raw, blob.address, blob.address + blob.size
    pcs_offset = layout.scopes_pcs_offset.of(raw)
    if layout.immutable_data is not None and layout.immutable_data_size is not None and layout.scopes_data_offset:
        data = layout.immutable_data.of(raw)
        scopes = data + layout.scopes_data_offset.of(raw)
        pcs = data + pcs_offset
        tables = _Tables((pcs, scopes), (scopes, data + layout.immutable_data_size.of(raw)), _metadata(layout, blob))
    else:
        pcs = start + pcs_offset
        scopes = start
        if layout.scopes_data_begin is not None:
            scopes = layout.scopes_data_begin.of(raw)
        elif layout.scopes_data_offset is not None:
            scopes += layout.scopes_data_offset.of(raw)
        pcs_end = start + (layout.dependencies_offset.of(raw) if layout.dependencies_offset else 0)
        metadata = start + (layout.metadata_offset.of(raw) if layout.metadata_offset else 0)
        tables = _Tables((pcs, pcs_end), (scopes, pcs), (metadata, scopes))
        if not start < metadata <= scopes <= pcs <= pcs_end <= end:
            raise Nonsense(_MISPLACED)
    for low, high in (tables.pcs, tables.scopes, tables.metadata):
        if not 0 < low <= high <= low + _MAX_TABLE_BYTES:
            raise Nonsense(_MISPLACED)
    return tables


def _metadata(layout: NmethodLayout, blob: CodeBlob) -> tuple[int, int]:
    raw = blob.raw
    if layout.metadata_offset is not None:  # JDK 23 and 24: in the blob's own data
        return blob.address + blob.data_offset + layout.metadata_offset.of(raw), blob.address + blob.size
    begin = layout.mutable_data.of(raw) if layout.mutable_data else 0
    size = layout.mutable_data_size.of(raw) if layout.mutable_data_size else _MAX_TABLE_BYTES
    return begin + (layout.relocation_size.of(raw) if layout.relocation_size else 0), begin + size
