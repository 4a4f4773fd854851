"""Oracle: what a person would call the same leak, on another host, in another build, with other versions."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import NOW, START, accepted, actor, connection, judged, stack, touch
from tests.unit.stacks.stackbox import capture, compile_c, running
from tracer.diagnose.siteid import unversioned
from tracer.diagnose.sites import group
from tracer.diagnose.verdict import judge
from tracer.model.connection import Connection, Endpoint, Holder
from tracer.model.frame import Frame, Stack
from tracer.model.holder import Lineage, Link, Root, RootKind
from tracer.model.states import Op
from tracer.stacks.service import StackService

LIBC = Frame("__libc_recv", "/usr/lib/x86_64-linux-gnu/libc.so.6", 0x64, internal=True)


def id_of(*sockets: Connection, program: str = "app") -> str:
    (site,) = group(judged(*sockets), lambda _pid: program)
    return site.id


def read_by(*frames: Frame, pid: int = 100) -> Connection:
    last = touch(Op.RECV, 1.006, 150, actor=actor(pid), stack=Stack((LIBC, *frames), True))
    return connection(1, last=last, opened=None, holders=(Holder(pid, 9, "app"),))


def named(function: str, language: str = "native", **more: Any) -> Connection:
    return read_by(Frame(function, more.pop("module", None), language=language, **more))


OWN = Frame("fetch", "/srv/app", 0x10, "/build/a/fetch.c", 10)
SITE = "/opt/venv/lib/python3.12/site-packages/shopd"
IN_PLACE = (
    Frame("fetch", None, file="/home/dev/src/shopd/orders.py", language="python"),
    Frame("main", None, file="/home/dev/src/shopd/cli.py", language="python"),
    Frame("<module>", None, file="/home/dev/venv/bin/shopd", language="python"),
)
INSTALLED = (
    replace(IN_PLACE[0], file=f"{SITE}/orders.py", of_program=True),
    replace(IN_PLACE[1], file=f"{SITE}/cli.py", of_program=True),
    replace(IN_PLACE[2], file="/opt/venv/bin/shopd", of_program=True),
)
PLUGIN = Frame("hook", None, file="/etc/shopd/plugin.py", language="python")
SAME = {
    "installed, or run where it was written": (read_by(*IN_PLACE), read_by(*INSTALLED)),
    "the program's own files beside a package that is the program": (
        read_by(INSTALLED[0], PLUGIN, INSTALLED[1]),
        read_by(replace(INSTALLED[0], of_program=False), PLUGIN, replace(INSTALLED[1], of_program=False)),
    ),
    "line": (read_by(OWN), read_by(replace(OWN, line=12, offset=0x30))),
    "build without lines": (read_by(OWN), read_by(replace(OWN, line=None, file=None, offset=0x99, pc=0x7F0000001234))),
    "pid": (read_by(OWN), read_by(OWN, pid=4711)),
    "remote": (connection(1), connection(1, remote=Endpoint("10.1.2.3", 6379))),
    "port": (accepted(1), accepted(1, local=Endpoint("10.0.0.6", 9090))),
    "library's version and insides": (
        read_by(Frame("curl_easy_perform", "/usr/lib/libcurl.so.4.7.0", 1), OWN),
        read_by(
            Frame("Curl_do", "/usr/lib/libcurl.so.4.8.0"), Frame("curl_easy_perform", "/opt/libcurl.so.4.8.0"), OWN
        ),
    ),
    "recursion": (read_by(OWN), read_by(OWN, OWN, replace(OWN, line=11))),
    "compiler's copies": (named("fetch.constprop.0"), named("fetch.part.3.cold")),
    "link-time optimisation": (named("fetch"), named("fetch.llvm.11730254129")),
    "clone marks": (named("a::f(int) [clone .isra.0]"), named("a::f(int)")),
    "C++ lambda": (
        named("load()::{lambda(int)#1}::operator()(int) const"),
        named("load()::{lambda(int)#3}::operator()(int) const"),
    ),
    "C++ ABI": (named("put(std::__cxx11::basic_string<char>)"), named("put(std::basic_string<char>)")),
    "Rust hash": (named("shop::load::h0123456789abcdef"), named("shop::load::hfedcba9876543210")),
    "Rust hash, optimised at link time": (
        named("shop::load::h0123456789abcdef.llvm.117302"),
        named("shop::load::hfedcba9876543210"),
    ),
    "clang's unique names": (named("load(int) [clone .__uniq.117]"), named("load(int) [clone .__uniq.92]")),
    "Rust crate": (named("shop[4f8d2a11b3c5e7f9]::load::{closure#0}"), named("shop[1]::load::{closure#2}")),
    "Go closure": (named("main.load.func1", "go"), named("main.load.func3.2", "go")),
    "Go module's version": (named("example.org/shop/v2.Load", "go"), named("example.org/shop/v3.Load", "go")),
    "Java lambda": (named("Shop.lambda$load$0", "java"), named("Shop.lambda$load$12", "java")),
    "Java hidden class": (
        named("Shop$$Lambda$14/0x0000000800c03000.run", "java"),
        named("Shop$$Lambda/0x000076c1a8001200.run", "java"),
    ),
    "Java anonymous class": (named("Shop$1.run", "java"), named("Shop$2.run", "java")),
    "Clojure": (
        named("shop.core$load$fn__2041.invoke", "java"),
        named("shop.core$load$fn__987.invoke", "java"),
    ),
    "Clojure's REPL": (named("shop.core$eval1234.invoke", "java"), named("shop.core$eval99.invoke", "java")),
    "Hibernate's proxy": (
        named("Order$HibernateProxy$aB3dEf12.getId", "java"),
        named("Order$HibernateProxy$Zq01XyAb.getId", "java"),
    ),
    "Javassist's proxy": (
        named("Order_$$_jvst4f2_3.getId", "java"),
        named("Order_$$_jvst91c_0.getId", "java"),
    ),
    "Kotlin lambda": (named("MainKt.load$lambda-0", "java"), named("MainKt.load$lambda$3", "java")),
    "Go's init": (named("main.init.0.func1", "go"), named("main.init.2.func3", "go")),
    "Java proxy": (named("com.shop.$Proxy41.get", "java"), named("com.shop.$Proxy7.get", "java")),
    "Python's folder": (
        named("Pool.get", "python", file="/srv/shop-1.2/pool.py", line=3),
        named("Pool.get", "python", file="/home/me/pool.py", line=9),
    ),
    "Node bundle": (
        named("load", "node", file="/srv/main.8f3d2a1c.js", line=1),
        named("load", "node", file="/srv/main.0b1c2d3e.js", line=1),
    ),
    "Ruby block": (
        named("block (2 levels) in load", "ruby", file="/srv/a.rb"),
        named("block in load", "ruby", file="/srv/a.rb"),
    ),
    "C# lambda": (named("Shop.Cart+<>c.<Load>b__0_1", "dotnet"), named("Shop.Cart+<>c.<Load>b__3_0", "dotnet")),
    "Erlang fun": (named("shop:-load/1-fun-0-", "erlang"), named("shop:-load/1-fun-2-", "erlang")),
    "module without symbols": (
        read_by(Frame(None, "/usr/lib/libshop-1.2.so.1.2.3", 0x1234)),
        read_by(
            Frame(None, "/opt/libshop-1.3.so.1.3.0 (deleted)", 0x777), Frame(None, "/opt/libshop-1.3.so.1.3.0", 0x888)
        ),
    ),
}


@pytest.mark.parametrize("one", SAME)
def test_same(one: str) -> None:
    """What builds, hosts, runs and versions change does not change the id."""
    before, after = SAME[one]
    assert id_of(before) == id_of(after)


HELD = Lineage(3, (Link("shop.OrderClient", "client", own=True),), root=Root(RootKind.MODULE, "shop: clients"))
DIFFERENT = {
    "functions of the installed program": (
        read_by(*INSTALLED),
        read_by(replace(INSTALLED[0], function="send"), *INSTALLED[1:]),
    ),
    "function": (named("load"), named("store")),
    "caller": (read_by(OWN, Frame("pay", "/srv/app")), read_by(OWN, Frame("ship", "/srv/app"))),
    "order": (read_by(OWN, Frame("pay", "/srv/app")), read_by(Frame("pay", "/srv/app"), OWN)),
    "file of a script": (named("get", "python", file="/srv/pool.py"), named("get", "python", file="/srv/cart.py")),
    "folder of a package": (
        named("get", "python", file="/srv/cart/__init__.py"),
        named("get", "python", file="/srv/pool/__init__.py"),
    ),
    "class": (named("Shop$Cart.run", "java"), named("Shop$Order.run", "java")),
    "closure of another function": (named("main.load.func1", "go"), named("main.store.func1", "go")),
    "number in Java's name": (named("Shop.eval2", "java"), named("Shop.eval3", "java")),
    "number in a name": (named("read_v1"), named("read_v2")),
    "module without symbols": (read_by(Frame(None, "/srv/liba.so", 1)), read_by(Frame(None, "/srv/libb.so", 1))),
    "no path, another direction": (
        connection(1, last=None, opened=None, passive=False),
        connection(1, last=None, opened=None, passive=True),
    ),
    "no path, but held": (
        connection(1, last=None, opened=None, lineage=HELD),
        connection(1, last=None, opened=None),
    ),
}


@pytest.mark.parametrize("one", DIFFERENT)
def test_different(one: str) -> None:
    """Another path of the program's functions is another leak."""
    left, right = DIFFERENT[one]
    assert id_of(left) != id_of(right)


