"""Perf maps of V8 and CPython, and which files in /tmp are trusted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.present import present
from tests.unit.stacks.links.test_native import HEAD
from tests.unit.stacks.stackbox import GLIBC_START, capture, compile_c, eu_stack, names, running
from tracer.stacks.languages.perfmap import naming
from tracer.stacks.languages.perfmap import symbols as symbols_module
from tracer.stacks.languages.perfmap.symbols import PerfMap, Symbol, parse_line
from tracer.stacks.links.nocfi import BY_FRAME_POINTER
from tracer.stacks.naming import Naming
from tracer.stacks.registry import all_languages
from tracer.stacks.service import StackService
from tracer.stacks.target.process import Process

READ_SYMBOL = Naming(all_languages()).read_symbol

NODE = """
const fs = require('fs');
function readReply() { console.log('ready'); const b = Buffer.alloc(8); return fs.readSync(0, b) + 1; }
function doRequest(n) { return readReply() + n; }
const poll = () => doRequest(1) + 2;
poll();
"""
PYTHON = """
import os
class Client:
    def fetch(self):
        print('ready', flush=True)
        return os.read(0, 10)
def poll(client):
    return client.fetch()
poll(Client())
"""
# main -> generated code (with or without a frame) -> block
JIT = (
    HEAD
    + """
#include <sys/mman.h>
int main(int argc, char **argv) {
    static const unsigned char framed[] = {0x55, 0x48, 0x89, 0xe5, 0x41, 0x54, 0x50, 0xff, 0xd7, 0xff, 0xe0};
    static const unsigned char bare[] = {0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0xc3};
    unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int has_frame = argc > 1 && *argv[1] == 'f';
    memcpy(code, has_frame ? framed : bare, has_frame ? sizeof framed : sizeof bare);
    char name[64]; snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
    FILE *f = fopen(name, "w"); fprintf(f, "%lx %x JS:*poll file:///srv/app.js:14:3\\n", (long)code, 13); fclose(f);
    int r = ((int (*)(int (*)(void)))code)(block);
    unlink(name); return r;
}
"""
)


@pytest.fixture
def service() -> Iterator[StackService]:
    service = StackService()
    yield service
    service.close()


@pytest.fixture
def _map_files() -> Iterator[None]:
    """Remove the perf maps that a test's programs wrote."""
    before = set(Path("/tmp").glob("perf-*.map"))
    yield
    for path in set(Path("/tmp").glob("perf-*.map")) - before:
        path.unlink()


@pytest.mark.usefixtures("_map_files")
@pytest.mark.skipif(not shutil.which("node"), reason="no Node on this machine")
def test_node_with_perf_basic_prof(service: StackService, tmp_path: Path) -> None:
    """JavaScript functions have name, file and line. The stack reaches _start with as many frames as eu-stack."""
    script = tmp_path / "app.js"
    script.write_text(NODE)
    flags = ("--perf-basic-prof", "--interpreted-frames-native-stack")
    with running("node", *flags, script, cwd=tmp_path) as child:  # V8 writes a log into its working directory
        stack = service.unwind(capture(child.pid, size=65536))
        oracle = eu_stack(child.pid)
    own = [frame for frame in stack.frames if frame.file == str(script)]
    assert [(present(frame.function).split(" ")[0], frame.line) for frame in own[:3]] == [
        ("readReply", 3),
        ("doRequest", 4),
        ("poll", 5),
    ]
    assert {frame.language for frame in own} == {"node"}
    assert stack.complete, stack.note
    assert len([frame for frame in stack.frames if not frame.inlined]) == len(oracle)
    assert any(frame.internal and frame.file.startswith("node:") for frame in stack.frames if frame.file)


def pyenv_python() -> Optional[Path]:
    """Find a CPython with perf trampolines (3.12 or later)."""
    candidates = [
        Path(sys.executable),
        Path("/usr/bin/python3"),
        *sorted((Path.home() / ".pyenv/versions").glob("3.1[2-9]*/bin/python")),
    ]
    for path in candidates:
        probe = "import sys; sys.exit(not hasattr(sys, 'activate_stack_trampoline'))"
        if subprocess.run([path, "-c", probe], check=False).returncode == 0:
            return path
    return None


