"""The unwound stacks are the programs' own backtraces, return address by return address."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import let_linger, tracing
from tests.live.gallery import Gallery
from tests.live.oracles import assert_nested, assert_stack_is, functions, machine_frames
from tests.live.workload import Workload, build, start

BY_RECV = (
    "idle pool",
    "idle pool, IPv6",
    "idle pool, v4-mapped",
    "idle pool, stripped",
    "EOF ignored",
    "unread data",
    "passed descriptor",
    "shared socket",
    "dlopened",
    "signal handler",
    "C++",
)


def assert_complete(site: dict[str, Any]) -> None:
    assert site["stack_complete"] is True, (functions(site["stack"]), site["stack_note"])
    assert site["stack_note"] is None


@pytest.mark.parametrize("name", BY_RECV)
def test_last_recv(gallery: Gallery, name: str) -> None:
    """The stack of the last recv is the program's own backtrace, to the thread's first frame."""
    exhibit = gallery[name]
    site = exhibit.site()
    assert_complete(site)
    assert_stack_is(site["stack"], exhibit.workload.touches("recv")[-1])


def test_statically_linked(gallery: Gallery) -> None:
    """A static binary's frames have the names that nm gives to the program's own return addresses."""
    exhibit = gallery["idle pool, static"]
    binary = str(build("idle_pool", link=("-static",), output="idle_static"))
    assert_complete(exhibit.site())
    assert_stack_is(exhibit.site()["stack"], exhibit.workload.touches("recv")[-1], binary)


def test_stripped_is_honest(gallery: Gallery) -> None:
    """Without symbols a frame is module and offset, never a guess."""
    frames = [frame for frame in gallery["idle pool, stripped"].site()["stack"] if frame["module"] == "idle_stripped"]
    assert frames
    assert all(frame["function"] is None and frame["offset"] > 0 for frame in frames)


def test_opener_by_connect(gallery: Gallery) -> None:
    """The stack that connected is kept, as well as that of the last touch."""
    exhibit = gallery["idle pool"]
    assert exhibit.site()["opened_stack_complete"] is True
    assert_stack_is(exhibit.site()["opened_stack"], exhibit.workload.touches("connect")[-1])


def test_opener_by_accept(gallery: Gallery) -> None:
    """The stack that accepted is kept. If accept has no hook, the report has the first call's stack and says so."""
    exhibit = gallery["server leak"]
    stack = exhibit.site()["opened_stack"]
    if gallery.report["plan"]["open"]:
        assert_stack_is(stack, exhibit.workload.touches("accept")[-1])
    else:
        assert_nested(stack, "answer", "serve", "main")
        assert "accept" in gallery.cost("open")


def test_last_send(gallery: Gallery) -> None:
    """The last touch of a server that answered and did not close is its send."""
    exhibit = gallery["server leak"]
    assert exhibit.site()["last_op"] == "send"
    assert_stack_is(exhibit.site()["stack"], exhibit.workload.touches("send")[-1])


def test_shutdown_after_fin(gallery: Gallery) -> None:
    """The stack of the shutdown that took a socket out of CLOSE_WAIT and left its descriptor open."""
    exhibit = gallery["shutdown write"]
    assert_complete(exhibit.site())
    assert_stack_is(exhibit.site()["stack"], exhibit.workload.touches("shutdown")[-1])


def test_shutdown(gallery: Gallery) -> None:
    """The stack of a shutdown that was the last touch, where shutdown has a hook."""
    exhibit = gallery["shutdown read"]
    if gallery.report["plan"]["shutdown"]:
        assert_stack_is(exhibit.site()["stack"], exhibit.workload.touches("shutdown")[-1])
    else:
        assert_nested(exhibit.site()["stack"], "connect_to", "main")


@pytest.mark.parametrize(
    ("name", "nesting"),
    [
        ("idle pool", ("read_response", "do_request", "main")),
        ("EOF ignored", ("poll_feed", "drain_feed", "main")),
        ("dlopened", ("plugin_fetch", "call_plugin", "main")),
        ("half-closed in use", ("send_exactly", "send_chunk", "upload")),
    ],
)
def test_nesting_in_the_source(gallery: Gallery, name: str, nesting: tuple[str, ...]) -> None:
    """The functions are in the order in which the source calls them."""
    site = gallery[name].site()
    if name == "half-closed in use":
        nesting = nesting[1:]  # send_exactly is static and may be inlined
    assert_nested(site["stack"], *nesting)


def test_signal_frame_is_crossed(gallery: Gallery) -> None:
    """From the handler through the kernel's signal frame into the interrupted function."""
    names = functions(gallery["signal handler"].site()["stack"])
    assert names.index("on_signal") < names.index("interrupted_work") < names.index("main")


def test_names_are_demangled(gallery: Gallery) -> None:
    """C++ names as people write them."""
    names = functions(gallery["C++"].site()["stack"])
    assert any(name.startswith("acme::net::Pool<") and "::read_reply(int)" in name for name in names), names


def test_shared_socket_names_the_last_thread(gallery: Gallery) -> None:
    """Five threads use the socket. The report names the one that touched it last."""
    exhibit = gallery["shared socket"]
    tid = exhibit.workload.touches("recv")[-1]["tid"]
    touched = [event for event in exhibit.sockets()[0]["timeline"] if event.get("tid") == tid]
    assert touched, exhibit.sockets()[0]["timeline"]


def test_python_interpreter(gallery: Gallery) -> None:
    """CPython's frames have no frame pointers. In both threads they are unwound to the thread's start."""
    sites = gallery["Python"].sites
    assert sum(site["count"] for site in sites) == 2
    for site in sites:
        assert_complete(site)
        assert len(machine_frames(site["stack"])) > 5