def test_program_is_part_of_it() -> None:
    """Two programs may both have a function main; a version in a program's name is not part of it."""
    assert id_of(connection(1), program="shop") != id_of(connection(1), program="stock")
    assert id_of(connection(1), program="shop-1.2.3") == id_of(connection(1), program="shop-1.10.0-rc1")
    assert id_of(connection(1), program="python3.11") == id_of(connection(1), program="python3.13")


def test_verdict_is_not_part_of_it() -> None:
    """A leak whose peer sent a word more is still that leak."""
    calm, noisy = connection(1), connection(2, rx_queue=50, rx_queue_at_fin=49)
    assert judge(calm, NOW, START).verdict is not judge(noisy, NOW, START).verdict
    assert {site.id for site in group(judged(calm, noisy))} == {id_of(calm)}


def test_a_fixed_value() -> None:
    """It must never change: ids of last year's reports are compared with today's."""
    assert id_of(connection(1, last=touch(Op.RECV, 1.0, 1, stack=stack("read_reply", "main")))) == "578f82f7f35cc119"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("libc-2.31.so", "libc.so"),
        ("libssl.so.3", "libssl.so"),
        ("libpython3.11.so.1.0", "libpython.so"),
        ("shop-1.2.3.jar", "shop.jar"),
        ("shop-1.2-SNAPSHOT.jar", "shop.jar"),
        ("main.8f3d2a1c.js", "main.js"),
        ("worker2", "worker2"),
        ("facade.so", "facade.so"),
        ("1.2.3", "1.2.3"),
        ("", ""),
    ],
)
def test_unversioned(name: str, plain: str) -> None:
    """Versions and build hashes go; numbers that are part of a name stay."""
    assert unversioned(name) == plain