@pytest.mark.usefixtures("_map_files")
@pytest.mark.skipif(pyenv_python() is None, reason="no CPython with perf trampolines (3.12 or newer) on this machine")
def test_cpython_with_perf_trampolines(service: StackService, tmp_path: Path) -> None:
    """Python functions, with their files, are between the frames of the interpreter."""
    script = tmp_path / "app.py"
    script.write_text(PYTHON)
    with running(pyenv_python(), "-X", "perf", script) as child:
        stack = service.unwind(capture(child.pid, size=65536))
    python = [(frame.function, frame.file) for frame in stack.frames if frame.language == "python"]
    assert python == [(name, str(script)) for name in ("Client.fetch", "poll", "<module>")]
    assert stack.complete, stack.note


@pytest.mark.usefixtures("_map_files")
@pytest.mark.parametrize("kind", ["framed", "bare"])
def test_generated_code(service: StackService, tmp_path: Path, kind: str) -> None:
    """A call through generated code is unwound by its epilogue, or by frame pointer. The latter gives a note."""
    with running(compile_c(tmp_path, "jit", JIT), kind) as child:
        stack = service.unwind(capture(child.pid))
    assert names(stack) == ["read", "block", "poll", "main", *GLIBC_START]
    poll, main = stack.frames[2:4]
    assert (poll.language, poll.file, poll.line) == ("node", "/srv/app.js", 14)
    assert main.note == (BY_FRAME_POINTER if kind == "framed" else None)
    assert stack.complete


@pytest.mark.usefixtures("_map_files")
def test_generated_code_that_nobody_names(service: StackService, tmp_path: Path) -> None:
    """Without a map the generated frame has no name, but its callers are found."""
    with running(compile_c(tmp_path, "jit", JIT), "bare") as child:
        Path(f"/tmp/perf-{child.pid}.map").unlink()
        stack = service.unwind(capture(child.pid))
    assert names(stack) == ["read", "block", None, "main", *GLIBC_START]
    assert stack.frames[2].module == "[anon]"
    assert present(stack.frames[2].note).startswith("generated code: its runtime can write a perf map (/tmp/")


@pytest.fixture
def own_map() -> Iterator[Path]:
    """Give the path of the perf map of the process that runs the tests."""
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    yield path
    path.unlink(missing_ok=True)


def test_a_growing_map(own_map: Path) -> None:
    """Added lines are read, and a partial line only when it is complete. New code at an address replaces the old."""
    symbols = PerfMap(Process.open(os.getpid()))
    assert not symbols.refresh()
    own_map.write_text("1000 20 first\n2000 1")
    assert symbols.refresh()
    assert symbols.find(0x101F) == Symbol(0x1000, 0x20, "first")
    assert symbols.find(0x1020) is None
    assert symbols.find(0x2000) is None
    with own_map.open("a") as file:
        file.write("0 second\n1010 20 third\n")
    assert symbols.refresh()
    assert not symbols.refresh()
    assert present(symbols.find(0x200F)).name == "second"
    assert [present(symbols.find(address)).name for address in (0x100F, 0x1010, 0x102F)] == ["first", "third", "third"]
    own_map.write_text("3000 1 new\n")
    assert symbols.refresh()
    assert symbols.find(0x1000) is None
    assert present(symbols.find(0x3000)).name == "new"


