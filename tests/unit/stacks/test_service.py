"""The stack service: its chain, its limits, and what it must never do."""

from __future__ import annotations

import contextlib
import gc
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from tests.unit.stacks.links.test_native import HEAD, PLAIN, PLAIN_STACK
from tests.unit.stacks.stackbox import GLIBC_START, capture, compile_c, names, running, wait_blocked
from tracer.model.frame import BlackBox, Frame, LastExec
from tracer.stacks import service as service_module
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.elf.image import Image
from tracer.stacks.naming import Naming
from tracer.stacks.service import StackService
from tracer.stacks.target.early import opened_again
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.target.process import Process
from tracer.stacks.walk import walk


@pytest.fixture
def service() -> Iterator[StackService]:
    service = StackService()
    yield service
    service.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def descriptors_of(pid: int) -> list[str]:
    """List this process's own descriptors for the /proc directory and the memory of ``pid``."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor of listdir itself
            if os.readlink(f"/proc/self/fd/{number}") in (f"/proc/{pid}", f"/proc/{pid}/mem"):
                found.append(number)
    return found


FILES: dict[str, bytes] = {}
ASKERS: set[int] = set()


def owner_of(port: int) -> int:
    """The user id that has the socket with this local port (proc_net_tcp)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}"):
            return int(fields[7])
    raise AssertionError(port)