def test_a_name_that_no_file_can_have_costs_little() -> None:
    """A traced program tells it. Time by the square of its length would hold up the recording: 0.1 s for each frame."""
    begun = time.thread_time()
    for number in range(20):
        assert unversioned("1" * 4000 + str(number))
    assert time.thread_time() - begun < 0.2


PROGRAM = """
#include <cstdio>
#include <unistd.h>
#include <functional>
{above}
namespace shop {{
template <class T> struct Pool {{
  __attribute__((noinline)) int take(const std::function<int(T)>& read) {{
    int got = read(T()); puts("."); return got;
  }}
}};
__attribute__((noinline)) static int load(int fd) {{
  {unused}
  auto read_one = [fd](long) {{ char c; int n = (int)read(fd, &c, 1); puts("."); return n; }};
  return Pool<long>().take(read_one) + 1;
}}
}}
int main() {{ puts("ready"); fflush(stdout); int n = shop::load(0); puts("."); return n; }}
"""


def test_two_builds_of_a_real_program(tmp_path: Path) -> None:
    """Other lines, other folder, another lambda before it, with and without debug information."""
    builds = (
        ("one", {"above": "", "unused": ""}, ("-O2", "-g")),
        ("two", {"above": "\n\n", "unused": "auto f = [](int x) { return x; }; fd = f(fd);"}, ("-O2",)),
    )
    service, found = StackService(), []
    for folder, changes, flags in builds:
        (tmp_path / folder).mkdir()
        program = compile_c(tmp_path / folder, "shop", PROGRAM.format(**changes), *flags, compiler="g++")
        with running(program) as child:
            unwound = service.unwind(capture(child.pid))
        last = touch(Op.RECV, 1.006, 150, stack=unwound)
        found.append((id_of(connection(1, last=last, opened=None), program="shop"), unwound))
    service.close()
    assert found[0][0] == found[1][0], [[f.function for f in unwound.frames] for _, unwound in found]
    assert any("shop::load" in (frame.function or "") for frame in found[0][1].frames)
