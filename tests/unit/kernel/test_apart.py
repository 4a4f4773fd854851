"""Compiling in a process of its own: what comes out is what the compiler gave, and this process stays as it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn, Optional

import pytest

from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel import apart
from tracer.kernel.objectcode import MapSpec, ObjectCode

CODE = ObjectCode((MapSpec("sockets", 1, 8, 704, 4096, 0),), {"on_state": b"\x95" + bytes(7)})


def test_the_code_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It was compiled elsewhere, with the same arguments."""
    said = tmp_path / "said"

    def compile_text(text: str, tree: Optional[Path]) -> ObjectCode:
        said.write_text(f"{text} {tree} {os.getpid() != me}")
        return CODE

    me = os.getpid()
    monkeypatch.setattr(apart, "compile_text", compile_text)
    assert apart.compile_apart("int x;", Path("/tree")) == CODE
    assert said.read_text() == "int x; /tree True"


def test_its_errors_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that the compiler wrote."""

    def fail(_text: str, _tree: Optional[Path]) -> NoReturn:
        raise CompileFailed("it does not compile", "line 3: error")

    def refuse(_text: str, _tree: Optional[Path]) -> NoReturn:
        raise HostUnsupported("no bcc")

    def die(_text: str, _tree: Optional[Path]) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    monkeypatch.setattr(apart, "compile_text", fail)
    with pytest.raises(CompileFailed, match="does not compile") as failed:
        apart.compile_apart("", None)
    assert failed.value.said == "line 3: error"
    monkeypatch.setattr(apart, "compile_text", refuse)
    with pytest.raises(HostUnsupported, match="no bcc"):
        apart.compile_apart("", None)
    monkeypatch.setattr(apart, "compile_text", die)
    with pytest.raises(HostUnsupported, match="without a word"):
        apart.compile_apart("", None)
