"""Native stacks of real programs. Each frame is compared with the known call chain, backtrace(3) and eu-stack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.present import present
from tests.unit.stacks.stackbox import (
    GLIBC_START,
    LocalName,
    capture,
    compile_c,
    eu_stack,
    names,
    running,
    threads,
    wait_blocked,
)
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.naming import Naming
from tracer.stacks.service import StackService

HEAD = """
#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#define CALLED __attribute__((noinline, noclone))
static void ready(void) { puts("ready"); fflush(stdout); }
CALLED int block(void) { char c; ready(); int n = read(0, &c, 1); return n + 1; }
"""
PLAIN = (
    HEAD
    + """
CALLED int inner(int n) { return block() + n; }
CALLED int middle(int n) { return inner(n + 1) + n; }
int main(int argc, char **argv) { (void)argv; return middle(argc) + 1; }
"""
)
PLAIN_STACK = ["read", "block", "inner", "middle", "main"]


@pytest.fixture
def service() -> Iterator[StackService]:
    service = StackService()
    yield service
    service.close()


def unwound(service: StackService, *command: object, size: int = 16384) -> tuple[Stack, list[str | None]]:
    with running(*command) as child:
        return service.unwind(capture(child.pid, size=size)), eu_stack(child.pid)


@pytest.mark.parametrize(
    "flags", [("-no-pie",), ("-pie", "-fPIE"), ("-Wl,-z,separate-code",), ("-Wl,-z,noseparate-code",)]
)
def test_known_nesting(service: StackService, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The stack has exactly the functions of the known call chain, in order, up to _start."""
    stack, oracle = unwound(service, compile_c(tmp_path, "plain", PLAIN, *flags))
    assert names(stack) == PLAIN_STACK + GLIBC_START == oracle
    assert (stack.complete, stack.note) == (True, None)
    assert [frame.internal for frame in stack.frames] == [True, False, False, False, False, True, True, True]
    assert {frame.language for frame in stack.frames} == {"native"}
    assert [frame.module for frame in stack.frames] == ["libc.so.6"] + ["plain"] * 4 + ["libc.so.6"] * 2 + ["plain"]


