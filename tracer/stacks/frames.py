"""From an address in an ELF file to the lines of a report: function, module, source, and what kind of code it is."""

from __future__ import annotations

import re
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor
from tracer.stacks.elf.image import Name
from tracer.stacks.target.modules import Code

_LIBRARIES = re.compile(
    r"(libc|libpthread|ld-linux-x86-64|ld|ld-musl-x86_64|libc\.musl-x86_64|libstdc\+\+|libgcc_s|libc\+\+|libc\+\+abi)"
    r"(-[0-9.]+)?\.so(\.[0-9.]+)?"
)
# The JVM and the native halves of the JDK's own classes; no other library has these names without a version behind.
_JVM = re.compile(r"lib(jvm|java|jli|net|nio|extnet|zip|jimage|verify)\.so")
_START = frozenset(
    "_start __libc_start_main __libc_start_call_main __libc_start_main_impl _start_c libc_start_main_stage2 "
    "start_thread clone __clone clone3 __clone3".split()
)
_SYSTEM_CALLS = re.compile(
    r"(__|__libc_)?(read|readv|recv|recvfrom|recvmsg|recvmmsg|write|writev|send|sendto|sendmsg|sendmmsg|sendfile|"
    r"connect|accept|accept4|close|shutdown|poll|select|epoll_wait|syscall_cp_c|syscall_cp_asm|syscall_cp|cp_end)"
)
_RUST_STANDARD = re.compile(r"<[&*]*(?:mut |dyn |const )*(?:std|core|alloc)::")
_GO_STANDARD = re.compile(
    r"(runtime|internal|syscall|net|os|io|bufio|bytes|context|crypto|encoding|fmt|reflect|sync|time|vendor)[./]"
)


def elf_frames(code: Code, cursor: Cursor) -> tuple[Frame, ...]:
    """Name the code under ``cursor``: inlined calls innermost first, then the machine frame. Never empty."""
    if code.image is None:
        return (Frame(None, code.module, cursor.pc + code.delta, pc=cursor.pc, internal=is_library(code.module)),)
    names = code.image.names(cursor.lookup + code.delta)
    return tuple(_frame(code, cursor, name) for name in names)


def _frame(code: Code, cursor: Cursor, name: Name) -> Frame:
    if name.function is None:
        offset = cursor.pc + code.delta
    else:
        offset = 0 if name.inlined else name.offset + cursor.pc - cursor.lookup
    # Assembly and C that is linked in has no package in its name.
    is_go = _is_go(code) and (name.function is None or "." in name.function)
    return Frame(
        function=name.function,
        module=code.module,
        offset=offset,
        file=name.file,
        line=name.line,
        language="go" if is_go else "native",
        inlined=name.inlined,
        internal=_is_internal(code, name.function, is_go),
        pc=cursor.pc,
    )


def _is_go(code: Code) -> bool:
    return code.image is not None and code.image.facts.go_table is not None


def _is_internal(code: Code, function: Optional[str], is_go: bool) -> bool:
    if is_library(code.module) or _JVM.fullmatch(code.module):
        return True
    if function is None:
        return False
    if is_go:
        return _GO_STANDARD.match(function) is not None
    if function in _START or _is_standard(function):
        return True
    # A statically linked program has the C library's wrappers in itself.
    is_static = code.image is not None and code.image.facts.is_static
    return is_static and _SYSTEM_CALLS.fullmatch(function) is not None


def _is_standard(function: str) -> bool:
    """Tell functions of the C++ and Rust standard libraries, which are for a good part compiled into programs."""
    if function.startswith("<"):
        return _RUST_STANDARD.match(function) is not None
    head, parenthesis, _ = _without_arguments(function).partition("(")
    # A C++ template's name follows its return type. Rust shows no parameters and has two more standard crates.
    name = head.rpartition(" ")[2]
    return name.startswith(("std::", "__gnu_cxx::") if parenthesis else ("std::", "core::", "alloc::"))


def _without_arguments(name: str) -> str:
    """Leave out the template or generic arguments of a name."""
    kept, depth = [], 0
    for letter in name:
        depth += letter == "<"
        if depth == 0:
            kept.append(letter)
        depth -= letter == ">" and depth > 0
    return "".join(kept)


def is_library(module: str) -> bool:
    """Tell whether a file of this name is a C or C++ runtime library."""
    return module == "[vdso]" or _LIBRARIES.fullmatch(module) is not None