@pytest.fixture
def debuginfod(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Run a debuginfod server that has only what ``FILES`` says. Gives the list of requested paths."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            ASKERS.add(owner_of(self.client_address[1]))
            contents = FILES.get(self.path)
            if contents is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(contents)))
            self.end_headers()
            self.wfile.write(contents)

        def log_message(self, *_args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DEBUGINFOD_URLS", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_is_downloaded_unless_allowed(
    tmp_path: Path, debuginfod: list[str], monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """DEBUGINFOD_URLS in the environment is not enough: the user must ask for downloads."""
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    program = compile_c(tmp_path, "plain", PLAIN, "-Wl,--build-id")
    subprocess.run(["strip", program], check=True)
    service = StackService(debuginfod=allowed)
    with running(program) as child:
        stack = service.unwind(capture(child.pid))
    assert stack.complete
    assert bool(debuginfod) == allowed
    assert os.environ["DEBUGINFOD_URLS"].startswith("http://127.0.0.1")


@pytest.mark.root
def test_downloads_are_made_by_nobody(tmp_path: Path, debuginfod: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A debug file comes from the server, asked for by a user id that nobody has; the second time from the cache."""
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    program, debug = compile_c(tmp_path, "plain", PLAIN, "-g", "-Wl,--build-id"), tmp_path / "plain.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", program], check=True)
    said = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    build_id = said.split("Build ID: ")[1].split()[0]
    monkeypatch.setitem(FILES, f"/buildid/{build_id}/debuginfo", debug.read_bytes())
    ASKERS.clear()
    for _ in range(2):
        service = StackService(debuginfod=True)
        with running(program) as child:
            stack = service.unwind(capture(child.pid))
        service.close()
        assert names(stack)[: len(PLAIN_STACK)] == PLAIN_STACK
    assert debuginfod.count(f"/buildid/{build_id}/debuginfo") == 1
    assert len(ASKERS) == 1
    assert 0 not in ASKERS


def test_languages_that_a_process_does_not_have_are_not_imported(tmp_path: Path) -> None:
    """A C program imports only the first module of each folder, and perf maps, because any process may write one."""
    program = compile_c(tmp_path, "plain", PLAIN)
    script = """if True:
        import sys
        from tests.unit.stacks.stackbox import capture, running
        from tracer.stacks.service import StackService
        with running(sys.argv[1]) as child:
            assert StackService().unwind(capture(child.pid)).complete
        known = [name.removeprefix("tracer.stacks.languages.") for name in sys.modules if ".languages." in name]
        print(*sorted(name for name in known if "." in name))
    """
    said = subprocess.run([sys.executable, "-c", script, program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["perfmap.naming", "perfmap.symbols"]


def test_many_processes_keep_descriptors_bounded(
    service: StackService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the oldest processes are closed. They are opened again when they are needed."""
    monkeypatch.setattr(service_module, "_MAX_PROCESSES", 3)
    program = compile_c(tmp_path, "plain", PLAIN)
    boxes = []
    children = []
    try:
        for _ in range(6):
            context = running(program)
            child = context.__enter__()
            children.append((context, child))
            boxes.append(capture(child.pid))
            assert service.unwind(boxes[-1]).complete
        held = {number for _, child in children for number in descriptors_of(child.pid)}
        assert len(held) == 3 * 2
        assert service.unwind(boxes[0]).complete
    finally:
        for context, _ in children:
            context.__exit__(None, None, None)


def test_processes_that_have_ended_keep_nothing(service: StackService, tmp_path: Path) -> None:
    """Their last stacks are told as before until the second call. Who lives stays."""
    program = compile_c(tmp_path, "plain", PLAIN)
    with running(program) as lives:
        living = capture(lives.pid)
        service.unwind(living)
        with running(program) as child:
            box = capture(child.pid)
            stack = service.unwind(box)
        held = descriptors_of(child.pid)
        assert held
        service.forget_ended()
        assert service.unwind(box) is stack
        assert descriptors_of(child.pid) == held
        service.forget_ended()
        assert not descriptors_of(child.pid)
        assert service.unwind(box).note == "process exited before its stack could be read"
        assert len(descriptors_of(lives.pid)) == 2


def test_close_gives_all_descriptors_back(tmp_path: Path) -> None:
    """After close() no descriptor of a target is open."""
    program = compile_c(tmp_path, "plain", PLAIN)
    before = open_descriptors()
    service = StackService()
    with running(program) as child:
        assert service.unwind(capture(child.pid)).complete
    service.close()
    del service
    assert open_descriptors() == before


def test_one_image_for_all_processes(service: StackService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is opened once, even if many processes map it."""
    opened = []
    original = Image.open

    def counted(*args: Any) -> Optional[Image]:
        opened.append(args[1])
        return original(*args)

    monkeypatch.setattr(Image, "open", counted)
    program = compile_c(tmp_path, "plain", PLAIN)
    for _ in range(3):
        with running(program) as child:
            assert names(service.unwind(capture(child.pid))) == PLAIN_STACK + GLIBC_START
    assert sorted(os.path.basename(path) for path in opened) == ["libc.so.6", "plain"]


def test_a_stack_is_recognised_while_its_process_is_known(service: StackService, tmp_path: Path) -> None:
    """The same call path gives the same object. A closed service holds no stacks."""
    with running(compile_c(tmp_path, "plain", PLAIN)) as child:
        box = capture(child.pid)
        first = service.unwind(box)
        assert service.unwind(replace(box, tid=box.tid + 1)) is first
        service.close()
        gone = weakref.ref(first)
        del first
        gc.collect()
        assert gone() is None


class Runtime:
    """A link of the chain that handles the function ``middle``. The frames on both sides are native code."""

    def __init__(self, own: range) -> None:
        self.own = own

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        if cursor.pc not in self.own:
            return None
        registers = list(cursor.registers)
        # middle() of PLAIN pushes rbx: its return address is one word higher.
        registers[3] = memory.stack_word(cursor.sp, 8)
        registers[16] = memory.stack_word(cursor.sp + 8, 8)
        registers[7] = cursor.sp + 16
        return Step((Frame("java.Method", None, language="java"),), replace(cursor, registers=tuple(registers)))


def test_runtime_between_native_frames(tmp_path: Path) -> None:
    """A runtime's link handles its own frames. The native link continues with the registers that it found."""
    from tracer.stacks.links.native import NativeUnwinder
    from tracer.stacks.target.modules import ImageCache, Modules

    program = compile_c(tmp_path, "plain", PLAIN)
    with running(program) as child:
        process = Process.open(child.pid)
        box = capture(child.pid)
        native = NativeUnwinder(Modules(process, ImageCache()), Naming(()))
        plain = walk(box, BoxMemory(box, process), [native])
        (middle,) = (frame.pc for frame in plain.frames if frame.function == "middle")
        runtime = Runtime(range(middle, middle + 1))
        mixed = walk(box, BoxMemory(box, process), [runtime, native])
    expected = ["java.Method" if name == "middle" else name for name in names(plain)]
    assert names(mixed) == expected
    assert mixed.complete


def test_live_memory_stands_behind_the_copy(tmp_path: Path) -> None:
    """Outside of the stack the live memory is read. Beyond the copy the live stack is not read."""
    with running(compile_c(tmp_path, "plain", PLAIN)) as child:
        process = Process.open(child.pid)
        box = capture(child.pid, size=256)
        memory = BoxMemory(box, process)
        text = process.mappings[0].start
        assert memory.read(text, 4) == b"\x7fELF"
        assert memory.u64(box.sp) == int.from_bytes(box.stack[:8], "little")
        assert process.read(box.sp + 256, 8)
        for address in (box.sp + 256, box.sp + 252, box.sp - 8):
            with pytest.raises(MemoryUnreadable):
                memory.read(address, 8)
        with pytest.raises(MemoryUnreadable):
            memory.stack_word(text, 8)
    process.close()


def test_program_that_is_cut_short_by_its_end(service: StackService, tmp_path: Path) -> None:
    """A process may exit between two stacks. The known files still give names to its frames."""
    source = HEAD + "int main(void) { return block(); }"
    program = compile_c(tmp_path, "brief", source)
    with running(program) as child:
        whole = capture(child.pid)
        assert service.unwind(whole).complete
    cut = replace(whole, stack=whole.stack[:8], cut=False)
    stack = service.unwind(cut)
    assert names(stack)[0] == "read"
    assert not stack.complete
    service.forget(child.pid)
    assert service.unwind(cut).note == "process exited before its stack could be read"


TAKES_OVER = (
    HEAD
    + """
__attribute__((noipa)) int NAME(void) { int n = block(); __asm__ volatile(""); return n; }
int main(int argc, char **argv) { NAME(); return argc > 1 ? execl(argv[1], argv[1], (char *)0) : 0; }
"""
)
STATIC = ("-static", "-no-pie", "-fno-pie")
TakenOver = tuple[Process, BlackBox, LastExec, int]
"""The process as it was opened in the first program, a box of that time, the exec, and the pid."""


@pytest.fixture
def taken_over(tmp_path: Path) -> Iterator[TakenOver]:
    """A box of a program, then its process, which has become another with other code at the same addresses."""
    second = compile_c(tmp_path, "second", TAKES_OVER, "-DNAME=never_ran", *STATIC)
    with running(compile_c(tmp_path, "first", TAKES_OVER, "-DNAME=did_run", *STATIC), second) as child:
        process = Process.open(child.pid)
        box = replace(capture(child.pid), ns=time.monotonic_ns())
        child.tell(b"x")
        child.line()
        wait_blocked(child.pid)
        assert not process.same_program()
        assert not process.ran_at(box.ns)
        yield process, box, LastExec(time.monotonic_ns(), 1), child.pid
        process.close()


def told(*execs: LastExec) -> Callable[[int], Optional[LastExec]]:
    """What a service asks the kernel side, in turn; the last answer stays."""
    left = list(execs)
    return lambda _pid: left.pop(0) if len(left) > 1 else left[0]


REPLACED = "the program was replaced (exec) before this stack could be read"
PERHAPS = "the program was replaced (exec) about when this call was made: the stack may be either program's"


def test_a_box_from_before_exec_is_not_resolved_against_the_new_program(taken_over: TakenOver) -> None:
    """Whether it is the first box of that process or the program is known; boxes from after exec are resolved."""
    _, box, last, pid = taken_over
    service = StackService(last_exec=told(last))
    for _ in range(2):
        stack = service.unwind(box)
        assert (stack.frames, stack.complete, stack.note) == ((), False, REPLACED)
    after = replace(capture(pid), ns=time.monotonic_ns())
    assert "never_ran" in names(service.unwind(after))
    assert service.unwind(box).note == REPLACED
    service.close()


def test_the_program_before_exec_names_its_boxes_if_it_was_known(taken_over: TakenOver) -> None:
    """Its files are still there; the addresses are not the new program's."""
    process, box, last, pid = taken_over
    service = StackService(last_exec=told(last))
    service.watch(process)
    for _ in range(2):
        stack = service.unwind(box)
        assert stack.complete
        assert "did_run" in names(stack)
        service.look()
    after = replace(capture(pid), ns=time.monotonic_ns())
    assert "never_ran" in names(service.unwind(after))
    service.close()


def test_two_execs_since(taken_over: TakenOver) -> None:
    """Then nobody knows when the known program ended."""
    process, box, last, _ = taken_over
    service = StackService(last_exec=told(LastExec(last.ns, 2)))
    service.watch(process)
    assert service.unwind(box).note == REPLACED
    service.close()


def test_an_exec_that_nobody_saw(taken_over: TakenOver) -> None:
    """The process is another program although no exec was told: what came before is not resolved, what comes now is."""
    process, box, _, pid = taken_over
    service = StackService(last_exec=told(LastExec()))
    service.watch(process)
    assert service.unwind(box).note == PERHAPS
    after = replace(capture(pid), ns=time.monotonic_ns())
    assert "never_ran" in names(service.unwind(after))
    service.close()


def test_a_program_that_was_seen_after_the_call_names_it(tmp_path: Path) -> None:
    """Whatever took its place since, and even if nobody saw that."""
    second = compile_c(tmp_path, "second", TAKES_OVER, "-DNAME=never_ran", *STATIC)
    with running(compile_c(tmp_path, "first", TAKES_OVER, "-DNAME=did_run", *STATIC), second) as child:
        process = Process.open(child.pid)
        box = replace(capture(child.pid), ns=time.monotonic_ns())
        service = StackService(last_exec=told(LastExec()))
        service.watch(process)
        assert process.same_program()
        child.tell(b"x")
        child.line()
        assert "did_run" in names(service.unwind(box))
        service.close()


def test_an_exec_while_the_trace_began(taken_over: TakenOver) -> None:
    """A process that was opened too early is opened again: what comes after that is the new program's."""
    process, box, _, pid = taken_over
    (again,) = opened_again([process])
    service = StackService(last_exec=told(LastExec()))
    service.watch(again)
    after = replace(capture(pid), ns=time.monotonic_ns())
    time.sleep(0.01)
    assert "never_ran" in names(service.unwind(after))
    assert service.unwind(box).note == PERHAPS
    assert opened_again([again]) == (again,)
    service.close()


def test_an_exec_that_was_seen_while_the_trace_began(taken_over: TakenOver) -> None:
    """It is the newest, so the last stacks of its program are told also after the process has ended."""
    process, _, last, pid = taken_over
    (again,) = opened_again([process])
    service = StackService(last_exec=told(last))
    service.watch(again)
    after = replace(capture(pid), ns=time.monotonic_ns())
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert "never_ran" in names(service.unwind(after))
    service.close()


def test_a_process_in_the_middle_of_an_exec_is_opened_again(taken_over: TakenOver) -> None:
    """An exec that is told while the process was being opened."""
    _, box, last, pid = taken_over
    after = replace(capture(pid), ns=time.monotonic_ns())
    service = StackService(last_exec=told(LastExec(), LastExec(), last, last))
    assert "never_ran" in names(service.unwind(after))
    assert service.unwind(box).note == REPLACED
    service.close()


def test_a_number_that_was_given_to_another_process(service: StackService, tmp_path: Path) -> None:
    """A touch from before the process began was another's."""
    with running(compile_c(tmp_path, "plain", PLAIN)) as child:
        box = capture(child.pid)
        day = 86400 * 10**9
        assert service.unwind(replace(box, ns=time.monotonic_ns())).complete
        service.forget(child.pid)
        assert service.unwind(replace(box, ns=time.monotonic_ns() - day)).note == (
            "process exited before its stack could be read"
        )