def test_stripped_program_gives_addresses_for_addr2line(service: StackService, tmp_path: Path) -> None:
    """Without symbols a frame is module+0xoffset. addr2line finds its function in the unstripped file."""
    program = compile_c(tmp_path, "plain", PLAIN, "-pie", "-fPIE", "-g")
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, program], check=True)
    stack, _ = unwound(service, stripped)
    assert stack.complete
    own = [frame for frame in stack.frames if frame.module == "stripped"]
    assert [frame.function for frame in own] == [None] * 5
    addresses = [hex(frame.offset - 1) for frame in own]
    said = subprocess.run(["addr2line", "-f", "-e", program, *addresses], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[::2] == ["block", "inner", "middle", "main", "_start"]


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie",)])
def test_static_programs(service: StackService, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """A static program is unwound to _start. The C library's wrapper in it counts as library code."""
    stack, oracle = unwound(service, compile_c(tmp_path, "static", PLAIN, *flags))
    assert names(stack)[1:5] == PLAIN_STACK[1:]
    assert names(stack)[-1] == "_start"
    assert len(stack.frames) == len(oracle)
    assert stack.complete
    assert [frame.internal for frame in stack.frames[:3]] == [True, False, False]


def test_large_frames_and_alloca(service: StackService, tmp_path: Path) -> None:
    """Frames over 4 KiB, and frames with a size known only at run time (CFA by rbp), are unwound."""
    source = (
        HEAD
        + """
    CALLED int grown(int n) { char *p = alloca(n); memset(p, n, n); int r = block(); return r + p[n / 2]; }
    CALLED int large(int n) { volatile char b[9000]; memset((char *)b, n, sizeof b); return grown(n) + b[n]; }
    int main(int argc, char **argv) { (void)argv; return large(argc * 300) + 1; }
    """
    )
    stack, _ = unwound(service, compile_c(tmp_path, "large", source))
    assert names(stack) == ["read", "block", "grown", "large", "main", *GLIBC_START]
    assert stack.complete


def test_realigned_stack(service: StackService, tmp_path: Path) -> None:
    """The CFA of a frame aligned for vectors comes from a DWARF expression."""
    source = (
        HEAD
        + """
    CALLED int aligned(int n) {
        volatile char b[64] __attribute__((aligned(64))); char *p = alloca(n);
        b[n & 63] = 1; p[0] = 2; int r = block(); return r + b[3] + p[0];
    }
    int main(int argc, char **argv) { (void)argv; return aligned(argc * 100) + 1; }
    """
    )
    stack, _ = unwound(service, compile_c(tmp_path, "aligned", source))
    assert names(stack) == ["read", "block", "aligned", "main", *GLIBC_START]
    assert stack.complete


def test_handler_of_a_signal(service: StackService, tmp_path: Path) -> None:
    """From a signal handler on the same stack, the walk reaches the exact instruction that was interrupted."""
    source = (
        HEAD
        + """
    static void on_signal(int s) { (void)s; block(); }
    CALLED int leaf(volatile int *p) { *p = 1; *(volatile int *)0 = 2; return *p; }
    CALLED int interrupted(void) { volatile int v = 0; return leaf(&v) + 1; }
    int main(void) { signal(SIGSEGV, on_signal); return interrupted() + 1; }
    """
    )
    stack, oracle = unwound(service, compile_c(tmp_path, "handler", source))
    assert names(stack)[:3] == ["read", "block", "on_signal"]
    assert names(stack)[4:] == ["leaf", "interrupted", "main", *GLIBC_START]
    assert len(stack.frames) == len(oracle)
    assert stack.complete


def test_handler_on_its_own_stack(service: StackService, tmp_path: Path) -> None:
    """With sigaltstack the copy does not have the interrupted stack. It gives the handler's frames and the reason."""
    source = (
        HEAD
        + """
    static char other[65536];
    static void on_signal(int s) { (void)s; block(); }
    CALLED int leaf(volatile int *p) { *p = 1; *(volatile int *)0 = 2; return *p; }
    CALLED int interrupted(void) { volatile int v = 0; return leaf(&v) + 1; }
    int main(void) {
        stack_t s = {.ss_sp = other, .ss_size = sizeof other};
        struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
        sigaltstack(&s, 0); sigaction(SIGSEGV, &a, 0); return interrupted() + 1;
    }
    """
    )
    stack, _ = unwound(service, compile_c(tmp_path, "altstack", source))
    assert names(stack)[:3] == ["read", "block", "on_signal"]
    assert names(stack)[4:] == ["leaf"]
    assert not stack.complete
    assert "memory that was not copied" in present(stack.note)


def test_call_that_does_not_return(service: StackService, tmp_path: Path) -> None:
    """If a call is the last instruction of a function, the frame has this function, not the next one."""
    source = (
        HEAD
        + """
    CALLED __attribute__((noreturn)) void ends(void) { for (;;) block(); }
    CALLED void last(int n) { if (n) ends(); }
    CALLED int follows(int n) { return n * 2; }
    int main(int argc, char **argv) { (void)argv; last(argc); return follows(argc); }
    """
    )
    program = compile_c(tmp_path, "noreturn", source)
    stack, oracle = unwound(service, program)
    assert names(stack)[:3] == ["read", "block", "ends"]
    assert names(stack) == oracle
    assert stack.complete


def test_library_loaded_after_the_first_stack(service: StackService, tmp_path: Path) -> None:
    """For code that was mapped later, the maps are read again."""
    library = HEAD + "CALLED int in_library(int (*f)(void)) { return f() + 1; }"
    compile_c(tmp_path, "liblate.so", library, "-shared", "-fPIC")
    source = (
        HEAD
        + """
    int main(int argc, char **argv) {
        block(); void *l = dlopen(argv[argc - 1], RTLD_NOW);
        int (*f)(int (*)(void)) = dlsym(l, "in_library"); return f(block);
    }
    """
    )
    with running(compile_c(tmp_path, "loader", source, "-ldl"), tmp_path / "liblate.so") as child:
        assert names(service.unwind(capture(child.pid)))[:3] == ["read", "block", "main"]
        child.tell(b"x")
        assert child.line() == "ready"
        wait_blocked(child.pid)
        stack = service.unwind(capture(child.pid))
    assert names(stack) == ["read", "block", "in_library", "main", *GLIBC_START]
    assert stack.frames[2].module == "liblate.so"


@pytest.mark.root
@pytest.mark.parametrize("change", ["delete", "replace"])
def test_program_deleted_or_replaced_while_it_runs(service: StackService, tmp_path: Path, change: str) -> None:
    """The running file is read, even if its name is gone or belongs to another file."""
    program = compile_c(tmp_path, "plain", PLAIN)
    with running(program) as child:
        program.unlink()
        if change == "replace":
            shutil.copy("/bin/true", program)
        stack = service.unwind(capture(child.pid))
    assert names(stack) == PLAIN_STACK + GLIBC_START
    assert stack.frames[2].module == "plain"
    assert stack.complete


def test_threads_end_at_clone(service: StackService, tmp_path: Path) -> None:
    """The stack of a second thread ends, complete, at the C library's clone."""
    source = (
        HEAD
        + """
    static void *body(void *a) { block(); return a; }
    int main(void) { pthread_t t; pthread_create(&t, 0, body, 0); return pthread_join(t, 0); }
    """
    )
    with running(compile_c(tmp_path, "threads", source, "-pthread")) as child:
        tid = threads(child.pid)[1]
        wait_blocked(child.pid, tid)
        stack = service.unwind(capture(child.pid, tid))
        oracle = eu_stack(child.pid, tid)
    machine = names(stack, inlined=False)
    assert machine[:4] == ["read", "block", "body", LocalName("start_thread")]
    assert machine == oracle
    assert stack.complete
    assert stack.frames[-1].internal


def test_backtrace_of_the_program_itself(service: StackService, tmp_path: Path) -> None:
    """The return addresses are those that the program's own backtrace(3) printed."""
    source = (
        HEAD
        + """
    CALLED int deep(int n) {
        void *a[64]; volatile int one = 1; if (n) return deep(n - 1) + one;
        int c = backtrace(a, 64); for (int i = 0; i < c; i++) printf("%p\\n", a[i]);
        return block();
    }
    int main(void) { return deep(30) + 1; }
    """
    )
    with running(compile_c(tmp_path, "deep", source)) as child:
        printed = [int(line, 16) for line in child.said if line.startswith("0x")]
        stack = service.unwind(capture(child.pid, size=65536))
    assert len(printed) == 31 + len(["main", *GLIBC_START])
    assert [frame.pc for frame in stack.frames][3:] == printed[1:]
    assert names(stack)[2:33] == ["deep"] * 31


def test_stack_deeper_than_the_box(service: StackService, tmp_path: Path) -> None:
    """The copied part is walked. The reason names the size and the option. The live stack is not read."""
    source = (
        HEAD
        + """
    CALLED int deep(int n) { volatile char b[200]; b[n] = 1; return (n ? deep(n - 1) : block()) + b[n]; }
    int main(void) { return deep(150) + 1; }
    """
    )
    with running(compile_c(tmp_path, "deep", source)) as child:
        short = service.unwind(capture(child.pid, size=16384))
        whole = service.unwind(capture(child.pid, size=65536))
    assert names(whole) == ["read", "block", *["deep"] * 151, "main", *GLIBC_START]
    assert whole.complete
    assert 50 < len(short.frames) < 100
    assert short.frames == whole.frames[: len(short.frames)]
    assert not short.complete
    assert short.note == "stack deeper than the 16 KiB that were copied (raise --stack-bytes)"


def test_cpp_names_and_exceptions_code(service: StackService, tmp_path: Path) -> None:
    """C++ functions have the names from their source."""
    source = """
    #include <unistd.h>
    #include <cstdio>
    #include <vector>
    namespace shop { template <typename T> struct Client {
        virtual __attribute__((noinline)) int fetch(std::vector<T> &v) {
            char c; puts("ready"); fflush(stdout); int n = read(0, &c, 1); v.push_back(n); return v.size(); } };
    }
    int main() { std::vector<long> v; auto *c = new shop::Client<long>; asm("" : "+r"(c)); return c->fetch(v) + 1; }
    """
    stack, _ = unwound(service, compile_c(tmp_path, "client", source, compiler="g++"))
    assert names(stack) == [
        "read",
        "shop::Client<long>::fetch(std::vector<long, std::allocator<long> >&)",
        "main",
        *GLIBC_START,
    ]


@pytest.mark.skipif(not shutil.which("rustc"), reason="no rustc on this machine")
def test_rust_names(service: StackService, tmp_path: Path) -> None:
    """Rust's legacy names have no hash and no escapes."""
    (tmp_path / "r.rs").write_text(
        "use std::io::Read;\n"
        "mod pool { pub trait Fetch { fn fetch(&self) -> usize; }\n"
        "impl Fetch for str { #[inline(never)] fn fetch(&self) -> usize {\n"
        '  let mut b = [0u8; 1]; println!("ready"); super::std_in(&mut b) + self.len() } } }\n'
        "#[inline(never)] fn std_in(b: &mut [u8]) -> usize { std::io::stdin().read(b).unwrap() }\n"
        'fn main() { use pool::Fetch; std::process::exit("x".fetch() as i32) }\n'
    )
    legacy = ["-Z", "unstable-options", "-C", "symbol-mangling-version=legacy"]
    build = ["rustc", "-O", *legacy, "-o", str(tmp_path / "r"), str(tmp_path / "r.rs")]
    subprocess.run(build, check=True, env={**os.environ, "RUSTC_BOOTSTRAP": "1"})
    stack, oracle = unwound(service, tmp_path / "r")
    assert "<str as r::pool::Fetch>::fetch" in names(stack)
    assert "r::std_in" in names(stack)
    assert stack.complete


def touch(pid: int) -> BlackBox:
    """A box as of a touch at which no frames of the interpreter were copied."""
    return replace(capture(pid), ns=time.monotonic_ns())


def test_python_blocked_in_recv(service: StackService) -> None:
    """For the distribution's stripped interpreter in recv, each frame has the same function as in eu-stack."""
    code = (
        "import socket, sys\na, b = socket.socketpair()\n"
        "def fetch(): return a.recv(10)\nprint('ready', flush=True)\nfetch()\n"
    )
    with running("/usr/bin/python3", "-c", code) as child:
        stack = service.unwind(touch(child.pid))
        oracle = eu_stack(child.pid)
    assert names(stack) == oracle
    assert "recv" in present(names(stack)[0])
    assert stack.complete


def test_source_lines_and_inlined_calls(service: StackService, tmp_path: Path) -> None:
    """With debug information, file, line and inlined calls are equal to those of addr2line -i."""
    source = (
        HEAD
        + """
static inline __attribute__((always_inline)) int read_reply(int n) {
    return block() + n;
}
static inline __attribute__((always_inline)) int do_request(int n) {
    return read_reply(n + 1) * 3;
}
CALLED int handle(int n) {
    return do_request(n) - 1;
}
int main(int argc, char **argv) { (void)argv; return handle(argc) + 1; }
"""
    )
    program = compile_c(tmp_path, "inlined", source, "-g")
    stack, _ = unwound(service, program)
    assert names(stack)[:6] == ["read", "block", "read_reply", "do_request", "handle", "main"]
    chosen = stack.frames[2:5]
    assert [frame.inlined for frame in chosen] == [True, True, False]
    assert len({frame.pc for frame in chosen}) == 1
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    (start,) = (int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" handle"))
    address = hex(start + chosen[2].offset - 1)
    said = subprocess.run(["addr2line", "-i", "-e", program, address], capture_output=True, text=True, check=True)
    places = [line.split(" ")[0] for line in said.stdout.splitlines()]
    assert [f"{frame.file}:{frame.line}" for frame in chosen] == places


@pytest.mark.root
def test_separate_debug_file_in_the_root_of_the_process(service: StackService, tmp_path: Path) -> None:
    """A stripped program in a container gets its names from the debug file for its build-id in its own root."""
    root = tmp_path / "root"
    program = compile_c(tmp_path, "plain", PLAIN, "-static", "-g", "-Wl,--build-id")
    notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    build_id = present(re.search(r"Build ID: ([0-9a-f]+)", notes)).group(1)
    debug = root / f"usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", "-o", root / "plain", program], check=True)
    stack, _ = unwound(service, "/usr/sbin/chroot", root, "/plain")
    assert names(stack)[1:5] == PLAIN_STACK[1:]
    assert present(stack.frames[2].file).endswith("plain.c")


