"""What was read and what was sent: each way of not reading is told apart, by facts that ss and /proc confirm."""

from __future__ import annotations

import re
import select
import time
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import SLOW, Ran, let_linger, tracing
from tests.live.oracles import comm_of, output
from tests.live.workload import Workload, start_python

SILENCE_S = 1.3
POLL = "7"
"""Number of poll(2) on x86-64 (asm/unistd_64.h)."""


class Case:
    """One way of tests/workloads/python_reader.py, traced (from its start, unless late), and what ss says meanwhile."""

    def __init__(self, way: str, late: bool = False) -> None:
        with start_python("python_reader", way) as self.workload:
            if late:
                self._to_the_end(self.workload)
            with tracing(self.workload.pid()) as trace:
                trace.attached()
                self._to_the_end(self.workload)
                let_linger()
                self.ss = {one["inode"]: counters(one["local"]) for one in self.workload.sockets()}
                self.sets = epoll_sets(self.workload.pid())
                self.calls = {one["tid"]: in_call(one["tid"]) for one in self.workload.said("polls")}
                self.comm = comm_of(self.workload.pid())
                self.report = trace.stop().report()

    def _to_the_end(self, workload: Workload) -> None:
        while workload.pending != "end":
            if workload.pending == "the peer says goodbye":
                time.sleep(SILENCE_S * SLOW)
            workload.step()

    @property
    def seen(self) -> bool:
        """Whether receives have a hook in this trace."""
        return self.report["plan"]["receive"] is not None

    @property
    def site(self) -> dict[str, Any]:
        (site,) = self.report["sites"]
        return dict(site)

    @property
    def one(self) -> dict[str, Any]:
        (one,) = self.site["sockets"]
        return dict(one)

    def told(self) -> str:
        """All sentences of the site."""
        site = self.site
        parts = [*site["explanation"], site["advice"], *(fact for one in site["sockets"] for fact in one["evidence"])]
        return " ".join(parts)


def counters(local: str) -> dict[str, int]:
    """Queues and counters of a socket as ``ss -ti`` prints them."""
    text = output("ss", "-Htnie", "src", local)
    head = text.split()
    named = {name: int(value) for name, value in re.findall(r"\b([a-z_]+):(\d+)", text)}
    return {**named, "rx_queue": int(head[1]), "tx_queue": int(head[2])}


def in_call(tid: int) -> str:
    """The number of the system call that a thread is in; empty if it has ended."""
    try:
        return Path(f"/proc/{tid}/syscall").read_text().split()[0]
    except OSError:
        return ""


def epoll_sets(pid: int) -> dict[int, str]:
    """The fdinfo of each epoll descriptor of a process."""
    return {
        int(link.name): Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()) == "anon_inode:[eventpoll]"
    }


@pytest.mark.parametrize(
    ("way", "verdict"),
    [
        ("end with data", "end-taken"),
        ("goodbye", "idle-in-pool"),
        ("never used", "idle-in-pool"),
        ("late answer", "unread-data"),
        ("looked at", "never-read"),
        ("unread", "unread-data"),
        ("never read", "never-read"),
        ("paused", "reading-paused"),
        ("watched for output", "reading-paused"),
        ("watched for input", "unread-data"),
        ("stalled", "send-stalled"),
        ("spliced", "idle-in-pool"),
    ],
)
def test_verdict_and_queues(way: str, verdict: str) -> None:
    """The verdict that the program's source calls for, with queues and counters as ss prints them."""
    case = Case(way)
    one, line = case.one, case.ss[case.one["inode"]]
    assert (case.site["verdict"], case.site["count"]) == (verdict, 1)
    assert (one["rx_queue"], one["tx_queue"]) == (line["rx_queue"], line["tx_queue"])
    assert one["bytes_received"] == line.get("bytes_received", 0)
    assert one["bytes_acked"] == line.get("bytes_acked", 0)
    assert one["unsent"] == line.get("notsent", 0)
    assert not one["eof_read"]
    assert (one["send_stalled_s"] >= 1) is (way == "stalled")
    CHECKS[way](case)


def ends_with_data(case: Case) -> None:
    assert [word["result"] for word in case.workload.said("read")] == [6]
    assert case.one["rx_queue"] == 0
    assert case.one["end_taken"]
    if case.seen:
        assert "taken by one read, which returned 6: no read returned 0" in case.told()
        assert case.site["last_op"] == "recv"


def says_goodbye(case: Case) -> None:
    assert case.one["rx_queue"] == 42
    assert "41 bytes lie unread" in case.told()
    assert re.search(r" 1\.[3-9] s after the last call: most likely a goodbye", case.told()) or SLOW > 1
    assert "stopped early" not in case.told()


