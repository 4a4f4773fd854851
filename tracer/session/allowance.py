"""CPU time that is saved up for bursts, so that what a burst needs can be spent at once and the mean stays small."""

from __future__ import annotations


class Allowance:
    """Grows by ``share`` of the time that passes, up to ``most_ns``, which it starts with; CLOCK_MONOTONIC ns."""

    def __init__(self, share: float, most_ns: int, now_ns: int) -> None:
        self.share, self._most_ns = share, most_ns
        self._saved_ns, self._at_ns = float(most_ns), now_ns

    def left_ns(self, now_ns: int) -> int:
        """What may be spent now; 0 while more was spent than saved."""
        self._saved_ns = min(self._most_ns, self._saved_ns + self.share * (now_ns - self._at_ns))
        self._at_ns = now_ns
        return max(0, int(self._saved_ns))

    def spend(self, ns: int) -> None:
        """Take ``ns`` off."""
        self._saved_ns -= ns