@pytest.mark.root
@pytest.mark.parametrize("proof", ["matches", "wrong"])
def test_debug_file_by_debuglink(service: StackService, tmp_path: Path, proof: str) -> None:
    """The file of .gnu_debuglink is used only if its checksum is right."""
    root = tmp_path / "root"
    root.mkdir()
    program = compile_c(tmp_path, "plain", PLAIN, "-static", "-g", "-Wl,--build-id=none")
    debug = tmp_path / "plain.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", "-R.comment", "-o", root / "plain", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", root / "plain"], check=True)
    (root / "plain.debug").write_bytes(debug.read_bytes() + (b"x" if proof == "wrong" else b""))
    debug.unlink()
    stack, _ = unwound(service, "/usr/sbin/chroot", root, "/plain")
    nameless: list[str | None] = [None] * 4
    assert names(stack)[1:5] == (PLAIN_STACK[1:] if proof == "matches" else nameless)


def test_debug_frame_alone(service: StackService, tmp_path: Path) -> None:
    """Without .eh_frame, the rules come from .debug_frame."""
    flags = ("-g", "-fno-asynchronous-unwind-tables", "-fno-exceptions")
    program = compile_c(tmp_path, "debugframe", PLAIN, *flags)
    fdes = subprocess.run(
        ["readelf", "--debug-dump=frames", program], capture_output=True, text=True, check=True
    ).stdout
    assert "Contents of the .debug_frame section" in fdes
    stack, _ = unwound(service, program)
    assert names(stack) == PLAIN_STACK + GLIBC_START
    assert stack.complete


