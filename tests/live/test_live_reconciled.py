"""Every report against the kernel's own list: sockets that others used, that children hold, or that cannot be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import LINGER, SLOW, Trace, let_linger, run_closetrace, tracing
from tests.live.namespaces import inside
from tests.live.oracles import functions, holders_of, output, ss_close_wait
from tests.live.workload import SOURCES, Workload, build, start

NOBODY = 65534


def sockets(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for site in report["sites"] for one in site["sockets"]]


def holding(report: dict[str, Any]) -> set[int]:
    """The processes whose sockets are told."""
    return {holder["pid"] for one in sockets(report) for holder in one["holders"]}


def assert_adds_up(report: dict[str, Any]) -> dict[str, Any]:
    """What the kernel lists is told or counted, each socket once."""
    found = report["reconciliation"]
    rest = found["younger"] + found["out_of_scope"] + found["without_holder"] + found["descendants"]["sockets"]
    assert found["listed"] == found["told"] + rest, found
    return dict(found)


def test_a_socket_that_a_handler_used_is_its_holders() -> None:
    """A server that forked its handlers holds all their sockets, as ss says; told with what the handlers did."""
    with start("fork_served", "3") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        truth = ss_close_wait({program.pid()})
        report = trace.stop().report()
    assert len(truth) == 3
    assert {(one["local"], one["remote"]) for one in sockets(report)} == set(truth)
    assert all({holder["pid"] for holder in one["holders"]} == {program.pid()} for one in sockets(report))
    found = assert_adds_up(report)
    assert (found["complete"], found["told"]) == (True, 3)
    if report["plan"]["receive"]:
        (site,) = report["sites"]
        assert (site["verdict"], site["pid"]) == ("held-elsewhere", program.pid())
        assert {holder["relation"] for one in sockets(report) for holder in one["holders"]} == {"parent"}
        assert "parent" in site["advice"]


CROWD = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
pairs = []
input()
for _ in range(2900):
    client = socket.create_connection(listener.getsockname())
    pairs.append((client, listener.accept()[0]))
for pair in pairs[:200]:
    for end in pair:
        end.close()
for _, server in pairs[-60:]:
    server.close()
print("closed", flush=True)
input()
"""


def test_where_records_ran_out_nothing_is_called_older(network_namespace: str) -> None:
    """5,800 sockets that began after the trace, and room for some 4,600: the others are not older than the trace."""
    options = ("--netns", network_namespace, *LINGER, "--memory", "4", "--json")
    words = [*inside(network_namespace), sys.executable, "-c", CROWD]
    with Trace(*options) as trace, subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as program:
        trace.attached()
        assert program.stdin is not None
        assert program.stdout is not None
        print("go", file=program.stdin, flush=True)
        assert program.stdout.readline() == "closed\n"
        let_linger()
        report = trace.stop().report()
        program.kill()
    found = sockets(report)
    without = [" ".join(one["evidence"]) for one in found if one["preexisting"]]
    assert len(found) == 60
    assert report["losses"]["records"] >= len(without) > 0
    assert all("No record was free when it began, or it is older than the trace" in facts for facts in without)


def test_a_socket_that_others_alone_used_is_told() -> None:
    """Its holder got it over a unix socket and never touched it: the kernel's list alone tells of it."""
    with start("passed_descriptor", "unused") as program:
        (child,) = (word["pid"] for word in program.said("process", role="child"))
        with tracing(child) as trace:
            trace.attached()
            program.all_steps()
            let_linger()
            truth = ss_close_wait({child})
            report = trace.stop().report()
    (one,) = sockets(report)
    assert (one["local"], one["remote"]) in truth
    assert {holder["pid"] for holder in one["holders"]} == {child}
    assert (one["recorded"], one["preexisting"]) == (False, False)
    assert f"No call of worker (pid {child}) on it was recorded: others used it" in " ".join(one["evidence"])
    assert assert_adds_up(report)["told"] == 1


def test_children_are_counted_and_named() -> None:
    """A master is never answered by "no socket" alone: its workers' sockets are counted, with how to include them."""
    with (
        start("prefork") as program,
        Trace("--pid", str(program.pid()), *LINGER) as text,
        tracing(program.pid()) as both,
    ):
        text.attached()
        both.attached()
        program.all_steps()
        let_linger()
        children = {word["pid"] for word in program.said("process", role="child")}
        truth = ss_close_wait(children)
        said, report = text.stop().out, both.stop().report()
    assert len(truth) == 4
    assert sockets(report) == []
    found = assert_adds_up(report)["descendants"]
    assert found["sockets"] == 4
    assert {process["pid"]: process["sockets"] for process in found["processes"]} == dict.fromkeys(children, 2)
    assert "no socket stayed" not in said
    assert "its child processes hold 4 sockets" in " ".join(said.split())
    assert "--children" in said