def was_never_used(case: Case) -> None:
    assert (case.one["rx_queue"], case.one["bytes_received"], case.one["bytes_acked"]) == (42, 42, 1)
    assert "never used it: it sent nothing, and read nothing" in case.told()
    assert "most likely a goodbye" in case.told()
    assert "answer" not in case.told()


def answers_late(case: Case) -> None:
    assert case.one["rx_queue"] == 42
    assert "If what came is the answer" in case.told()
    assert "stopped early" not in case.told()
    assert "a goodbye" not in case.told()


def was_looked_at(case: Case) -> None:
    assert [word["result"] for word in case.workload.said("looked")] == [4]
    assert case.one["rx_queue"] == case.one["bytes_received"] == 22
    assert "the last call looked at them (MSG_PEEK), and none has taken a byte" in case.told()
    assert "before they came" not in case.told()
    assert "no call has ever read" not in case.told()
    assert "never started" not in case.told()


def stopped_early(case: Case) -> None:
    assert case.one["rx_queue"] == 4991
    assert case.one["epoll"] is None
    assert "the reader stopped early" in case.told()


def nobody_read(case: Case) -> None:
    assert case.one["rx_queue"] == case.one["bytes_received"] == 22
    assert "no call has ever read from it" in case.told()
    assert "stopped early" not in case.told()


def is_paused(case: Case) -> None:
    assert f"ino:{case.one['inode']:x} " not in "".join(case.sets.values())
    assert case.one["epoll"] == []
    assert "in no epoll set" in case.told()


def waits_for_output(case: Case) -> None:
    (watching,) = case.one["epoll"]
    (word,) = case.workload.said("set")
    assert (watching["pid"], watching["epoll_fd"], watching["fd"]) == (
        case.workload.pid(),
        word["fd"],
        case.one["fd"],
    )
    assert f"tfd: {case.one['fd']:8} events: {select.EPOLLOUT | select.EPOLLET | 0x18:8x} " in case.sets[word["fd"]]
    assert watching["events"] == ["EPOLLOUT", "EPOLLET"]


def waits_for_input(case: Case) -> None:
    (watching,) = case.one["epoll"]
    assert watching["events"] == ["EPOLLIN"]
    assert "event loop is stuck" in case.told()


def is_stalled(case: Case) -> None:
    (word,) = case.workload.said("sent")
    line = case.ss[case.one["inode"]]
    assert case.one["tx_queue"] > 0
    # The SYN counts as one byte acknowledged.
    assert case.one["bytes_acked"] - 1 + case.one["tx_queue"] == word["bytes"]
    assert case.one["send_stalled_s"] <= line["lastsnd"] / 1000 + 1
    assert "Send-Q" in case.told()
    assert "SO_SNDTIMEO" in case.site["advice"]


def was_spliced(case: Case) -> None:
    assert [word["result"] for word in case.workload.said("splice")] == [9]
    assert case.one["bytes_received"] == 10  # with the FIN
    assert "othing in this process has touched" not in case.told()
    if case.seen:
        assert (case.one["rx_bytes"], case.one["taken_unseen"]) == (0, 9)
        assert "9 bytes were taken from the receive queue by calls that were not seen: splice" in case.told()


CHECKS = {
    "end with data": ends_with_data,
    "goodbye": says_goodbye,
    "never used": was_never_used,
    "late answer": answers_late,
    "looked at": was_looked_at,
    "unread": stopped_early,
    "never read": nobody_read,
    "paused": is_paused,
    "watched for output": waits_for_output,
    "watched for input": waits_for_input,
    "stalled": is_stalled,
    "spliced": was_spliced,
}


@pytest.mark.parametrize(
    ("way", "verdict", "said"),
    [
        ("end with data", "end-taken", "a read returned 0, or one took it together with the last data"),
        ("never read", "never-read", "no call has ever read from it"),
        ("never used", "idle-in-pool", "never used it"),
        ("paused", "reading-paused", "in no epoll set"),
        ("stalled", "send-stalled", "Send-Q"),
        ("served", "unknown", "listens"),
    ],
)
def test_attached_late(way: str, verdict: str, said: str) -> None:
    """What the kernel knows is enough for a socket that is older than the trace, and no more is said."""
    case = Case(way, late=True)
    assert case.one["preexisting"]
    assert case.site["verdict"] == verdict
    assert said in case.told()
    assert not case.one["eof_read"]


def test_direction_of_older_sockets() -> None:
    """Accepted by a port that is listened on: who listens, how much came and went, and when, as ss says it."""
    case = Case("served", late=True)
    one, line = case.one, case.ss[case.one["inode"]]
    assert (one["passive"], one["accepted"]) == (True, True)
    assert one["listener"]["pid"] == case.workload.pid()
    assert (one["bytes_received"], one["bytes_acked"]) == (line["bytes_received"], line["bytes_acked"]) == (7, 3)
    assert abs(one["last_data_in_s"] - line["lastrcv"] / 1000) < 1
    assert f"accepted on {one['local']}, where {case.comm} (pid {case.workload.pid()}" in case.told()
    assert "6 bytes came in all" in case.told()
    assert "3 bytes were sent and acknowledged" in case.told()