def test_symbol_that_ends_before_the_address_is_not_used(service: StackService, tmp_path: Path) -> None:
    """An address after the end of a sized symbol gets an offset, not the name of that symbol."""
    source = (
        HEAD
        + """
    int main(void) { extern int gap(void); return gap() + 1; }
    asm(".text\\n.globl sized\\n.type sized,@function\\nsized: ret\\n.size sized, .-sized\\n"
        "hidden_gap:\\n.cfi_startproc\\nsub $8,%rsp\\n.cfi_def_cfa_offset 16\\ncall block\\nadd $8,%rsp\\n"
        ".cfi_def_cfa_offset 8\\nret\\n.cfi_endproc\\n.globl gap\\n.set gap, hidden_gap\\n");
    """
    )
    program = compile_c(tmp_path, "gap", source, "-no-pie")
    subprocess.run(["strip", "-N", "gap", "-N", "hidden_gap", program], check=True)
    stack, oracle = unwound(service, program)
    assert names(stack)[:4] == ["read", "block", None, "main"]
    assert oracle[2] is None
    assert stack.complete


def test_identical_stacks_are_one_object(service: StackService, tmp_path: Path) -> None:
    """Equal stacks are the same object, also from two boxes."""
    with running(compile_c(tmp_path, "plain", PLAIN)) as child:
        first, second = (service.unwind(capture(child.pid)) for _ in range(2))
    assert first is second


