"""bcc as a compiler: C text in, object code out. Only this module runs clang and LLVM in the process."""

from __future__ import annotations

import contextlib
import ctypes as ct
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from tracer.errors import BPF_NEEDS, WHOLE_LOG, CompileFailed, HostUnsupported
from tracer.kernel.bcclib import quietly, require_bcc
from tracer.kernel.objectcode import MapSpec, ObjectCode, unlinked

# clang does not optimize: bcc's own passes (-O3) run after it. To optimize twice takes LLVM twice as long and gives the
# same instructions.
FLAGS = ["-g0", "-w", "-Xclang", "-disable-llvm-passes"]

# Without BTF the types come from the installed headers.
_HEADERS_INSTALLED = """
#include <linux/tcp.h>
#include <linux/sched.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <net/sock.h>
#include <net/inet_sock.h>
#include <net/net_namespace.h>
"""


@contextlib.contextmanager
def _environment(tree: Optional[Path]) -> Iterator[None]:
    """Set what bcc takes from the process. It searches the current directory for includes, and finds the header tree
    by an environment variable.
    """
    try:
        before: Optional[str] = os.getcwd()
    except OSError:  # the directory was removed
        before = None
    variable = os.environ.get("BCC_KERNEL_SOURCE")
    os.chdir(tree or "/")
    if tree is not None:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chdir(before or "/")
        if variable is None:
            os.environ.pop("BCC_KERNEL_SOURCE", None)
        else:
            os.environ["BCC_KERNEL_SOURCE"] = variable


def first_error(text: str) -> str:
    """The line of a compiler's output that says what is wrong."""
    lines = [line for line in text.splitlines() if "error:" in line]
    return lines[0].strip() if lines else (text.strip().splitlines() or ["no reason given"])[-1]


def compile_text(text: str, tree: Optional[Path]) -> ObjectCode:
    """Compile the C text. ``tree`` is the header tree, None means the installed kernel headers.

    Raises HostUnsupported. Its subclass CompileFailed holds all that the compiler wrote.
    """
    bcc = require_bcc()

    class Unattached(bcc.BPF):  # type: ignore[misc, name-defined]
        """A bcc.BPF that only compiles. The base class also attaches programs by their function names."""

        def _trace_autoload(self) -> None:
            """Attach nothing."""

    with quietly() as said, _environment(tree):
        try:
            module = Unattached(text=(text if tree else _HEADERS_INSTALLED + text).encode(), cflags=FLAGS)
        except Exception:  # bcc raises plain Exception
            raise _failure(said()) from None
    try:
        return _object_code(bcc.lib, module.module)
    finally:
        module.cleanup()


def _failure(said: str) -> HostUnsupported:
    if "could not open bpf map" in said and "Operation not permitted" in said:
        return HostUnsupported(f"the kernel refuses BPF maps. {BPF_NEEDS}")
    return CompileFailed(f"the kernel-side program could not be compiled: {first_error(said)}. {WHOLE_LOG}", said)


def _object_code(lib: Any, module: int) -> ObjectCode:
    lib.bpf_num_tables.argtypes, lib.bpf_num_tables.restype = [ct.c_void_p], ct.c_size_t
    lib.bpf_table_name.argtypes, lib.bpf_table_name.restype = [ct.c_void_p, ct.c_size_t], ct.c_char_p
    for question in ("fd", "key_size", "leaf_size"):
        getattr(lib, f"bpf_table_{question}_id").argtypes = [ct.c_void_p, ct.c_size_t]
    index_of = {int(lib.bpf_table_fd_id(module, index)): index for index in range(lib.bpf_num_tables(module))}
    maps = tuple(
        MapSpec(
            name=lib.bpf_table_name(module, index).decode(),
            kind=int(lib.bpf_table_type_id(module, index)),
            key_size=int(lib.bpf_table_key_size_id(module, index)),
            value_size=int(lib.bpf_table_leaf_size_id(module, index)),
            entries=int(lib.bpf_table_max_entries_id(module, index)),
            flags=int(lib.bpf_table_flags_id(module, index)),
        )
        for index in index_of.values()
    )
    names = [lib.bpf_function_name(module, index) for index in range(lib.bpf_num_functions(module))]
    programs = {
        name.decode(): unlinked(
            ct.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)), index_of
        )
        for name in names
    }
    return ObjectCode(maps, programs)