@pytest.mark.parametrize(("way", "direction"), [("served last", "accepted"), ("late answer", "opened")])
def test_direction_without_a_listener(way: str, direction: str) -> None:
    """Who opened it is known of a socket that is older than the trace: by the program, and by the kernel's counters."""
    case = Case(way, late=True)
    assert case.one["preexisting"]
    assert case.site["direction"] == direction
    line = case.ss[case.one["inode"]]
    assert line["bytes_acked"] - line["bytes_sent"] == (direction == "opened")


def test_a_descriptor_table_of_a_threads_own() -> None:
    """The process's table does not show the descriptor, the thread's does: it is held, and told by the calls on it."""
    case = Case("own table")
    (socket,), (thread,) = case.workload.said("socket"), case.workload.said("thread")
    (holder,) = case.one["holders"]
    assert (holder["pid"], holder["fd"], holder["tid"]) == (socket["pid"], socket["fd"], thread["tid"])
    assert case.site["verdict"] == "idle-in-pool"
    assert f"thread {thread['tid']} of {case.comm} (pid {socket['pid']}) has for itself" in case.told()


@pytest.mark.parametrize(("way", "never"), [("one by one", True), ("all at once", False)])
def test_never_reused(way: str, never: bool) -> None:
    """Opened although idle ones lay there, or all in use at the same time: the program's own order tells."""
    case = Case(way)
    sockets = case.site["sockets"]
    assert len(sockets) == 5
    assert [one["never_reused"] for one in sockets] == [never if case.seen else None] * 5
    released = "Release each connection when its answer is complete" in case.site["advice"]
    assert released is (never and case.seen)
    assert case.site["verdict"] == "idle-in-pool"


@pytest.mark.parametrize("way", ["polled for nothing", "polled for input"])
def test_who_polls_the_socket_and_is_not_told(way: str) -> None:
    """The thread is still in poll as /proc says, and the program has had no event; or it was told, and has ended."""
    case = Case(way)
    (tid,) = case.calls
    stays = way == "polled for nothing"
    assert (case.calls[tid] == POLL, bool(case.workload.said("told"))) == (stays, not stays)
    polls = [(group["threads"][0]["tid"], group["polls"]) for group in case.site["now"] if group["polls"]]
    assert polls == ([(tid, {"told": 0, "untold": 1})] if stays else [])
    assert ("in poll for it, but not for input" in case.told()) is stays


def queues(port: int) -> dict[int, int]:
    """Recv-Q of each listening socket of a port, by the process that has it, as ss says."""
    lines = output("ss", "-Hltnp", f"sport = :{port}").splitlines()
    return {int(re.findall(r"pid=(\d+)", line)[0]): int(line.split()[1]) for line in lines}


def shared_port(stand: int, role: str) -> tuple[Ran, Workload, dict[int, int]]:
    """What a trace of one process says, of those that share a port, and ss at that time."""
    with start_python("shared_port", str(stand)) as program, tracing(program.pid(role), "--fail-over", "0") as trace:
        trace.attached()
        program.step()
        let_linger()
        ss = queues(program.said("port")[0]["port"])
        return trace.stop(), program, ss


def test_the_queue_of_another_process_on_the_same_port() -> None:
    """Who serves its queue has nothing to do with what waits in that of another process; that one has all of it."""
    ran, program, ss = shared_port(1, "serves")
    assert (ss[program.pid("serves")], ss[program.pid("stands")] > 0) == (0, True)
    assert (ran.code, ran.report()["sites"]) == (0, [])
    ran, program, ss = shared_port(1, "stands")
    (site,) = ran.report()["sites"]
    assert (ran.code, site["verdict"], site["pid"]) == (3, "never-accepted", program.pid("stands"))
    assert site["count"] == ss[site["pid"]]
    assert all(one["listeners"] == [] for one in site["sockets"])


def test_one_of_several_queues() -> None:
    """Which connection is in which the kernel does not tell: all whose queues are not empty are named, nobody else."""
    ran, program, ss = shared_port(2, "stands")
    stand = {word["pid"] for word in program.said("process", role="stands")}
    assert {pid for pid, length in ss.items() if length} == stand
    (site,) = ran.report()["sites"]
    assert (site["pid"], site["count"]) == (0, sum(ss.values()))
    assert all({one["pid"] for one in socket["listeners"]} == stand for socket in site["sockets"])
    (sentence,) = (one for one in site["explanation"] if "SO_REUSEPORT" in one)
    assert {int(pid) for pid in re.findall(r"pid (\d+)", sentence)} == stand
