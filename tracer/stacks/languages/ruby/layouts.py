"""Where Ruby (MRI) keeps its threads, frames and code: offsets in bytes, by minor version.

Source: offsetof in vm_core.h, ractor_core.h, thread_pthread.h, method.h, gc.c and include/ruby/internal/core/ of each
version, with the configuration of Debian's build. The common parts are the same in 3.1 and 3.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional

ENTRY_WORDS = 15

# rb_vm_t, rb_thread_t, rb_execution_context_t
VM_MAIN_RACTOR, VM_MAIN_THREAD = 32, 40
THREAD_VM = 32
CONTEXT_THREAD = 48
# rb_control_frame_t and its environment are read by bpf/languages/ruby.bpf.c.
# rb_iseq_t, struct rb_iseq_constant_body
ISEQ_BODY = 16
BODY_TYPE, BODY_SIZE, BODY_CODE = 0, 4, 8
BODY_PATH, BODY_LABEL = 64, 80
KNOWN_BYTES = 96
"""How much of a body is read."""
INSTRUCTION_INFO_BYTES = 12
# RBasic, RString, RArray, rb_method_entry_t, rb_method_definition_t
STRING_LENGTH, STRING_POINTER = 16, 24
ARRAY_LENGTH, ARRAY_POINTER, ARRAY_EMBEDDED = 16, 32, 16
METHOD_DEFINITION, DEFINITION_NAME = 16, 32
# rb_objspace_t
GC_FLAGS = 16
GC_MODE_MASK, GC_MODE_MARKING = 3, 1
# rb_symbols_t
SYMBOLS_COUNT, SYMBOLS_NAMES = 0, 16
SYMBOLS_IN_BLOCK, WORDS_OF_SYMBOL = 512, 2
LAST_OPERATOR, SCOPE_SHIFT = 169, 4
"""IDs up to the last operator count as they are; all others by what is above their scope bits (symbol.h)."""


@dataclass(frozen=True)
class Layout:
    """One minor version.

    ``thread_id`` are the offsets that lead from a thread to its pthread_t: the last one is that of the value itself.
    ``machine_stack`` is where a context has the start of its C stack, which is its highest address.
    ``information`` is the place of insns_info in the body. ``embedded`` is where a short string's bytes begin, and
    ``embedded_length`` the shift of its length in the flags, None if all strings have STRING_LENGTH.
    ``counts_ages``: an object's flags tell how many collections it survived, up to
    three; else they only tell that it is old. ``old_flags`` is the lowest byte of the flags of an old internal object.
    """

    frame_bytes: int
    thread_context: int
    thread_id: tuple[int, ...]
    ractor_threads: int
    machine_stack: int
    information: int
    embedded: int
    embedded_length: Optional[int]
    counts_ages: bool
    old_flags: int
    objspace: int
    collections: int

    def values(self, slot: int) -> bytes:
        """What bpf/languages/ruby.bpf.c needs, in its order. ``slot``: of the context, from the thread pointer."""
        return struct.pack("<q14Q", slot, self.frame_bytes, *(0,) * (ENTRY_WORDS - 2))


LAYOUTS = {
    (3, 1): Layout(
        frame_bytes=64,
        thread_context=40,
        thread_id=(80,),
        ractor_threads=304,
        machine_stack=144,
        information=120,
        embedded=16,
        embedded_length=14,
        counts_ages=True,
        old_flags=0x7A,
        objspace=1104,
        collections=440,
    ),
    (3, 3): Layout(
        frame_bytes=56,
        thread_context=48,
        thread_id=(40, 16),
        ractor_threads=256,
        machine_stack=152,
        information=112,
        embedded=24,
        embedded_length=None,
        counts_ages=False,
        old_flags=0x3A,
        objspace=1304,
        collections=1392,
    ),
}
"""By major and minor version."""
