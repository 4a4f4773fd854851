"""Grouping, filters, other namespaces and sockets that were there before."""

from __future__ import annotations

import pytest

from tests.live.closetrace_command import LINGER, Trace, let_linger, run_closetrace, tracing
from tests.live.oracles import assert_nested, functions, netns_of, seconds, ss_close_wait
from tests.live.workload import Workload, build, start


def test_thousand_sockets_from_three_paths() -> None:
    """500, 300 and 200 sockets from three call paths are three sites with these counts."""
    with start("three_paths", "500", "300", "200") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        seen = ss_close_wait({program.pid()})
        report = trace.stop().report()
    assert len(seen) == 1000
    counts = {}
    for site in report["sites"]:
        path = next(name for name in functions(site["stack"]) if name.startswith("fetch_"))
        counts[path] = site["count"]
        assert_nested(site["stack"], "read_answer", "request", path, "main")
    assert counts == {"fetch_orders": 500, "fetch_prices": 300, "fetch_stock": 200}
    assert {(one["local"], one["remote"]) for site in report["sites"] for one in site["sockets"]} == set(seen)
    assert set(report["losses"].values()) == {0}


def test_network_namespace(network_namespace: str) -> None:
    """The sockets, queues and inodes of a program in another network namespace are those that ss lists there."""
    words = ("ip", "netns", "exec", network_namespace, str(build("idle_pool")), "2")
    with Workload(*words) as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        seen = ss_close_wait({program.pid()}, network_namespace)
        netns = netns_of(program.pid())
        report = trace.stop().report()
    (site,) = report["sites"]
    assert len(seen) == site["count"] == 2
    for one in site["sockets"]:
        line = seen[one["local"], one["remote"]]
        assert (one["inode"], one["rx_queue"], one["netns"]) == (line.inode, line.rx_queue, netns)


def test_older_than_the_trace() -> None:
    """Sockets that were in CLOSE_WAIT before the trace began are reported, marked so, with what can be known."""
    with start("idle_pool", "3") as program:
        program.all_steps()
        with tracing(program.pid()) as trace:
            trace.attached()
            let_linger()
            seen = ss_close_wait({program.pid()})
            report = trace.stop().report()
    sockets = [one for site in report["sites"] for one in site["sockets"]]
    assert len(seen) == 3
    assert {(one["local"], one["remote"]): one["inode"] for one in sockets} == {k: v.inode for k, v in seen.items()}
    for one in sockets:
        assert one["preexisting"] is True
        assert [(holder["pid"], holder["fd"]) for holder in one["holders"]] == [
            (program.pid(), word["fd"]) for word in program.sockets() if word["local"] == one["local"]
        ]


def test_opened_before_hung_up_during() -> None:
    """FIN comes during the trace to an older socket. The report has the time of FIN, and says that it is older."""
    with start("idle_pool", "2") as program:
        program.step()
        with tracing(program.pid()) as trace:
            trace.attached()
            program.all_steps()
            let_linger()
            report = trace.stop().report()
    sockets = [one for site in report["sites"] for one in site["sockets"]]
    assert len(sockets) == 2
    assert all(one["preexisting"] and one["fin"] for one in sockets)


def test_only_the_holder_is_named() -> None:
    """--pid of the child that got the descriptor finds the socket that its parent opened."""
    with start("passed_descriptor") as program, tracing(program.pid("child")) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        report = trace.stop().report()
    (site,) = report["sites"]
    assert site["pid"] == program.pid("child")
    assert site["sockets"][0]["local"] == program.sockets("child")[0]["local"]


def test_whole_host_sees_every_process() -> None:
    """Without a filter the leaks of unrelated processes are all there."""
    with start("idle_pool", "1") as one, start("eof_ignored", "1") as other, Trace(*LINGER, "--json") as trace:
        trace.attached()
        one.all_steps()
        other.all_steps()
        let_linger()
        report = trace.stop().report()
    found = {site["pid"]: site["verdict"] for site in report["sites"]}
    assert found[one.pid()] == "idle-in-pool"
    assert found[other.pid()] == "eof-ignored"


