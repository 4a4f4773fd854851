"""JavaScript on Node.js, with the names in V8's own perf map (``node --perf-basic-prof``)."""

from __future__ import annotations

import posixpath
import re
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.language import Language, Runtime, Symbol, Target

# Kind, tier mark (~ interpreted, ^ baseline, + maglev, * optimised), name, position.
_FUNCTION = re.compile(r"(?:LazyCompile|Function|Script|Eval|Callback|JS):[~^+*']?(\S*) (.*?):(\d+)(?::\d+)?$")
_RUNTIME = re.compile(r"(Builtin|BytecodeHandler|Stub|RegExp|Handler|WasmFunction|Wasm)\b[:\s]")
_PROGRAM = re.compile(r"node|nodejs|libnode\.so\.\d+")
_PACKAGE = re.compile(r".*/node_modules/((?:@[^/]+/)?[^/]+)")
_UNNAMED = "JavaScript, or code that V8 generated for it: node --perf-basic-prof gives it names"


def _attach(target: Target) -> Optional[Runtime]:
    """Recognise Node.js by its program file. All names come from the perf map, none from the process's memory."""
    is_node = any(m.executable and _PROGRAM.fullmatch(posixpath.basename(m.path)) for m in target.process.mappings)
    return Runtime(unnamed=_UNNAMED) if is_node else None


def _read_symbol(symbol: str) -> Optional[Symbol]:
    match = _FUNCTION.match(symbol)
    if match:
        function, file, line = match.groups()
        file = file[len("file://") :] if file.startswith("file://") else file
        function = function or f"<anonymous> ({posixpath.basename(file)})"
        return Symbol(function, "node", file=file, line=int(line), internal=file.startswith("node:"))
    return Symbol(symbol, "node", internal=True) if _RUNTIME.match(symbol) else None


def _package(frame: Frame) -> str:
    match = _PACKAGE.match(frame.file or "")
    return match.group(1) if match else ""


LANGUAGE = Language("node", attach=_attach, read_symbol=_read_symbol, title="Node.js", package=_package)
