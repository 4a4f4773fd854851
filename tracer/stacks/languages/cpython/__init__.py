"""Python on CPython: its functions by what the kernel side copied of their frames, and by perf maps (``-X perf``)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Optional

from tracer.model.frame import Frame
from tracer.stacks.language import TLS, Language, LookAtHeap, Part, Runtime, Symbol, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.model.holder import Held, Limits, SocketAt
    from tracer.stacks.language import OfProgram
    from tracer.stacks.target.process import Process

_TITLE = "Python"
_TRAMPOLINE = re.compile(r"py::(.*?):(.*)$")
_EVENT_LOOP = re.compile(r"_asyncio\..*so")
"""What asyncio loads; uvloop loads asyncio."""
_GREENLET = re.compile(r"_?greenlet\..*so$")
_PACKAGE = re.compile(r"/(?:site|dist)-packages/([^/]+)")
_STANDARD = re.compile(r"/lib(?:64)?/(?:python|pypy)\d[\d.]*/(?!(?:site|dist)-packages/)|<frozen |/python\d+\.zip/")
_INTERPRETER = re.compile(r"(?:python|pypy)\d*(?:\.\d+)?[a-z]*(?:-dbg)?|lib(?:python|pypy)\d\S*\.so[\d.]*")
_EXTENSION = re.compile(r"\S+\.(?:cpython-\d\w*(?:-[\w-]+)?|abi3)\.so")


def _attach(target: Target) -> Optional[Runtime]:
    files = {mapping.path.rpartition("/")[2] for mapping in target.process.mappings if mapping.is_file}
    if not any(map(_is_interpreter, files)):
        return None
    from tracer.stacks.languages.cpython.runtime import runtime

    return runtime(target)


def _read_symbol(symbol: str) -> Optional[Symbol]:
    match = _TRAMPOLINE.match(symbol)
    if match is None:
        return None
    function, file = match.groups()
    return Symbol(function, "python", file=file, internal=is_standard(file))


def is_standard(file: str) -> bool:
    """Whether a source file is of the standard library."""
    return _STANDARD.search(file) is not None


def is_own_file(file: str) -> bool:
    """Whether a source file is of the program's own: neither of a package that was installed nor of Python itself."""
    return bool(file) and not file.startswith("<") and not is_standard(file) and not _PACKAGE.search(file)


def _heap(process: Process) -> Optional[LookAtHeap]:
    files = (mapping.path.rpartition("/")[2] for mapping in process.mappings if mapping.is_file)
    if not any(map(_is_interpreter, files)):
        return None

    def look(wanted: Sequence[SocketAt], limits: Limits) -> Held:
        from tracer.stacks.languages.cpython.heap import look

        return look.look(process, wanted, limits)

    return look


def _kernel_entry(target: Target) -> Optional[bytes]:
    from tracer.stacks.languages.cpython.process import kernel_entry

    return kernel_entry(target)


def _kernel_entry_of_all(target: Target, values: bytes) -> Optional[tuple[int, bytes]]:
    from tracer.stacks.languages.cpython.process import kernel_entry_of_all

    return kernel_entry_of_all(target, values)


def _has_loop(process: Process) -> bool:
    return any(_EVENT_LOOP.fullmatch(m.path.rpartition("/")[2]) for m in process.mappings if m.is_file)


def _is_interpreter(module: str) -> bool:
    return _INTERPRETER.fullmatch(module) is not None


def _program(process: Process) -> Optional[OfProgram]:
    from tracer.stacks.languages.cpython.program import program

    return program(process)


def _package(frame: Frame) -> str:
    file = frame.file or ""
    match, module = _PACKAGE.search(file), frame.module or ""
    # A program may be built from sources that lie there. It is no part of the package: closetrace's own demo is one.
    if match and (frame.language == "python" or ".so" in module):
        return match.group(1).partition(".py")[0]
    if frame.language == "python":
        return "" if file and not is_standard(file) else TLS if file.endswith("/ssl.py") else _TITLE
    if _EXTENSION.fullmatch(module):
        return TLS if module.startswith("_ssl.") else module.partition(".")[0]
    return _TITLE if _is_interpreter(module) else ""


def _installed(pid: int, names: Collection[str]) -> tuple[str, ...]:
    from tracer.stacks.languages.cpython.packages import installed

    return installed(pid, names)


def _part(frame: Frame) -> Part:
    if frame.language == "python":
        from tracer.stacks.languages.cpython.parts import part

        return part(frame.function or "", frame.file or "", frame.internal)
    # The functions that it runs are named where there is a perf map, and are missing otherwise.
    return Part.INTERPRETER if _is_interpreter(frame.module or "") else Part.OTHER


def _starts_coroutine(module: str, function: Optional[str]) -> bool:
    """Tell where a greenlet's stack begins (greenlet's TUserGreenlet.cpp, before release 2 greenlet.c).

    Its switches make no system call. So where it has no symbols, its first frame from inside is near enough.
    """
    return _GREENLET.match(module) is not None and (function is None or "g_initialstub" in function)


LANGUAGE = Language(
    "python",
    attach=_attach,
    heap=_heap,
    number=1,
    kernel_program="cpython.bpf.c",
    kernel_entry=_kernel_entry,
    kernel_entry_of_all=_kernel_entry_of_all,
    program=_program,
    has_loop=_has_loop,
    read_symbol=_read_symbol,
    starts_coroutine=_starts_coroutine,
    runtime_module=_is_interpreter,
    title=_TITLE,
    package=_package,
    part=_part,
    installed=_installed,
    names_by_file=True,
)
