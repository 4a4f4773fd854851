"""Points in time: as every format writes them (RFC 3339), and as text says them."""

from __future__ import annotations

import functools
import math
import re
from datetime import datetime, timezone

from tracer.errors import ClosetraceError


class BadTime(ClosetraceError):
    """A text is not a time as reports have it."""


def rfc3339(epoch_ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC with microseconds: ``2026-11-21T01:02:03.000004Z``."""
    seconds, ns = divmod(epoch_ns, 1_000_000_000)
    return f"{rfc3339_second(seconds)}.{ns // 1000:06}Z"


@functools.lru_cache(maxsize=1024)
def rfc3339_second(epoch: int) -> str:
    """Whole seconds since the epoch in the same form, up to its fraction."""
    return f"{datetime.fromtimestamp(epoch, timezone.utc):%Y-%m-%dT%H:%M:%S}"


def for_people(epoch_s: float) -> str:
    """Seconds since the epoch, to the second that has begun: ``2026-11-21 01:02:03 UTC``."""
    return f"{datetime.fromtimestamp(math.floor(epoch_s), timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


_RFC3339 = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|\+00:00)")


def epoch_ns(text: str) -> int:
    """The inverse of :func:`rfc3339`, with up to nine digits of a second. Raises BadTime for any other text."""
    found = _RFC3339.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        seconds = _epoch_s(found[1])
    except ValueError:
        raise BadTime(f"{text[:40]!r} is not a time as 2026-11-21T01:02:03.000004Z") from None
    return seconds * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


@functools.lru_cache(maxsize=1024)
def _epoch_s(text: str) -> int:
    return round(datetime.fromisoformat(f"{text}+00:00").timestamp())
