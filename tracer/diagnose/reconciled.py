"""What the comparison with the kernel's own list comes to, in plain sentences."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.model.finding import Process, Reconciliation, Report

_TO_READ = "it takes CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"
_TO_ENTER = "it takes CAP_SYS_ADMIN to enter one, CAP_SYS_PTRACE to find it"


def headline(report: Report, over: str) -> str:
    """The first line of a report without a leak site; a clean bill only if nothing can hide a socket.

    ``over`` is the threshold in words.
    """
    found = report.reconciliation or Reconciliation()
    if not found.complete:
        return f"no socket was found in CLOSE_WAIT {over}, but {' and '.join(_hidden(found))}"
    if found.descendants_sockets:
        held = words.plural(found.descendants_sockets, "socket")
        return f"no socket of {report.target} itself stayed in CLOSE_WAIT {over}, but its child processes hold {held}"
    if found.mptcp:
        return (
            f"no socket of plain TCP stayed in CLOSE_WAIT {over}, but {words.plural(found.mptcp, 'MPTCP socket')} did"
        )
    gone = _gone(report, found)
    if gone:
        return f"no socket is in CLOSE_WAIT {over} now, but {words.listed(gone)}"
    return f"no socket stayed in CLOSE_WAIT {over}"


def sentences(report: Report) -> tuple[str, ...]:
    """How many sockets the kernel lists, how many are told, what is left over and why."""
    found = report.reconciliation
    if found is None:
        return ()
    nothing_read = found.unreadable_namespaces and not found.listed
    said = [] if nothing_read else [_listed(found, words.duration(report.linger_ns))]
    if found.descendants_sockets:
        said.append(_descendants(found))
    if found.mptcp:
        are = "is" if found.mptcp == 1 else "are"
        said.append(
            f"{words.plural(found.mptcp, 'MPTCP socket')} (Multipath TCP) {are} in CLOSE_WAIT: calls on such sockets"
            " are not recorded, so no code path can be told."
        )
    if found.left:
        those = f"{words.plural(found.left, 'socket')} that {_was(found)} in CLOSE_WAIT"
        said.append(
            f"{those} when {_began(report)} left that state since. Nothing is recorded of how: no call on"
            f" {'it' if found.left == 1 else 'them'} was seen before."
        )
    if found.matters:
        said.append(f"{_unread_descriptors(found)}: {_TO_READ}.{_without_holder(found)}")
    if found.unreadable_namespaces:
        said.append(f"{_unread_namespaces(found)}: {_TO_ENTER}.")
    return tuple(said)


def _gone(report: Report, found: Reconciliation) -> list[str]:
    """What lingered, or may have, and is not in CLOSE_WAIT any more."""
    gone = []
    ended = max(len(report.ended_findings), sum(kind.count for kind in report.ended_kinds))
    if ended:
        gone.append(f"{ended} lingered and then ended")
    if found.left:
        have = "has" if found.left == 1 else "have"
        gone.append(f"{found.left} that {_was(found)} in it when {_began(report)} {have} left")
    return gone


def _was(found: Reconciliation) -> str:
    return "was" if found.left == 1 else "were"


def _began(report: Report) -> str:
    return "the trace began" if report.recorded_since is None else "the recording began"


def _listed(found: Reconciliation, threshold: str) -> str:
    missing = found.without_holder
    mine = found.listed - found.out_of_scope - found.descendants_sockets - missing
    more = f"; {missing} more {'is' if missing == 1 else 'are'} held by no process that was found" if missing else ""
    lists = f"The kernel lists {words.plural(mine, 'socket') if mine else 'no socket'} in CLOSE_WAIT in scope"
    strangers = f" ({found.out_of_scope} out of scope)" if found.out_of_scope else ""
    if found.told == mine:
        all_of_them = "it is told here" if mine == 1 else f"all {mine} are told here"
        return f"{lists}{strangers}{f', {all_of_them}' if mine else ''}{more}."
    parts = [f"{found.told} told here"]
    parts += [f"{found.younger} younger than {threshold}"] if found.younger else []
    return f"{lists}{strangers}: {', '.join(parts)}{more}."


def _descendants(found: Reconciliation) -> str:
    count, held = found.descendants_sockets, found.descendants
    names = words.listed(f"{p.comm} (pid {p.pid}): {p.sockets}" for p in held)
    pids = " ".join(f"--pid {p.pid}" for p in held[:4])
    more = " ..." if len(held) > 4 else ""
    children = words.plural(len(held), "child process that was", "child processes that were")
    return (
        f"{count} more {'is' if count == 1 else 'are'} held by {children} not traced: {names}. Include them with"
        f" --children, or with {pids}{more}."
    )


def _hidden(found: Reconciliation) -> list[str]:
    parts = []
    if found.matters:
        parts.append(f"{_unread_descriptors(found)} ({_TO_READ})")
    if found.unreadable_namespaces:
        parts.append(f"{_unread_namespaces(found)} ({_TO_ENTER})")
    return parts


def _unread_descriptors(found: Reconciliation) -> str:
    several = found.unreadable
    whose = _named(several[0]) if len(several) == 1 else f"{len(several)} processes"
    return f"the descriptors of {whose} could not be read"


def _unread_namespaces(found: Reconciliation) -> str:
    return f"{words.plural(found.unreadable_namespaces, 'network namespace')} could not be listed"


def _named(process: Process) -> str:
    return f"{process.comm} (pid {process.pid})"


def _without_holder(found: Reconciliation) -> str:
    count = found.without_holder
    if not count:
        return ""
    those = f" {words.plural(count, 'socket')} in CLOSE_WAIT may be held there: "
    return f"{those}{words.listed(map(_named, found.unreadable))}."
