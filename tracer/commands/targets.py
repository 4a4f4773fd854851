"""What a person named to be traced: whether there is such a process or program, and if not, what there is."""

from __future__ import annotations

import os
from typing import Optional

from tracer.errors import UsageError
from tracer.host.processes import is_kernel_thread, is_zombie, named, parent_of, pids, thread_group
from tracer.host.programs import runs
from tracer.model.scope import Scope
from tracer.reports.text import terminal


def check_pid(pid: int) -> int:
    """Return ``pid``. Raises UsageError, which says what it is, if it is no process that can have sockets."""
    obstacle = _obstacle(pid)
    if obstacle is not None:
        raise UsageError(obstacle)
    return pid


def _obstacle(pid: int) -> Optional[str]:
    group = thread_group(pid)
    if group is None:
        if _hidden(pid):
            return f"process {pid} is another user's, and /proc hides it (hidepid): run closetrace with sudo"
        return f"there is no process {pid}"
    if group != pid:
        return f"{pid} is a thread of process {group}: use --pid {group}"
    if is_kernel_thread(pid):
        return f"{named(pid)} is a thread of the kernel: it has no descriptors, so no program left sockets there"
    if is_zombie(pid):
        parent = parent_of(pid)
        by = f", {named(parent)}," if parent else ""
        return f"{named(pid)} is a zombie: it has closed its sockets and ended; its parent{by} has not waited for it"
    return None


def _hidden(pid: int) -> bool:
    """Whether there is such a process although ``/proc`` does not show it: kill(2) refuses a signal to it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def warn_of_absent(scope: Scope) -> None:
    """Say so on stderr if nothing is called as ``--comm`` says. It may begin later, so this is no error."""
    if scope.comm and not runs(scope.comm, scope.pids or pids()):
        among = " in these processes" if scope.pids else ""
        terminal.say(
            f"warning: no program or thread named {scope.comm} runs{among} now. It is traced if it begins "
            "(ps -eLo pid,comm,args shows the names)"
        )
