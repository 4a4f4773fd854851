"""Compiles in a process of its own: the compiler takes 100 MB, which a process that runs for months should not keep.

It is another interpreter, not a copy of this process: that one may have threads, and their locks would stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Callable, Optional

import tracer
from tracer import earliest
from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel import objectcode
from tracer.kernel.compiler import compile_text
from tracer.kernel.objectcode import ObjectCode

_BEAT_S = 1.0
_LONGEST_S = 600.0
"""Compiling takes seconds, on a host that swaps minutes."""
_START = "import sys; sys.path.insert(0, sys.argv[1]); import tracer; from tracer.kernel.apart import main; main()"


def compile_apart(text: str, tree: Optional[Path], waiting: Callable[[], None]) -> ObjectCode:
    """As :func:`tracer.kernel.compiler.compile_text`, in another process. Raises HostUnsupported.

    ``waiting`` is called about once a second meanwhile.
    """
    place = str(Path(tracer.__file__).resolve().parent.parent)
    words = [sys.executable, "-IBc", _START, place]
    # In memory: a full disk does not matter.
    files = os.memfd_create("closetrace-question"), os.memfd_create("closetrace-answer")
    with open(files[0], "w+", encoding="utf-8") as question, open(files[1], "w+", encoding="utf-8") as answer:
        json.dump({"text": text, "tree": str(tree) if tree else None, "path": sys.path}, question)
        question.seek(0)
        with _started(words, question, answer) as compiler:
            try:
                _wait(compiler, waiting)
            except BaseException:
                compiler.kill()
                raise
        answer.seek(0)
        return _result(answer.read())


def _started(words: Sequence[str], question: IO[str], answer: IO[str]) -> subprocess.Popen[bytes]:
    """Ctrl-C and a service manager's SIGTERM go to all processes. This one ends by SIGKILL alone, or with its work.

    What is blocked stays blocked after exec; python does not change it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, earliest.SIGNALS)
    try:
        return subprocess.Popen(words, stdin=question, stdout=answer, cwd="/")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(compiler: subprocess.Popen[bytes], waiting: Callable[[], None]) -> None:
    until = time.monotonic() + _LONGEST_S
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            compiler.wait(_BEAT_S)
            return
        if time.monotonic() >= until:
            raise HostUnsupported(f"the compiler has not ended within {_LONGEST_S:g} s")
        waiting()


def main() -> None:
    """In the other process: compile what stdin says, and tell on stdout."""
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    tree = asked["tree"]
    json.dump(_compiled(asked["text"], Path(tree) if tree else None), sys.stdout)


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
