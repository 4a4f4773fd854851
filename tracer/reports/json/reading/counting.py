"""Counts different sockets over many reports: each once, where the newest report that has it tells it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tracer.reports.json.reading.fields import BadReport

_NOWHERE = -1

Keys = tuple[int, int]
"""What tells a socket from all others, as hashes: by its inode, and by its cookie; 0 where it has none."""


def keys(socket: Any, hostname: str, where: str) -> Keys:
    """The keys of a socket of a host's report; ``where`` is its place there. Raises BadReport.

    Addresses belong to both: cookies and inodes begin anew with each boot. An inode is missing until a connection is
    accepted, a cookie once the kernel lists the socket no more. So two reports may have but one of them in common.
    """
    if not isinstance(socket, dict):
        raise BadReport(f"{where}.sockets has something that is not an object")
    inode, ends = socket.get("inode"), (socket.get("local"), socket.get("remote"))
    if not all(type(end) is str for end in ends) or not (inode is None or type(inode) is int):
        raise BadReport(f"{where}.sockets has one without addresses, or whose inode is no number")
    between = f"{hostname} {ends[0]} {ends[1]}"
    inode, cookie = (_number(socket.get(name)) for name in ("inode", "cookie"))
    return (
        hash(f"inode {inode} {between}") if inode or not cookie else 0,
        hash(f"{cookie} {between}") if cookie else 0,
    )


def _number(value: Any) -> int:
    return value if type(value) is int else 0


class Counting:
    """Sockets by number. Sites and hosts are numbers, too, of the caller's choice."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._newest, self._sites, self._hosts = array("q"), array("l"), array("l")

    def add(self, host: int, site: int, sockets: Iterable[Keys], now_ns: int) -> None:
        """A report of ``now_ns`` tells these sockets of a host in that site."""
        for inode, cookie in sockets:
            number = self._number(host, inode, cookie)
            if now_ns >= self._newest[number]:
                self._newest[number], self._sites[number] = now_ns, site

    def _number(self, host: int, inode: int, cookie: int) -> int:
        """The number of the socket, by either key. It is known by both from now on."""
        numbers = self._numbers
        number = numbers.get(inode or cookie, -1)
        if inode and cookie:
            other = numbers.get(cookie, -1)
            if number < 0:
                number = other
            elif other not in (-1, number):
                self._unite(number, other)
        if number < 0:
            number = len(self._hosts)
            self._newest.append(-1)
            self._sites.append(_NOWHERE)
            self._hosts.append(host)
        if inode:
            numbers[inode] = number
        if cookie:
            numbers[cookie] = number
        return number

    def _unite(self, one: int, other: int) -> None:
        """Each was told with a key of its own, and is the same socket: nothing more can come of ``other``."""
        if self._newest[other] > self._newest[one]:
            self._newest[one], self._sites[one] = self._newest[other], self._sites[other]
        self._sites[other] = _NOWHERE

    def counts(self) -> Counter[tuple[int, int]]:
        """How many sockets each site has on each host."""
        return Counter(found for found in zip(self._sites, self._hosts) if found[0] != _NOWHERE)