def test_a_map_of_the_shortest_lines(own_map: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more lines than are believed the first are kept; what they take is a few times their text."""
    monkeypatch.setattr(symbols_module, "_MAX_SYMBOLS", 50_000)
    own_map.write_text("".join(f"{line:x} 1 a\n" for line in range(1, 200_000)))
    symbols = PerfMap(Process.open(os.getpid()))
    tracemalloc.start()
    assert symbols.refresh()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert present(symbols.find(50_000)).start == 50_000
    assert symbols.find(50_001) is None
    assert most < 6 * own_map.stat().st_size


@pytest.mark.root
@pytest.mark.parametrize("trick", ["link", "fifo", "stranger"])
def test_maps_that_are_not_believed(own_map: Path, tmp_path: Path, trick: str) -> None:
    """A symbolic link, a FIFO, or a file of another user is not read."""
    if trick == "link":
        (tmp_path / "real").write_text("1000 20 first\n")
        own_map.symlink_to(tmp_path / "real")
    elif trick == "fifo":
        os.mkfifo(own_map)
    else:
        own_map.write_text("1000 20 first\n")
        os.chown(own_map, 65534, 65534)
    symbols = PerfMap(Process.open(os.getpid()))
    assert not symbols.refresh()
    assert symbols.find(0x1000) is None


@pytest.mark.parametrize(
    ("name", "function", "file", "line", "language", "internal"),
    [
        ("LazyCompile:~fetch /srv/app.js:12:7", "fetch", "/srv/app.js", 12, "node", False),
        ("LazyCompile:*processTicksAndRejections node:internal/process/task_queues:67:35",
         "processTicksAndRejections", "node:internal/process/task_queues", 67, "node", True),
        ("JS:+get fetch file:///srv/a b.mjs:1:2", "get", "fetch file:///srv/a b.mjs", 1, "node", False),
        ("JS:^ /srv/app.js:3:1", "<anonymous> (app.js)", "/srv/app.js", 3, "node", False),
        ("Builtin:ArrayMap", "Builtin:ArrayMap", None, None, "node", True),
        ("py::Pool.get:/srv/pool.py", "Pool.get", "/srv/pool.py", None, "python", False),
        ("py::_call:<frozen importlib._bootstrap>", "_call", "<frozen importlib._bootstrap>", None, "python", True),
        ("JIT$Pool::get", "Pool::get", None, None, "php", False),
        ("JIT$/srv/shop/index.php", "index.php", "/srv/shop/index.php", None, "php", False),
        ("JIT$$leave_function", "JIT$$leave_function", None, None, "php", True),
        ("$shop:fetch/2", "shop:fetch/2", None, None, "erlang", False),
        ("$shop:'-fetch/2-fun-0-'/1-CodeInfoPrologue", "shop:'-fetch/2-fun-0-'/1", None, None, "erlang", False),
        ("$gen_server:call/2", "gen_server:call/2", None, None, "erlang", True),
        ("$global::process_main", "$global::process_main", None, None, "native", True),
        ("int32 [shop] Shop.Cart::Load(class [System]System.Net.Sockets.Socket)[QuickJitted]", "Shop.Cart.Load",
         None, None, "dotnet", False),
        ("instance class [System.Runtime]System.Threading.Tasks.Task [shop] Cart::Fetch()[Tier1]", "Cart.Fetch",
         None, None, "dotnet", False),
        ("instance void [shop] Shop.Cart/<Fetch>d__3::MoveNext()[OptimizedTier1]", "Shop.Cart.Fetch",
         None, None, "dotnet", False),
        ("void [System.Net.Http] System.Net.Http.HttpClient::Send()[PreJIT]", "System.Net.Http.HttpClient.Send",
         None, None, "dotnet", True),
        ("int32 [shop] dynamicClass::IL_STUB_PInvoke(int32)[Tier0]", "dynamicClass.IL_STUB_PInvoke",
         None, None, "dotnet", True),
        ("stub<7> GenerateResolveStub<RESOLVE>", "stub<7> GenerateResolveStub<RESOLVE>", None, None, "dotnet", True),
        ("Shop.Cart:Load (string,int[])", "Shop.Cart.Load", None, None, "dotnet", False),
        ("System.Net.Sockets.Socket:Receive (byte[])", "System.Net.Sockets.Socket.Receive", None, None, "dotnet", True),
        ("(wrapper managed-to-native) Shop.Native:Call (int)", "Shop.Native.Call", None, None, "dotnet", True),
        ("wasm_entry", "wasm_entry", None, None, "native", False),
    ],
)  # fmt: skip
def test_names_of_runtimes(
    name: str, function: str, file: str, line: Optional[int], language: str, internal: bool
) -> None:
    """The symbols of each runtime are split into function, file and line."""
    made = naming.frame(Symbol(0x1000, 0x20, name), 0x1008, "[anon]", READ_SYMBOL)
    assert (made.function, made.file, made.line, made.language, made.internal) == (
        function,
        file,
        line,
        language,
        internal,
    )
    assert made.offset == 8


def test_long_symbols_take_no_longer() -> None:
    """No symbol that a program can write takes a rule of a runtime more than an instant."""
    shapes = ("[a] ", "a::", "a:", "(a", "$a:", "'a'", "<a>d__1", "a.b/", "JIT$", "] ", "[[", "wrapper ")
    begun = time.process_time()
    for one in shapes:
        for other in shapes:
            READ_SYMBOL((one * 256 + other * 256)[:1024])
    assert time.process_time() - begun < 1


@given(st.binary(max_size=80))
def test_any_line(line: bytes) -> None:
    """A random line gives None or a valid symbol."""
    symbol = parse_line(line)
    assert symbol is None or (symbol.size > 0 and symbol.name)
    if symbol is not None:
        assert naming.frame(symbol, symbol.start, "[anon]", READ_SYMBOL).function
