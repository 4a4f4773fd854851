"""The first line and the sentences on what the kernel lists."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import connection, report
from tracer.diagnose.reconciled import headline, sentences
from tracer.model.finding import Ended, Process, Reconciliation, Verdict

OVER = "for more than 10 s"
BLIND = {"complete": False, "unreadable": (Process(7, "app"),), "matters": True, "without_holder": 4, "listed": 4}
MASTER = {"listed": 6, "descendants_sockets": 6, "descendants": (Process(8, "w", 4), Process(9, "w", 2))}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "no socket stayed in CLOSE_WAIT for more than 10 s"),
        (BLIND, "no socket was found in CLOSE_WAIT for more than 10 s, but the descriptors of app (pid 7) could not"),
        ({"complete": False, "unreadable_namespaces": 2}, "but 2 network namespaces could not be listed"),
        (MASTER, "no socket of app (pid 100) itself stayed in CLOSE_WAIT for more than 10 s, but its child processes"),
        ({"mptcp": 3}, "but 3 MPTCP sockets did"),
        ({"left": 3}, "is in CLOSE_WAIT for more than 10 s now, but 3 that were in it when the trace began have left"),
        ({"left": 1}, "but 1 that was in it when the trace began has left"),
    ],
)
def test_no_clean_bill_without_proof(facts: dict[str, Any], said: str) -> None:
    """The first line says that no socket stayed only if nothing can hide one."""
    first = headline(report(reconciliation=Reconciliation(**facts)), OVER)
    assert said in first
    assert first.startswith("no socket")


def test_what_lingered_and_ended_is_no_clean_bill() -> None:
    """It stayed for longer than the threshold: the first line says so, too."""
    gone = Ended(connection(9), Verdict.UNKNOWN, 11_000_000_000, "gone")
    assert headline(report(ended_findings=(gone, gone)), OVER) == (
        "no socket is in CLOSE_WAIT for more than 10 s now, but 2 lingered and then ended"
    )
    both = headline(report(ended_findings=(gone,), reconciliation=Reconciliation(left=1)), OVER)
    assert both.endswith("but 1 lingered and then ended and 1 that was in it when the trace began has left")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"listed": 12, "told": 12}, "The kernel lists 12 sockets in CLOSE_WAIT in scope, all 12 are told here."),
        ({"listed": 1, "told": 1}, "The kernel lists 1 socket in CLOSE_WAIT in scope, it is told here."),
        ({}, "The kernel lists no socket in CLOSE_WAIT in scope."),
        ({"listed": 9, "out_of_scope": 9}, "no socket in CLOSE_WAIT in scope (9 out of scope)."),
        ({"listed": 5, "told": 2, "younger": 3}, "in scope: 2 told here, 3 younger than 10 s."),
        (
            {"listed": 2, "told": 1, "without_holder": 1},
            "in scope, it is told here; 1 more is held by no process that was found.",
        ),
        ({"listed": 3, "without_holder": 3}, "no socket in CLOSE_WAIT in scope; 3 more are held by no process"),
        (MASTER, "6 more are held by 2 child processes that were not traced: w (pid 8): 4 and w (pid 9): 2."),
        (MASTER, "--children, or with --pid 8 --pid 9"),
        ({"mptcp": 1}, "1 MPTCP socket (Multipath TCP) is in CLOSE_WAIT"),
        ({"left": 2}, "2 sockets that were in CLOSE_WAIT when the trace began left that state since."),
        (BLIND, "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE. 4 sockets in CLOSE_WAIT may be held there"),
        ({"unreadable": (Process(7, "app"),)}, "The kernel lists no socket"),
        ({"complete": False, "unreadable_namespaces": 1}, "1 network namespace could not be listed"),
    ],
)
def test_sentences(facts: dict[str, Any], said: str) -> None:
    """How many the kernel lists, how many are told, what is left over and why."""
    told = " ".join(sentences(report(connection(), reconciliation=Reconciliation(**facts))))
    assert said in told


def test_what_does_not_matter_is_not_told() -> None:
    """A process out of scope that cannot be read, while every holder is known."""
    whole = report(connection(), reconciliation=Reconciliation(listed=1, told=1, unreadable=(Process(1, "init"),)))
    assert len(sentences(whole)) == 1
    assert sentences(report(connection())) == ()
