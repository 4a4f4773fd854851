"""The parts of compiling that need no compiler: its surroundings, and what is said when it fails."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Optional

import pytest

from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel import bcclib, compiler


def test_missing_bcc_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """For apt and dnf, and for which python."""
    monkeypatch.setitem(sys.modules, "bcc", None)
    with pytest.raises(HostUnsupported, match=r"python3-bpfcc \(apt\).*python3-bcc \(dnf\)") as caught:
        bcclib.require_bcc()
    assert sys.executable in str(caught.value)


def test_the_compiler_sees_neither_the_callers_directory_nor_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And both come back afterwards, whatever happened."""
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.chdir(tmp_path)
    before: Optional[str]
    seen: list[tuple[str, str]] = []
    for before in (None, "/somewhere"):
        monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
        if before is not None:
            monkeypatch.setenv("BCC_KERNEL_SOURCE", before)
        with contextlib.suppress(RuntimeError), compiler._environment(tree):
            seen.append((os.getcwd(), os.environ["BCC_KERNEL_SOURCE"]))
            raise RuntimeError
        assert os.getcwd() == str(tmp_path)
        assert os.environ.get("BCC_KERNEL_SOURCE") == before
    assert seen == [(str(tree), str(tree))] * 2


def test_a_removed_current_directory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody deleted the directory that the shell stands in."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with compiler._environment(None):
        assert os.getcwd() == "/"
    assert os.getcwd() == "/"


def test_the_compilers_words_are_caught(capfd: pytest.CaptureFixture[str]) -> None:
    """bcc and LLVM write to the descriptors, past Python; the descriptors are what they were afterwards."""
    with bcclib.quietly() as said:
        os.write(1, b"out ")
        os.write(2, b"error: err\n")
        assert compiler.first_error(said()) == "out error: err"
    print("after")
    assert capfd.readouterr() == ("after\n", "")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("could not open bpf map: sockets, error: Operation not permitted", "memlock"),
        ("a.c:3:1: error: unknown type name 'x'\n1 error generated.\n", "unknown type name"),
        ("", "no reason given"),
    ],
)
def test_failures_to_compile_name_the_cure(said: str, expected: str) -> None:
    """One sentence, from what the compiler wrote."""
    assert expected in str(compiler._failure(said))


def test_an_error_of_the_compiler_points_to_the_whole_log() -> None:
    """One line is shown; the exception keeps all lines, and the line says how to have them."""
    said = "a.c:3:1: error: unknown type name 'x'\n  3 | x y;\n1 error generated.\n"
    failed = compiler._failure(said)
    assert isinstance(failed, CompileFailed)
    assert failed.said == said
    assert str(failed).endswith("`closetrace doctor --dump DIR` writes the whole log")
    assert "\n" not in str(failed)