def test_children_are_included() -> None:
    """With --children those that are there and those to come are traced, each with its stack."""
    with start("prefork") as program, tracing(program.pid(), "--children") as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        children = {word["pid"] for word in program.said("process", role="child")}
        truth = ss_close_wait(children)
        report = trace.stop().report()
    assert {(one["local"], one["remote"]) for one in sockets(report)} == set(truth)
    assert len(truth) == 4
    assert holding(report) == children
    assert all("fetch" in functions(site["stack"]) for site in report["sites"] if report["plan"]["receive"])
    assert assert_adds_up(report)["descendants"]["sockets"] == 0


def test_children_need_a_process() -> None:
    """Of the whole host there are no children."""
    ran = run_closetrace("--children", *LINGER)
    assert ran.code == 2
    assert "--pid" in ran.err


def as_nobody(*words: str) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words)


WITHOUT_READING = ("setpriv", "--bounding-set=-all,+bpf,+perfmon,+sys_ptrace,+net_admin,+sys_resource,+syslog")


def test_descriptors_that_cannot_be_read_are_a_loss() -> None:
    """Without CAP_DAC_READ_SEARCH nobody's sockets are known: that is said, with a number and the right."""
    with Workload(*as_nobody(str(build("idle_pool")), "2")) as program:
        program.all_steps()
        options = ("--pid", str(program.pid()), *LINGER, "--duration", "1.5")
        ran = run_closetrace(*options, prefix=WITHOUT_READING)
        report = run_closetrace(*options, "--json", prefix=WITHOUT_READING).report()
        assert len(ss_close_wait({program.pid()})) == 2
    found = assert_adds_up(report)
    assert report["losses"]["descriptors"] >= 1
    assert (found["complete"], found["without_holder"] >= 2) == (False, True)
    assert program.pid() in found["unreadable"]["pids"]
    assert ran.out.startswith("no socket was found in CLOSE_WAIT")
    assert "CAP_DAC_READ_SEARCH" in ran.out
    assert "whose descriptors could not be read" in " ".join(ran.out.split())


def test_a_namespace_that_cannot_be_entered_is_a_loss(network_namespace: str) -> None:
    """Without CAP_SYS_ADMIN another network namespace cannot be listed, so that nothing is known of its sockets."""
    dropped = ("setpriv", "--bounding-set=-sys_admin,-setpcap", "--inh-caps=-sys_admin")
    with Workload(*inside(network_namespace), str(build("idle_pool")), "2") as program:
        program.all_steps()
        options = ("--pid", str(program.pid()), *LINGER, "--duration", "1.5")
        ran = run_closetrace(*options, prefix=dropped)
        report = run_closetrace(*options, "--json", prefix=dropped).report()
        assert len(ss_close_wait({program.pid()}, network_namespace)) == 2
    assert (report["losses"]["namespaces"], report["reconciliation"]["complete"]) == (1, False)
    assert ran.out.startswith("no socket was found in CLOSE_WAIT")
    assert "CAP_SYS_ADMIN" in ran.out


def test_a_socket_in_flight_has_no_holder() -> None:
    """Its only descriptor waits in a unix socket: it is told, and not as lying in this process's pool."""
    with start("in_flight") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        (truth,) = (word for word in program.said("socket"))
        listed = output("ss", "-tanH", "state", "close-wait", "src", truth["local"])
        assert holders_of(truth["inode"]) == set()
        report = trace.stop().report()
    assert len(listed.splitlines()) == 1
    (site,) = report["sites"]
    assert (site["verdict"], site["count"]) == ("held-elsewhere", 1)
    assert "SCM_RIGHTS" in site["advice"] + " ".join(site["explanation"])
    assert site["sockets"][0]["holders"] == []
    assert assert_adds_up(report)["told"] == 1


def test_a_reset_socket_that_was_inherited_is_its_holders() -> None:
    """The child that still holds it is told, not the parent that has closed it."""
    with start("fork_held", "reset") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        (child,) = (word["pid"] for word in program.said("process", role="child"))
        (socket,) = (word["inode"] for word in program.said("socket"))
        assert {pid for pid, _ in holders_of(socket)} == {child}
        report = trace.stop().report()
    (site,) = report["sites"]
    assert (site["verdict"], site["pid"]) == ("held-elsewhere", child)
    assert {holder["relation"] for one in site["sockets"] for holder in one["holders"]} == {"child"}
    assert f"Close it in holder (pid {child}), too, forked off by the process that used it" in site["advice"]


