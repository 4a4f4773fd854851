"""Code without call frame information: musl, generated code, frame pointers, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stacks.links.test_native import HEAD, PLAIN, PLAIN_STACK
from tests.unit.stacks.stackbox import GLIBC_START, capture, compile_c, names, running, threads, wait_blocked
from tracer.model.frame import Stack
from tracer.stacks.links.nocfi import BY_WAY_OUT
from tracer.stacks.service import StackService

NO_CFI = ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-exceptions")


@pytest.fixture
def service() -> Iterator[StackService]:
    service = StackService()
    yield service
    service.close()


def unwound(service: StackService, *command: object, size: int = 16384) -> Stack:
    with running(*command) as child:
        return service.unwind(capture(child.pid, size=size))


@pytest.mark.skipif(not shutil.which("musl-gcc"), reason="no musl-tools on this machine")
@pytest.mark.parametrize("flags", [(), ("-static",)])
def test_musl(service: StackService, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """musl has no CFI. Its functions are unwound by their code, and its start code ends the stack."""
    source = PLAIN.replace("#include <execinfo.h>\n", "")
    stack = unwound(service, compile_c(tmp_path, "musl", source, *flags, compiler="musl-gcc"))
    found = [name for name in names(stack) if name in PLAIN_STACK]
    assert found == PLAIN_STACK
    assert stack.complete, stack.note
    assert {frame.note for frame in stack.frames if frame.function in PLAIN_STACK} == {None}


@pytest.mark.skipif(not shutil.which("musl-gcc"), reason="no musl-tools on this machine")
@pytest.mark.parametrize("flags", [(), ("-static",)])
def test_thread_of_musl(service: StackService, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The stack of a musl thread that blocks in recv ends, complete, at clone."""
    source = (
        HEAD.replace("#include <execinfo.h>\n", "")
        + """
    #include <sys/socket.h>
    CALLED int fetch(int fd) { char b[10]; ready(); return recv(fd, b, 10, 0) + b[0]; }
    static void *body(void *a) { int s[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, s); fetch(s[0]); return a; }
    int main(void) { pthread_t t; pthread_create(&t, 0, body, 0); return pthread_join(t, 0); }
    """
    )
    with running(compile_c(tmp_path, "musl", source, *flags, compiler="musl-gcc")) as child:
        tid = threads(child.pid)[1]
        wait_blocked(child.pid, tid)
        stack = service.unwind(capture(child.pid, tid))
    assert [name for name in names(stack) if name in ("fetch", "body")] == ["fetch", "body"]
    assert stack.complete, stack.note


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("pointer", ["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
def test_compiled_without_unwind_tables(service: StackService, tmp_path: Path, level: str, pointer: str) -> None:
    """Functions without CFI are unwound by their code, for all compiler flags. No frame is missing or invented."""
    source = (
        HEAD
        + """
    CALLED int small(int n) { volatile char b[3000]; b[n] = n; return block() + b[n] + n; }
    CALLED int loops(int n, int *p) { int s = 0; for (int i = 0; i < n; i++) s += small(p[i] & 255) * i; return s; }
    CALLED int many(int a, int b, int c, int d, int e, int f, int g, int h) {
        int v[4] = {a, b, c, d}; int r = loops(4, v) + e; if (r > 3) r += printf("%d", f); return r + g + h; }
    CALLED int grown(int n) { char *p = alloca(n); memset(p, 1, n); return many(n, 2, 3, 4, 5, 6, 7, p[n / 2]); }
    int main(int argc, char **argv) { (void)argv; return grown(argc * 200) + 1; }
    """
    )
    program = compile_c(tmp_path, "bare", source, *NO_CFI, level, pointer, "-fstack-protector-all")
    stack = unwound(service, program)
    assert names(stack) == ["read", "block", "small", "loops", "many", "grown", "main", *GLIBC_START]
    assert stack.complete
    assert {frame.note for frame in stack.frames} <= {None, BY_WAY_OUT}