def test_process_that_has_exited(service: StackService, tmp_path: Path) -> None:
    """A process that exited before it was opened has no frames and a note. A known process is still unwound."""
    program = compile_c(tmp_path, "plain", PLAIN)
    with running(program) as child:
        box = capture(child.pid)
    stack = service.unwind(box)
    assert (stack.frames, stack.complete) == ((), False)
    assert stack.note == "process exited before its stack could be read"
    with running(program) as child:
        box = capture(child.pid)
        before = service.unwind(box)
    assert service.unwind(box) is before


def test_exited_process_with_cached_maps_only(tmp_path: Path) -> None:
    """After the exit only the old maps are left. The files are found on the host if they are still the same."""
    from tracer.stacks.links.native import NativeUnwinder
    from tracer.stacks.target.memory import BoxMemory
    from tracer.stacks.target.modules import ImageCache, Modules
    from tracer.stacks.target.process import Process
    from tracer.stacks.walk import walk

    with running(compile_c(tmp_path, "plain", PLAIN)) as child:
        process = Process.open(child.pid)
        box = capture(child.pid)
    stack = walk(box, BoxMemory(box, process), [NativeUnwinder(Modules(process, ImageCache()), Naming(()))])
    assert names(stack) == PLAIN_STACK + GLIBC_START