def test_mptcp_is_told_by_number() -> None:
    """Calls on MPTCP sockets are not recorded, which is said where there are such sockets."""
    switch = Path("/proc/sys/net/mptcp/enabled")
    if not switch.exists() or switch.read_text().strip() != "1":
        pytest.skip("this kernel has no MPTCP")
    with start("mptcp_client") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        lines = output("ss", "-HMnp", "state", "close-wait").splitlines()
        assert sum(f"pid={program.pid()}," in line for line in lines) == 3
        report = trace.stop().report()
    assert assert_adds_up(report)["mptcp"] == 3
    assert any("3 MPTCP sockets" in sentence for sentence in report["reconciliation"]["text"])


def test_a_time_namespace_is_refused() -> None:
    """Its clock is not the kernel's: one line, exit 4, with what to do."""
    ran = run_closetrace("--pid", str(os.getpid()), *LINGER, prefix=("unshare", "--time", "--monotonic", "100000"))
    assert ran.code == 4
    assert len(ran.err.splitlines()) == 1
    assert "time namespace" in ran.err
    assert "nsenter" in ran.err


def test_a_clean_bill_says_what_it_rests_on() -> None:
    """No socket, and the kernel lists none."""
    with start("clean", "3") as program, Trace("--pid", str(program.pid()), *LINGER) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        ran = trace.stop()
    said = " ".join(ran.out.split())
    assert said.startswith("no socket stayed in CLOSE_WAIT")
    assert "the kernel lists no socket in CLOSE_WAIT in scope" in said


def test_the_gate_counts_what_lingered_and_was_closed() -> None:
    """`run --fail-over` fails for a socket that lingered though the program closed it at last. It was seen."""
    options = ("run", "--linger", "0.5", "--fail-over", "0", "--json", "--", str(build("late_close")))
    ran = run_closetrace(*options, env={"WORKLOAD_STEP_MS": str(int(2000 * SLOW))})
    report = ran.report()
    assert ran.code == 3, ran.err
    assert (report["lingering"], report["lingered"]) == (0, 1)
    assert (report["watched"], report["seen"]) == (0, 2)  # both ends are the command's
    assert [kind["count"] for kind in report["ended_kinds"]] == [1]


def wait_for_name(pid: int, name: str) -> None:
    """Until the program has given its first thread that name."""
    end = time.monotonic() + 10 * SLOW
    while Path(f"/proc/{pid}/comm").read_text().strip() != name:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_comm_finds_programs_by_their_name(tmp_path: Path) -> None:
    """By the executable, whatever its threads are called, begun before the trace or in it; and by the script."""
    renamed = {"WORKLOAD_COMM": "MainThread"}
    name = f"idle-{os.getpid()}"
    program = str(shutil.copy(build("idle_pool"), tmp_path / name))
    with Workload(program, "1", env=renamed) as before, Trace("--comm", name, *LINGER, "--json") as trace:
        wait_for_name(before.pid(), "MainThread")
        trace.attached()
        with Workload(program, "1", env=renamed) as during, start("unread_data", "100") as other:
            for one in (before, during, other):
                one.all_steps()
            let_linger()
            report = trace.stop().report()
    assert holding(report) == {before.pid(), during.pid()}


def test_comm_finds_programs_by_their_script(tmp_path: Path) -> None:
    """The first thread has the interpreter's name."""
    name = f"pool-{os.getpid()}.py"
    script = str(shutil.copy(SOURCES / "python_pool.py", tmp_path / name))
    with Workload(sys.executable, "-I", script) as program, Trace("--comm", name, *LINGER, "--json") as trace:
        assert "pool" not in Path(f"/proc/{program.pid()}/comm").read_text()
        trace.attached()
        program.all_steps()
        let_linger()
        report = trace.stop().report()
    assert holding(report) == {program.pid()}


ENDS_WITH_OLDER = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
for _ in clients:
    listener.accept()[0].close()
print("ready", flush=True)
input()
"""


def test_older_sockets_that_the_end_of_their_process_closed_are_counted() -> None:
    """No call touched them during the trace, and at its end the kernel lists none: that is no clean bill."""
    with subprocess.Popen([sys.executable, "-c", ENDS_WITH_OLDER], stdin=-1, stdout=-1, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        assert len(ss_close_wait({program.pid})) == 3
        with Trace("--pid", str(program.pid), *LINGER) as text, tracing(program.pid) as both:
            text.attached()
            both.attached()
            program.communicate("end\n")
            said, report = text.wait().out, both.wait().report()
    assert sockets(report) == []
    assert assert_adds_up(report)["left"] == 3
    assert "no socket stayed" not in said
    assert "but 3 that were in it when the trace began have left" in " ".join(said.split())
