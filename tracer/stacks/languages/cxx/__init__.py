"""C and C++: the C library, the C++ standard library, and readable names. Compiled code is ``native``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.elf.facts import ElfFacts
from tracer.stacks.generics import without_arguments
from tracer.stacks.language import Language, Part
from tracer.stacks.lasting import replaced

if TYPE_CHECKING:
    from tracer.model.frame import Frame

_LIBRARIES = re.compile(
    r"(libc|libpthread|ld-linux-x86-64|ld|ld-musl-x86_64|libc\.musl-x86_64|libstdc\+\+|libgcc_s|libc\+\+|libc\+\+abi)"
    r"(-[0-9.]+)?\.so(\.[0-9.]+)?"
)
_START = frozenset(
    "_start __libc_start_main __libc_start_call_main __libc_start_main_impl _start_c libc_start_main_stage2 "
    "start_thread clone __clone clone3 __clone3".split()
)
_HEADERS = "/usr/include/"
"""Functions of headers there are compiled into programs, and are not theirs."""
_SYSTEM_CALLS = re.compile(
    r"(__|__libc_)?(read|readv|recv|recvfrom|recvmsg|recvmmsg|write|writev|send|sendto|sendmsg|sendmmsg|sendfile|"
    r"connect|accept|accept4|close|shutdown|poll|ppoll|select|pselect|epoll_wait|epoll_pwait|wait4|waitpid|waitid|wait|"
    r"pause|nanosleep|clock_nanosleep|sleep|usleep|sigsuspend|sigwait|flock|fcntl|fcntl64|splice|do_system|system|"
    r"syscall_cp_c|syscall_cp_asm|syscall_cp|cp_end)|"
    r"(__|___)?pthread_(mutex_lock|mutex_timedlock|cond_wait|cond_timedwait|cond_clockwait|rwlock_(timed)?(rd|wr)lock|join|"
    r"timedjoin_np|clockjoin_ex|barrier_wait|once)(_common|_full|_internal)?|"
    r"__lll_lock_\w+|__(internal_)?futex_\w+|(__new_|__)?sem_(wait|timedwait|clockwait)\w*|__timedwait(_cp)?|__wait"
)


def _demangle(symbol: str) -> Optional[str]:
    from tracer.stacks.elf import itanium

    return itanium.demangle(symbol)


def _is_library(module: str) -> bool:
    return module == "[vdso]" or _LIBRARIES.fullmatch(module) is not None


def _is_runtime(function: str, facts: ElfFacts) -> bool:
    if function in _START or _is_standard(function):
        return True
    # A statically linked program contains the C library's wrappers.
    return facts.is_static and _SYSTEM_CALLS.fullmatch(function) is not None


def _is_standard(function: str) -> bool:
    """Tell whether it belongs to the C++ standard library. Large parts of it are compiled into programs."""
    # In the name of a template the return type comes first.
    name = without_arguments(function).partition("(")[0].rpartition(" ")[2]
    return name.startswith(("std::", "__gnu_cxx::"))


def _base_name(frame: Frame) -> str:
    return (frame.module or "").rpartition("/")[2]


def _package(frame: Frame) -> str:
    if (frame.file or "").startswith(_HEADERS):
        return "system headers"
    from tracer.stacks.languages.cxx import libraries

    return libraries.package(frame.function or "", _base_name(frame), frame.file or "")


def _part(frame: Frame) -> Part:
    from tracer.stacks.languages.cxx import libraries

    return libraries.part(frame.function or "", _base_name(frame), frame.file or "")


def _short_name(name: str) -> str:
    plain = name.split("(", 1)[0] if "(anonymous" not in name and "operator" not in name else name
    return plain or name


_lasting_name = replaced(
    # What compilers split off or make copies of: foo.constprop.0, foo.part.3.cold, foo.llvm.123, "foo [clone .isra.0]".
    (r"(\.(constprop|isra|part|cold|llvm|lto_priv|localalias|__uniq)(\.\d+)*)+(?=$|[\s\]])", ""),
    (r" ?\[clone ?\]", ""),
    (r"(?<=[\w)])#\d+\}", "}"),  # {lambda(int)#2}, {unnamed type#1}
    (r"\$_\d+", "$_"),  # clang's lambdas
    (r"'lambda\d*'", "'lambda'"),
    (r"\[abi:\w+\]|(?<=std::)(__cxx11|__1|__\d+|__ndk1)::", ""),
    (r"_GLOBAL__N_[\w.]*", "(anonymous namespace)"),
)


LANGUAGE = Language(
    "native",
    demangle=_demangle,
    runtime_module=_is_library,
    runtime_function=_is_runtime,
    package=_package,
    part=_part,
    short_name=_short_name,
    lasting_name=_lasting_name,
)
