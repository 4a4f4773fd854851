"""Compiles in a process of its own: the compiler takes 100 MB, which a process that runs for months should not keep."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional

from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel import objectcode
from tracer.kernel.compiler import compile_text
from tracer.kernel.objectcode import ObjectCode


def compile_apart(text: str, tree: Optional[Path]) -> ObjectCode:
    """As :func:`tracer.kernel.compiler.compile_text`, in a child of this process. Raises HostUnsupported."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_compiler(writing, text, tree)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        said = file.read()
    os.waitpid(child, 0)
    return _result(said)


def _be_the_compiler(writing: int, text: str, tree: Optional[Path]) -> None:
    """In the child: compile, tell, end. Never returns."""
    try:
        with open(writing, "w", encoding="utf-8") as file:
            json.dump(_compiled(text, tree), file)
    finally:
        os._exit(0)


def _compiled(text: str, tree: Optional[Path]) -> dict[str, str]:
    try:
        return {"code": compile_text(text, tree).to_text()}
    except CompileFailed as failed:
        return {"failed": str(failed), "said": failed.said}
    except HostUnsupported as reason:
        return {"unsupported": str(reason)}


def _result(said: str) -> ObjectCode:
    values: dict[str, Any] = json.loads(said) if said else {"unsupported": "the compiler ended without a word"}
    if "failed" in values:
        raise CompileFailed(values["failed"], values["said"])
    if "unsupported" in values:
        raise HostUnsupported(values["unsupported"])
    return objectcode.from_text(values["code"])
