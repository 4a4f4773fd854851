"""Where a leak site's threads are now: against the program's own words, and against gdb."""

from __future__ import annotations

import re
from typing import Any

from tests.live.closetrace_command import LINGER, Trace, let_linger, tracing
from tests.live.oracles import functions, output
from tests.live.workload import Workload, start

STUCK = ["take_ledger_lock", "wait_for_ledger", "handle"]
HANGS = ["take_ledger_lock", "book_order", "work"]


class Served:
    """The stuck server after its clients have hung up."""

    def __init__(self, program: Workload) -> None:
        self.program = program
        program.step()
        program.step()
        let_linger()

    def tids(self, does: str) -> set[int]:
        return {word["tid"] for word in self.program.said("thread", does=does)}


def own(group: dict[str, Any]) -> list[str]:
    """The program's functions on a stack."""
    named = {*STUCK, "count_for_ever", "read_request"}
    return [function for function in functions(group["stack"]) if function in named]


def tids(group: dict[str, Any]) -> set[int]:
    return {thread["tid"] for thread in group["threads"]}


def test_threads_of_the_last_calls() -> None:
    """Those that wait are in the functions that gdb tells, alike ones together; one runs; one has ended."""
    with start("stuck", "3") as program, tracing(program.pid()) as trace:
        trace.attached()
        served = Served(program)
        report = trace.stop().report()
        gdb = output("gdb", "-p", str(program.pid()), "-batch", "-ex", "thread apply all bt")
    (site,) = report["sites"]
    waiting, *others = site["now"]
    assert (waiting["state"], tids(waiting), own(waiting)) == ("waits", served.tids("lock"), STUCK)
    assert waiting["syscall"] == "futex"
    assert {group["state"]: tids(group) for group in others} == {
        "runs": served.tids("run"),
        "gone": served.tids("end"),
    }
    for tid in served.tids("lock"):
        (block,) = re.findall(rf"\(LWP {tid}\).*?(?=\nThread |\Z)", gdb, re.DOTALL)
        assert [name for name in re.findall(r" (?:in )?(\w+) \(", block) if name in STUCK] == STUCK
    assert "read_request" in functions(site["stack"])
    assert any("wait in take_ledger_lock" in sentence for sentence in site["explanation"])


def test_threads_that_read_the_end_and_are_still_at_work() -> None:
    """The end was read; a lock keeps the threads within the handler: that is told before the close that is owed."""
    with start("stuck", "3", "end") as program, tracing(program.pid()) as trace:
        trace.attached()
        served = Served(program)
        report = trace.stop().report()
    (site,) = report["sites"]
    assert site["verdict"] == "eof-ignored"
    waiting = next(group for group in site["now"] if group["state"] == "waits")
    assert (tids(waiting), own(waiting)) == (served.tids("lock"), STUCK)
    (told,) = (sentence for sentence in site["explanation"] if "still or again within serve (stuck" in sentence)
    assert "2 more wait in take_ledger_lock" in told
    assert site["advice_parts"][0].startswith("If the program closes the sockets once that wait is over")


def test_threads_of_a_text() -> None:
    """The text has the place and the stack, before the opener's."""
    with start("stuck", "2") as program, Trace("--pid", str(program.pid()), *LINGER) as trace:
        trace.attached()
        Served(program)
        text = trace.stop().out
    text = text[text.index("4 sockets in CLOSE_WAIT") :]
    (line,) = re.findall(r"^  now: stuck \(tid \d+\) and 1 more wait in take_ledger_lock .*\n", text, re.MULTILINE)
    after = text[text.index(line) :]
    assert after.index("> take_ledger_lock") < after.index("wait_for_ledger") < after.index("the path of the last call")


def test_threads_of_a_late_trace() -> None:
    """For sockets that are older than the trace the holder's threads are told, the same way."""
    with start("stuck", "3") as program:
        served = Served(program)
        with tracing(program.pid()) as trace:
            trace.attached()
            let_linger()
            report = trace.stop().report()
    (site,) = report["sites"]
    (waiting,) = (group for group in site["now"] if own(group) == STUCK)
    assert (waiting["state"], tids(waiting)) == ("waits", served.tids("lock"))
    assert served.tids("run") in [tids(group) for group in site["now"] if group["state"] == "runs"]


def test_threads_that_could_accept() -> None:
    """For never-accepted: where the listening process's threads are instead."""
    with start("never_accepted") as program, tracing(program.pid()) as trace:
        trace.attached()
        program.all_steps()
        let_linger()
        report = trace.stop().report()
    (site,) = report["sites"]
    assert site["verdict"] == "never-accepted"
    (main,) = (group for group in site["now"] if program.pid() in tids(group))
    assert (main["state"], main["syscall"]) == ("waits", "read")
    assert "main" in functions(main["stack"])


def test_many_threads_are_counted() -> None:
    """Up to 64 threads of a site are looked at; how many were not is told."""
    with start("stuck", "100") as program, tracing(program.pid()) as trace:
        trace.attached()
        Served(program)
        report = trace.stop().report()
    (site,) = report["sites"]
    told = sum(len(group["threads"]) for group in site["now"])
    assert (told, site["not_looked_at"]) == (64, 100 + 2 - 64)


def test_workers_that_were_handed_the_sockets() -> None:
    """The thread that read waits for the next connection: the workers that hang are told, before the one that idles."""
    with start("handed_over", "3") as program, tracing(program.pid()) as trace:
        trace.attached()
        served = Served(program)
        report = trace.stop().report()
        gdb = output("gdb", "-p", str(program.pid()), "-batch", "-ex", "thread apply all bt")
    (site,) = report["sites"]
    dispatcher, hang, *others = site["now"]
    assert (dispatcher["beside"], dispatcher["syscall"], tids(dispatcher)) == (False, "accept", served.tids("dispatch"))
    assert (hang["beside"], hang["syscall"], tids(hang)) == (True, "futex", served.tids("lock"))
    for tid in served.tids("lock"):
        (block,) = re.findall(rf"\(LWP {tid}\).*?(?=\nThread |\Z)", gdb, re.DOTALL)
        assert [name for name in re.findall(r" (?:in )?(\w+) \(", block) if name in HANGS] == HANGS
    assert [name for name in functions(hang["stack"]) if name in HANGS] == HANGS
    assert served.tids("idle") in [tids(group) for group in others if group["beside"]]
    (sentence,) = (one for one in site["explanation"] if "take_ledger_lock" in one)
    assert sentence.startswith("If they were handed to another thread of the process: ")
    assert sentence.index("take_ledger_lock") < sentence.index("next_job")
    assert "read_request" in functions(site["stack"])