def test_port_and_address_filters() -> None:
    """--remote-port leaves the other program out; --remote with a network keeps loopback."""
    with start("idle_pool", "1") as wanted, start("idle_pool", "1") as other:
        wanted_port = _step_and_port(wanted)
        other_port = _step_and_port(other)
        options = ("--remote-port", wanted_port, "--remote", "127.0.0.0/8", *LINGER, "--json")
        with Trace(*options) as trace:
            trace.attached()
            wanted.all_steps()
            other.all_steps()
            let_linger()
            report = trace.stop().report()
    remotes = {one["remote"] for site in report["sites"] for one in site["sockets"]}
    assert remotes == {f"127.0.0.1:{wanted_port}"}
    assert other_port != wanted_port


def _step_and_port(program: Workload) -> str:
    program.step()
    return str(program.sockets()[0]["remote"].rsplit(":", 1)[1])


def test_comm_filter() -> None:
    """--comm keeps the programs of that name only."""
    with (
        start("idle_pool", env={"WORKLOAD_COMM": "keepme"}) as kept,
        start("idle_pool") as other,
        Trace("--comm", "keepme", *LINGER, "--json") as trace,
    ):
        trace.attached()
        kept.all_steps()
        other.all_steps()
        let_linger()
        report = trace.stop().report()
    assert {site["pid"] for site in report["sites"]} == {kept.pid()}


def test_two_traces_at_once() -> None:
    """Two closetrace at the same time do not disturb each other: both reports are whole."""
    with start("idle_pool", "2") as program:
        options = ("--pid", str(program.pid()), *LINGER, "--json")
        with Trace(*options) as one, Trace(*options) as other:
            one.attached()
            other.attached()
            program.all_steps()
            let_linger()
            reports = [one.stop().report(), other.stop().report()]
    for report in reports:
        (site,) = report["sites"]
        assert (site["verdict"], site["count"], site["stack_complete"]) == ("idle-in-pool", 2, True)


def test_closed_at_last_is_told() -> None:
    """A socket that lingered and was then closed is no finding any more. The report says how it ended."""
    with start("late_close") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.step().step()
        let_linger()
        program.step()
        ran = trace.stop()
    report = ran.report()
    assert report["sites"] == []
    (ended,) = report["ended_findings"]
    assert ended["local"] == program.sockets()[0]["local"]
    assert "close_at_last" in functions(ended["closed_stack"])
    assert abs(seconds(ended["ended"]) - program.said("closing")[0]["t"]) < 0.05


@pytest.mark.parametrize(
    ("words", "results", "told"),
    [
        ((), [10], "none has come"),
        (
            ("looks",),
            [10, -1],
            "The program knows: the last call was a recv that failed with ECONNRESET",
        ),
    ],
)
def test_whether_a_call_met_the_reset(words: tuple[str, ...], results: list[int], told: str) -> None:
    """What the program's own calls returned decides whether it knows."""
    with start("reset_open", *words) as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        report = trace.stop().report()
    (site,) = report["sites"]
    assert [word["ret"] for word in program.said("touch")] == results
    assert site["verdict"] == "reset-still-open"
    if report["plan"]["receive"] is not None:
        assert told in " ".join(site["explanation"])


def test_nothing_to_say() -> None:
    """A clean program: no site, exit 0, even with --fail-over 0."""
    with start("clean", "20") as program, tracing(program.pid(), "--fail-over", "0") as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == 0
    assert ran.report()["sites"] == []


def test_duration_ends_the_run() -> None:
    """--duration ends the trace by itself, with the report."""
    with start("clean", "1") as program:
        ran = run_closetrace("--pid", str(program.pid()), *LINGER, "--duration", "2", "--json")
    assert ran.code == 0
    ran.report()


def test_processes_of_one_program_are_one_site() -> None:
    """Two processes of one program, each to a server of its own: one leak, which lists them."""
    with (
        start("idle_pool", "3") as one,
        start("idle_pool", "2") as other,
        tracing(one.pid(), "--pid", str(other.pid())) as trace,
    ):
        trace.attached()
        one.all_steps()
        other.all_steps()
        let_linger()
        lines = [line for program in (one, other) for line in ss_close_wait({program.pid()})]
        report = trace.stop().report()
    (site,) = report["sites"]
    assert [(part["pid"], part["count"]) for part in site["processes"]] == [(one.pid(), 3), (other.pid(), 2)]
    assert sorted((part["remote"], part["count"]) for part in site["remotes"]) == sorted(
        (remote, sum(remote == line[1] for line in lines)) for remote in {line[1] for line in lines}
    )
    assert (site["program"], site["direction"], site["count"]) == ("idle_pool", "opened", 5)