def test_exec_gives_the_new_program(service: StackService, tmp_path: Path) -> None:
    """After exec, the process is unwound with the files of the new program."""
    plain = compile_c(tmp_path, "plain", PLAIN)
    source = HEAD + "int main(int c, char **v) { (void)c; block(); execv(v[1], v); return 1; }"
    with running(compile_c(tmp_path, "first", source), plain) as child:
        assert names(service.unwind(capture(child.pid)))[:3] == ["read", "block", "main"]
        child.tell(b"x")
        assert child.line() == "ready"
        wait_blocked(child.pid)
        assert names(service.unwind(capture(child.pid))) == PLAIN_STACK + GLIBC_START


def test_32_bit_program(service: StackService, tmp_path: Path) -> None:
    """A program of another ELF class is refused, with a reason."""
    code = ".globl _start\n_start: movl $29, %eax\nint $0x80\njmp _start\n"  # pause()
    (tmp_path / "p.s").write_text(code)
    subprocess.run(["as", "--32", "-o", tmp_path / "p.o", tmp_path / "p.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", tmp_path / "p32", tmp_path / "p.o"], check=True)
    child = subprocess.Popen([tmp_path / "p32"])
    try:
        wait_blocked(child.pid)
        stack = service.unwind(capture(child.pid))
    finally:
        child.kill()
        child.wait()
    assert not stack.complete
    assert "32-bit" in present(stack.note)


def test_vdso_frame(service: StackService, tmp_path: Path) -> None:
    """The vDSO has no file. Its code is unwound and named from memory."""
    source = (
        HEAD
        + """
    #include <sys/auxv.h>
    #include <time.h>
    int main(void) { struct timespec t; block(); for (;;) clock_gettime(12345 & 0xff ? 77 : 0, &t); }
    """
    )
    with running(compile_c(tmp_path, "vdso", source)) as child:
        child.tell(b"x")
        end = time.monotonic() + 30  # another program may have the CPU first
        while (stack := service.unwind(capture(child.pid))).frames[0].module != "[vdso]" and time.monotonic() < end:
            pass
    assert stack.frames[0].module == "[vdso]"
    assert stack.frames[0].internal
    assert "clock_gettime" in present(stack.frames[0].function)
    assert names(stack)[-4:] == ["main", *GLIBC_START]
    assert stack.complete


def test_python_interpreter_used_for_these_tests(service: StackService) -> None:
    """The interpreter of the tests, blocked in accept, has a complete stack with as many frames as in eu-stack."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print('ready', flush=True); s.accept()"
    with running(sys.executable, "-c", code) as child:
        stack = service.unwind(touch(child.pid))
        oracle = eu_stack(child.pid)
    assert stack.complete
    assert len([frame for frame in stack.frames if not frame.inlined]) == len(oracle)
