"""What libraries' objects say of a connection: leased to the program, or idle in a pool. One rule a line."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.model.holder import Use
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.heap.steps import ELEMENT, Step, Steps
from tracer.stacks.target.reader import Nonsense

_MOST_ELEMENTS = 10_000
LEASED, IDLE = Use.LEASED, Use.IDLE


@dataclass(frozen=True)
class Rule:
    """What ``path`` leads to from an object of class ``holder`` (or derived from it) is a connection of this use.

    ``[]`` in a path is any element of a container.
    """

    library: str
    use: Use
    holder: str
    path: tuple[str, ...]


RULES = tuple(
    Rule(library, use, holder, tuple(path.split()))
    for library, use, holder, path in (
        ("urllib3", IDLE, "urllib3.connectionpool.HTTPConnectionPool", "pool queue [] sock"),
        ("urllib3", LEASED, "urllib3.response.HTTPResponse", "_connection sock"),
        ("redis-py", IDLE, "redis.connection.ConnectionPool", "_available_connections []"),
        ("redis-py", LEASED, "redis.connection.ConnectionPool", "_in_use_connections []"),
        ("redis-py", IDLE, "redis.asyncio.connection.ConnectionPool", "_available_connections []"),
        ("redis-py", LEASED, "redis.asyncio.connection.ConnectionPool", "_in_use_connections []"),
        ("SQLAlchemy", IDLE, "sqlalchemy.pool.impl.QueuePool", "_pool queue [] dbapi_connection"),
        ("SQLAlchemy", LEASED, "sqlalchemy.pool.base._ConnectionFairy", "dbapi_connection"),
        ("aiohttp", IDLE, "aiohttp.connector.BaseConnector", "_conns [] [] []"),
        ("aiohttp", LEASED, "aiohttp.connector.BaseConnector", "_acquired []"),
    )
)
"""Those of idle connections are first: what is idle may still be referred to by what had leased it."""
HOLDERS = frozenset(rule.holder for rule in RULES)


def ends(rule: Rule, steps: Steps, holder: int) -> list[list[Step]]:
    """All ways along the rule's path from the object at ``holder``, outermost first. Never raises."""
    ways: list[list[Step]] = [[]]
    for name in rule.path:
        further = []
        for way in ways:
            try:
                at = way[-1].held if way else holder
                if name == ELEMENT:
                    found = steps.elements(at, _MOST_ELEMENTS)
                else:
                    step = steps.attribute(at, name)
                    found = [step] if step is not None else []
            except (MemoryUnreadable, Nonsense):
                continue
            further += [[*way, step] for step in found]
        ways = further[:_MOST_ELEMENTS]
    return ways
