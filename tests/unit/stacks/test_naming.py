"""Which functions belong to a runtime. A report shows the first frame of the application, so it must know them."""

from __future__ import annotations

from typing import Any, Optional, cast

import pytest

from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor
from tracer.stacks.elf.facts import ElfFacts, Section
from tracer.stacks.elf.image import Image, Name
from tracer.stacks.naming import Naming
from tracer.stacks.registry import all_languages
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.modules import Code

NAMING = Naming(all_languages())


class NamedImage:
    """An image in which every address has one name."""

    def __init__(self, function: Optional[str], facts: ElfFacts) -> None:
        self.function = function
        self.facts = facts

    def names(self, _address: int) -> tuple[Name, ...]:
        return (Name(self.function, 16, None, None, inlined=False),)


def frame_of(function: Optional[str], path: str = "/srv/app", **facts: Any) -> Frame:
    image = NamedImage(function, ElfFacts(64, 62, **facts))
    mapping = Mapping(0x1000, 0x2000, "r-xp", 0, 1, 1, path)
    registers: tuple[Optional[int], ...] = (*(None,) * 16, 0x1234)
    (frame,) = NAMING.frames(Code(mapping, cast(Image, image), -0x1000), Cursor(registers, is_return=True))
    return frame


@pytest.mark.parametrize(
    ("function", "internal"),
    [
        ("main", False),
        ("_start", True),
        ("std::thread::join()", True),
        ("std::vector<int> shop::load<int>(std::string const&)", False),
        ("void std::__invoke_impl<void, shop::Pool>(std::__invoke_other, shop::Pool&&)", True),
        ("core::Client::fetch(int)", False),
        ("std::rt::lang_start::{{closure}}", True),
        ("core::ops::function::FnOnce::call_once", True),
        ("<std::io::stdio::Stdin as std::io::Read>::read", True),
        ("<&dyn core::ops::function::Fn<()> as core::ops::function::FnOnce<()>>::call_once", True),
        ("<shop::Pool as std::io::Read>::read", False),
        ("operator<<(std::ostream&, shop::Item const&)", False),
        (None, False),
    ],
)
def test_standard_libraries_inside_a_program(function: Optional[str], internal: bool) -> None:
    """Standard library code is recognised by its namespace, not by a return type or parameter."""
    assert frame_of(function).internal is internal


@pytest.mark.parametrize(
    ("function", "language", "internal"),
    [
        ("main.(*client).fetch", "go", False),
        ("net/http.(*Transport).roundTrip", "go", True),
        ("runtime.goexit", "go", True),
        ("github.com/acme/netutil.Dial", "go", False),
        ("acme/internal/pool.Get", "go", False),
        ("_cgo_wait", "native", False),
        (None, "go", False),
    ],
)
def test_go(function: Optional[str], language: str, internal: bool) -> None:
    """Functions with a package are Go, those of Go's standard library are internal, linked C code is native."""
    frame = frame_of(function, sections={b".gopclntab": Section(0, 0, 0)})
    assert (frame.language, frame.internal) == (language, internal)


def test_statically_linked_wrappers() -> None:
    """In a static program, recv is the C library's. In a dynamic program it is a function of the program."""
    for name in ("__libc_recv", "__wait4", "__lll_lock_wait", "__futex_abstimed_wait_common", "pthread_mutex_lock"):
        assert frame_of(name, is_static=True).internal
    for name in ("pthread_pool_run", "recv_order", "futex_queue_take"):
        assert not frame_of(name, is_static=True).internal
    assert not frame_of("recv").internal


@pytest.mark.parametrize(
    ("module", "library"),
    [
        ("libc.so.6", True), ("libc-2.31.so", True), ("ld-linux-x86-64.so.2", True), ("ld-musl-x86_64.so.1", True),
        ("libpthread-2.31.so", True), ("libstdc++.so.6.0.30", True), ("[vdso]", True), ("libcurl.so.4", False),
        ("libc", False), ("libcrypt.so.1", False), ("libjvm.so", True), ("libnet.so.1", False),
    ],
)  # fmt: skip
def test_runtime_libraries(module: str, library: bool) -> None:
    """The files of a runtime are recognised by their names."""
    assert NAMING.is_runtime_module(module) is library


def test_offsets() -> None:
    """An offset counts from the function's symbol to the pc. Without a symbol it is the pc's address in the file."""
    assert frame_of("main").offset == 17
    nameless = frame_of(None)
    assert (nameless.function, nameless.module, nameless.offset) == (None, "app", 0x234)


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/usr/lib/x86_64-linux-gnu/perl/5.36/auto/Socket/Socket.so", True),
        ("/usr/lib/x86_64-linux-gnu/perl5/5.36/auto/DBD/mysql/mysql.so", True),
        ("/srv/shop/lib/auto/Cart/Order.so", False),
        ("/usr/bin/perl", True),
        ("/usr/lib/php/20220829/curl.so", True),
        ("/usr/local/lib/php/extensions/no-debug-non-zts-20230831/redis.so", True),
        ("/usr/sbin/php-fpm8.2", True),
        ("/srv/php/shop.so", False),
        ("/usr/local/lib/lua/5.4/socket/core.so", True),
        ("/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2.1.0", True),
        ("/usr/lib/pypy3.9/lib-dynload/_ssl.pypy39-pp73-x86_64-linux-gnu.so", True),
        ("/usr/lib/erlang/erts-13.1.5/bin/beam.smp", True),
        ("/usr/lib/erlang/lib/crypto-5.1.2/priv/lib/crypto.so", True),
        ("/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.1/System.Net.Sockets.dll", True),
        ("/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.1/libSystem.Native.so", True),
        ("/srv/shop/Shop.Core.dll", False),
        ("/usr/lib/mono/aot-cache/amd64/mscorlib.dll.so", True),
        ("/usr/bin/mono-sgen", True),
        ("/usr/lib/x86_64-linux-gnu/ruby/3.1.0/socket.so", True),
        ("/var/lib/gems/3.1.0/gems/puma-6.0/lib/puma/puma_http11.so", True),
        ("/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1.2", True),
        ("/srv/shop/shop.so", False),
    ],
)
def test_files_of_interpreters(path: str, own: bool) -> None:
    """The program, the libraries and the compiled modules of an interpreter are not the program's own code."""
    assert frame_of("f", path).internal is own
