"""JavaScript on Node.js, read from V8's heap, or with the names in its own perf map (``node --perf-basic-prof``)."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Optional

from tracer.model.frame import Frame
from tracer.stacks.language import Language, Part, Runtime, Symbol, Target

if TYPE_CHECKING:
    from tracer.stacks.language import OfProgram
    from tracer.stacks.target.maps import Mapping
    from tracer.stacks.target.process import Process

# Kind, tier mark (~ interpreted, ^ baseline, + maglev, * optimised), name, position.
_FUNCTION = re.compile(r"(?:LazyCompile|Function|Script|Eval|Callback|JS):[~^+*']?(\S*) (.*?):(\d+)(?::\d+)?$")
_RUNTIME = re.compile(r"(Builtin|BytecodeHandler|Stub|RegExp|Handler|WasmFunction|Wasm)\b[:\s]")
_PROGRAM = re.compile(r"node|nodejs|libnode\.so\.\d+")
_LIBRARY = re.compile(r"libnode\.so[\d.]*|libv8\S*\.so[\d.]*")
_ENGINE = re.compile(r"v8::|napi_\w+|Builtins_")
_BUNDLED = re.compile(r"(?:\.\./|.*/)deps/(\w+)/")
"""A source file of a library that Node.js is built with: ../deps/uv/src/threadpool.c."""
_POOL = "worker"
"""The function in which the threads of libuv's pool wait and work (src/threadpool.c)."""
_TITLE = "Node.js"
UNNAMED = "(JavaScript)"
"""The function of a frame whose name could not be had."""
_PACKAGE = re.compile(r".*/node_modules/((?:@[^/]+/)?[^/]+)")
_UNNAMED = "JavaScript, or code that V8 generated for it: node --perf-basic-prof gives it names"


def _files(process: Process) -> tuple[Mapping, ...]:
    """Where the program or the library of Node.js begins in a process."""
    found = [m for m in process.mappings if _PROGRAM.fullmatch(posixpath.basename(m.path))]
    return tuple(m for m in found if not m.offset) if any(m.executable for m in found) else ()


def _attach(target: Target) -> Optional[Runtime]:
    """Recognise Node.js by the name of its program or library, and V8 in it by what that exports."""
    files = _files(target.process)
    if not files:
        return None
    from tracer.stacks.languages.node import v8

    unwinder = v8.unwinder(target, files)
    return Runtime(unwinder, begin=unwinder.begin, unnamed=_UNNAMED) if unwinder else Runtime(unnamed=_UNNAMED)


def _kernel_entry(target: Target) -> Optional[bytes]:
    files = _files(target.process)
    if not files:
        return None
    from tracer.stacks.languages.node import v8

    return v8.kernel_entry(target.process, files)


def _kernel_entry_of_all(target: Target, values: bytes) -> Optional[tuple[int, bytes]]:
    files = _files(target.process)
    return (files[0].start, values) if len(files) == 1 else None


def _read_symbol(symbol: str) -> Optional[Symbol]:
    match = _FUNCTION.match(symbol)
    if match:
        function, file, line = match.groups()
        file = file[len("file://") :] if file.startswith("file://") else file
        function = function or f"<anonymous> ({posixpath.basename(file)})"
        return Symbol(function, "node", file=file, line=int(line), internal=file.startswith("node:"))
    return Symbol(symbol, "node", internal=True) if _RUNTIME.match(symbol) else None


def _is_library(module: str) -> bool:
    return _LIBRARY.fullmatch(module) is not None


def _program(process: Process) -> Optional[OfProgram]:
    from tracer.stacks.languages.node.program import program

    return program(process)


def _package(frame: Frame) -> str:
    match = _PACKAGE.match(frame.file or "")
    if match:
        return match.group(1)
    if frame.language == "node":
        return _TITLE if frame.function == UNNAMED else ""
    module, function = frame.module or "", frame.function
    if module.endswith(".node"):  # an addon
        return module
    if function is not None and _ENGINE.match(function):
        return _TITLE
    if not _PROGRAM.fullmatch(module):
        return ""
    # Other programs have this file name, too, but their functions have other names.
    is_own = function is None or (function == _POOL and not frame.file) or "node::" in function
    return _TITLE if is_own or _BUNDLED.match(frame.file or "") else ""


def _part(frame: Frame) -> Part:
    function = frame.function or ""
    if function == UNNAMED:
        return Part.INTERPRETER
    if frame.language == "node" or not _package(frame):
        return Part.OTHER
    if not function or function.startswith("Builtins_"):
        return Part.INTERPRETER
    return Part.LOOP if "SpinEventLoop" in function else Part.OTHER


LANGUAGE = Language(
    "node",
    attach=_attach,
    number=2,
    kernel_program="node.bpf.c",
    kernel_entry=_kernel_entry,
    kernel_entry_of_all=_kernel_entry_of_all,
    program=_program,
    receives_in_loop=True,
    read_symbol=_read_symbol,
    runtime_module=_is_library,
    title=_TITLE,
    package=_package,
    part=_part,
    names_by_file=True,
)
