"""Compiling in a process of its own: what comes out is what the compiler gave, and this process stays as it was."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tracer import earliest
from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel import apart
from tracer.kernel.objectcode import MapSpec, ObjectCode

CODE = ObjectCode((MapSpec("sockets", 1, 8, 704, 4096, 0),), {"on_state": b"\x95" + bytes(7)})


def compiler(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have the other process do this as the compiler, given ``text`` and ``tree``."""
    body = "\n    ".join(lines)
    start = f"""
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel import apart
from tracer.kernel.objectcode import MapSpec, ObjectCode

def compile_text(text, tree):
    {body}

apart.compile_text = compile_text
apart.main()
"""
    monkeypatch.setattr(apart, "_START", start)


def compiled(text: str = "", tree: Path | None = None) -> ObjectCode:
    return apart.compile_apart(text, tree, lambda: None)


def test_the_code_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It was compiled elsewhere, with the same arguments, also if they are long."""
    said = tmp_path / "said"
    compiler(
        monkeypatch,
        f"Path({str(said)!r}).write_text(f'{{len(text)}} {{tree}} {{os.getpid()}}')",
        f"return {CODE!r}",
    )
    assert compiled("x" * 3_000_000, Path("/tree")) == CODE
    length, tree, pid = said.read_text().split()
    assert (length, tree) == ("3000000", "/tree")
    assert int(pid) != os.getpid()


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("raise CompileFailed('it does not compile', 'line 3: error')", CompileFailed, "does not compile"),
        ("raise HostUnsupported('no bcc')", HostUnsupported, "no bcc"),
        ("os.kill(os.getpid(), 9)", HostUnsupported, "without a word"),
    ],
)
def test_its_errors_arrive(monkeypatch: pytest.MonkeyPatch, line: str, kind: type[Exception], text: str) -> None:
    """With all that the compiler wrote."""
    compiler(monkeypatch, line)
    with pytest.raises(kind, match=text) as failed:
        compiled()
    if isinstance(failed.value, CompileFailed):
        assert failed.value.said == "line 3: error"


def test_signals_that_are_meant_for_all_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a terminal, and the SIGTERM that a service manager sends to all processes of a service."""
    numbers = [int(number) for number in earliest.SIGNALS]
    compiler(monkeypatch, f"for number in {numbers}: os.kill(os.getpid(), number)", f"return {CODE!r}")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert compiled() == CODE
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_who_waits_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Again and again until the compiler has ended: it ends when this was called three times."""
    ends, calls = tmp_path / "ends", 0
    compiler(monkeypatch, f"while not os.path.exists({str(ends)!r}): time.sleep(0.01)", f"return {CODE!r}")
    monkeypatch.setattr(apart, "_BEAT_S", 0.02)

    def waiting() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            ends.touch()

    assert apart.compile_apart("x" * 300_000, None, waiting) == CODE
    assert calls >= 3


def test_a_compiler_that_does_not_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is killed, and told of."""
    said = tmp_path / "said"
    compiler(monkeypatch, f"Path({str(said)!r}).write_text(str(os.getpid()))", "time.sleep(600)")
    monkeypatch.setattr(apart, "_BEAT_S", 0.02)
    ticking = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: ticking() + (1000 if said.exists() else 0))
    with pytest.raises(HostUnsupported, match="not ended within 600 s"):
        compiled()
    assert not os.path.exists(f"/proc/{said.read_text()}")


def test_it_has_no_thread_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lock that a thread holds here is no lock there: the other process is no copy of this one."""
    held, ends = threading.Lock(), threading.Event()

    def hold() -> None:
        with held:
            ends.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    compiler(
        monkeypatch,
        "text = open('/proc/self/cmdline').read()",
        "assert 'apart.main' in text and threading.active_count() == 1",
        f"return {CODE!r}",
    )
    try:
        assert compiled() == CODE
    finally:
        ends.set()
        thread.join()
