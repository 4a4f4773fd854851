"""Points in time as every format writes them (RFC 3339)."""

from __future__ import annotations

import functools
from datetime import datetime, timezone


def rfc3339(epoch_ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC with microseconds: ``2026-11-21T01:02:03.000004Z``."""
    seconds, ns = divmod(epoch_ns, 1_000_000_000)
    return f"{rfc3339_second(seconds)}.{ns // 1000:06}Z"


@functools.lru_cache(maxsize=1024)
def rfc3339_second(epoch: int) -> str:
    """Whole seconds since the epoch in the same form, up to its fraction."""
    return f"{datetime.fromtimestamp(epoch, timezone.utc):%Y-%m-%dT%H:%M:%S}"