def test_blocked_thread_is_the_one_of_eu_stack(gallery: Gallery) -> None:
    """The thread that is blocked in send is where eu-stack finds it."""
    exhibit = gallery["blocked in send"]
    tid = exhibit.workload.said("thread")[0]["tid"]
    assert "push" in exhibit.eu_stack
    site = exhibit.site()
    assert_nested(site["stack"], "push", "uploader")
    assert str(tid) in " ".join([site["advice"], *site.get("explanation", []), str(site["sockets"])])


def lingering_site(program: Workload, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only site of a program that takes all its steps, and the report."""
    with tracing(program.pid(), *options) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        report = trace.stop().report()
    (site,) = report["sites"]
    return site, report


def test_deeper_than_the_box() -> None:
    """A stack of 40 KiB in a box of 16 KiB: the frames so far, then the reason, and the loss is counted."""
    with start("deep_stack", "40", "1000") as program:
        site, report = lingering_site(program, "--stack-bytes", "16384")
    assert site["stack_complete"] is False
    assert site["stack_note"] == "stack deeper than the 16 KiB that were copied (raise --stack-bytes)"
    assert report["losses"]["stacks_truncated"] > 0
    names = functions(machine_frames(site["stack"]))
    at = names.index("touch_it")
    assert len(names) - at > 8
    assert set(names[at + 1 :]) == {"descend"}


@pytest.mark.parametrize("options", [(), ("--stack-bytes", "32768")])
def test_box_as_large_as_the_stack(options: tuple[str, ...]) -> None:
    """A stack of 24 KiB is whole as long as --stack-bytes has room for it."""
    with start("deep_stack", "24", "1000") as program:
        site, _ = lingering_site(program, *options)
    assert_complete(site)
    assert_stack_is(site["stack"], program.touches("recv")[-1])


@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("size", [10_000, 24_576, 65_536, 1_000_000])
def test_pages_that_were_never_touched(size: int, where: str) -> None:
    """Below a large buffer that nobody has written: not all of its pages exist, and the stack goes on behind it."""
    with Workload(str(build("sparse_stack", "-fno-stack-clash-protection")), str(size), where) as program:
        site, _ = lingering_site(program)
    if where == "thread":
        assert program.said("untouched")[0]["pages"] > 0
    assert_complete(site)
    assert_stack_is(site["stack"], program.touches("recv")[-1])


def test_memory_for_deep_stacks_spent() -> None:
    """120 deep stacks at once, and fewer than 40 boxes of full size: the other stacks say why they are cut."""
    options = ("--memory", "8", "--stack-bytes", "65536", "--linger", "1")
    with start("deep_stack", "20", "1000", "120") as program, tracing(program.pid(), *options) as trace:
        trace.attached()
        trace.process.send_signal(signal.SIGSTOP)  # else it may make room in time
        program.step()
        trace.process.send_signal(signal.SIGCONT)
        program.all_steps()
        let_linger()
        report = trace.stop().report()
    whole = [site for site in report["sites"] if site["stack_complete"]]
    cut = [site for site in report["sites"] if not site["stack_complete"]]
    assert 16 <= sum(site["count"] for site in whole) < 40
    assert sum(site["count"] for site in report["sites"]) == 120
    for site in whole:
        assert_stack_is(site["stack"], program.touches("recv")[-1])
    for site in cut:
        assert site["stack_note"] == "cut at 16 KiB: the memory for deeper stacks was used up (raise --memory)"
        names = functions(machine_frames(site["stack"]))
        at = names.index("touch_it")
        assert set(names[at + 1 :]) == {"descend"}


def test_replaced_binary(tmp_path: Path) -> None:
    """A program whose file was replaced after its start (a deployment) is still unwound and named."""
    binary = tmp_path / "deployed"
    shutil.copy(build("idle_pool"), binary)
    with Workload(str(binary), "1") as program, tracing(program.pid()) as trace:
        trace.attached()
        binary.unlink()
        shutil.copy(build("clean"), binary)
        program.all_steps()
        let_linger()
        (site,) = trace.stop().report()["sites"]
    assert_complete(site)
    assert_nested(site["stack"], "read_response", "do_request", "main")


def test_exec() -> None:
    """A process that becomes another program: the stack is that of the first one, whose addresses both have."""
    static = ("-static", "-no-pie")
    first = build("takes_over", "-fno-pie", link=static)
    other = build("takes_over", "-fno-pie", "-DFUNCTION=never_touched_any", link=static, output="taken_over")
    with Workload(str(first), str(other)) as program:
        site, _ = lingering_site(program)
        assert program.said("became")[0]["function"] == program.said("read")[0]["function"]
    assert_complete(site)
    assert_nested(site["stack"], "touched_the_socket", "main")


def test_replaced_library() -> None:
    """Another library at the same address after the touch: nothing of it stands in the stack, which tells why."""
    first = build("plugin", "-shared", "-fPIC", link=(), output="first.so")
    second = build("plugin", "-shared", "-fPIC", "-DFETCH=other_fetch", link=(), output="second.so")
    with start("swapped", str(first), str(second)) as program:
        site, _ = lingering_site(program)
        before, after = (loaded["at"] for loaded in program.said("loaded"))
    assert before == after, "the second library does not lie where the first one was"
    assert site["stack_complete"] is False
    assert site["stack_note"] == "the code here was replaced by second.so before this stack could be read"
    assert "other_fetch" not in functions(site["stack"])
