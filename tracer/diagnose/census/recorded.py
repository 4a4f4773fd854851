"""What an agent has recorded of the sockets that a census counts. Values in, values out.

The census counts, by the kernel's list. The agent's sites only say which code path left which of these sockets.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.diagnose import words
from tracer.diagnose.census.counts import Census, quiet
from tracer.host.inet_diag import DiagSocket
from tracer.model.connection import Endpoint
from tracer.model.states import TcpState

NO_FRAME = "-"
"""Where a code path would be, if no stack has a frame of the program."""


class Calls(str, enum.Enum):
    """Whether calls on a socket were recorded; or none was, as it is OLDER than the recording, or was not FOLLOWED."""

    RECORDED = "recorded"
    OLDER = "older"
    NOT_FOLLOWED = "not-followed"


class Known(NamedTuple):
    """A socket of a site: network namespace and cookie name it. ``age_ms``: how long it had been in CLOSE_WAIT.

    ``pid`` is the process that answers for it, 0 if nobody is known.
    """

    netns: int
    cookie: int
    age_ms: int
    calls: Calls
    pid: int


@dataclass(frozen=True)
class CodePath:
    """A site as the agent tells it.

    ``function`` is the short name of the program's first own function, ``where`` that with its place, "-" if no stack
    has one. ``end_tells``: the end of ``function`` tells more than its beginning (``package.Class.method``).
    """

    id: str
    program: str
    verdict: str
    function: str
    where: str
    end_tells: bool
    sockets: tuple[Known, ...]


@dataclass(frozen=True)
class Records:
    """An agent's answer. ``since``: when it began to record; ``told``: when it answered (both seconds since the epoch).

    It tells of sockets that have been in CLOSE_WAIT for ``linger_ms`` at least. ``crowded_out``: so many sockets found
    no room in its records when they began.
    """

    since: float
    told: float
    linger_ms: int
    crowded_out: int
    paths: tuple[CodePath, ...]


@dataclass(frozen=True)
class PathCount:
    """``count`` sockets of the census that ``path`` left, the oldest in CLOSE_WAIT for ``oldest_ms``.

    ``pid`` is the process that has most of them (0: not known), ``others`` the number of further ones that have some.
    ``remote`` is their other end, in words if there are several.
    """

    path: CodePath
    count: int
    oldest_ms: int
    pid: int
    others: int
    remote: str


@dataclass(frozen=True)
class Attributed:
    """The ``sockets`` in CLOSE_WAIT of a census: each is in one of ``paths``, or one of the other figures counts it.

    ``older``: older than the recording, no call of theirs was seen; where sockets were ``crowded_out`` of it, those are
    told as older, too. ``younger``: the agent does not tell of them yet,
    as they have been in CLOSE_WAIT for less than ``younger_than_ms``. ``unknown``: the agent has no record of them.
    """

    since: float
    linger_ms: int
    younger_than_ms: int
    sockets: int
    paths: tuple[PathCount, ...]
    older: int
    younger: int
    unknown: int
    crowded_out: int


def attribute(census: Census, records: Records) -> Attributed:
    """Say of each socket in CLOSE_WAIT of ``census`` which code path left it. Sockets that are not in it do not count.

    The answer may be some seconds older than the census: what came meanwhile counts as younger.
    """
    waiting = [one.socket for one in census.connections if one.socket.state is TcpState.CLOSE_WAIT]
    since_told_ms = max(0, round((census.taken - records.told) * 1000))
    young_ms = records.linger_ms + since_told_ms
    known = {(one.netns, one.cookie): (path, one) for path in records.paths for one in path.sockets}
    found: dict[int, list[_Counted]] = defaultdict(list)
    others: Counter[str] = Counter()
    for one in waiting:
        path, told = known.get((one.netns, one.cookie), (None, None))
        if path is not None and told is not None and told.calls is Calls.RECORDED:
            found[id(path)].append(_Counted(told.age_ms + since_told_ms, told.pid, one.remote))
        else:
            others[_why(one, told, young_ms)] += 1
    return Attributed(
        since=records.since,
        linger_ms=records.linger_ms,
        younger_than_ms=young_ms,
        sockets=len(waiting),
        paths=_counted(records.paths, found),
        older=others["older"],
        younger=others["younger"],
        unknown=others["unknown"],
        crowded_out=records.crowded_out,
    )


def _why(one: DiagSocket, told: Optional[Known], young_ms: int) -> str:
    """Why no code path is told of this socket."""
    if told is not None:
        return "older" if told.calls is Calls.OLDER else "unknown"
    quiet_ms = quiet(one)
    return "younger" if quiet_ms is not None and quiet_ms < young_ms else "unknown"


class _Counted(NamedTuple):
    """A socket of the census that has a code path."""

    age_ms: int
    pid: int
    remote: Endpoint


def _counted(paths: Iterable[CodePath], found: dict[int, list[_Counted]]) -> tuple[PathCount, ...]:
    """The paths that have sockets in the census: the largest first, then the oldest."""
    counts = [_count(path, several) for path in paths if (several := found.get(id(path)))]
    return tuple(sorted(counts, key=lambda one: (-one.count, -one.oldest_ms, one.path.id)))


def _count(path: CodePath, several: list[_Counted]) -> PathCount:
    shares = Counter(one.pid for one in several)
    most = min(shares, key=lambda pid: (-shares[pid], pid))
    oldest_ms = max(one.age_ms for one in several)
    return PathCount(path, len(several), oldest_ms, most, len(shares) - 1, _remote({one.remote for one in several}))


def _remote(ends: set[Endpoint]) -> str:
    """The one end; else its address, with any port; else how many there are."""
    if len(ends) == 1:
        return str(next(iter(ends)))
    addresses = {end.address for end in ends}
    return words.any_port(addresses.pop()) if len(addresses) == 1 else words.plural(len(ends), "remote")
