"""Explains the states of closing connections, in sentences with this host's figures. Values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tracer.diagnose import words
from tracer.diagnose.census.counts import Census, Counted, OwnerKind, quiet
from tracer.diagnose.census.ports import PortUse
from tracer.host.inet_diag import DiagSocket
from tracer.host.tcp_settings import TIME_WAIT_S, TcpSettings
from tracer.model.states import TcpState

MEANINGS = {
    TcpState.ESTABLISHED: "open",
    TcpState.SYN_SENT: "opening: the peer has not answered",
    TcpState.SYN_RECV: "opening: the peer's last ACK has not come",
    TcpState.FIN_WAIT1: "our FIN is sent, its ACK has not come",
    TcpState.FIN_WAIT2: "we closed, the peer has not: see below",
    TcpState.TIME_WAIT: "harmless: see below",
    TcpState.CLOSE_WAIT: "the peer closed, we have not: see below",
    TcpState.LAST_ACK: "both closed, the last ACK has not come",
    TcpState.CLOSING: "both closed at once, an ACK has not come",
}
"""A short meaning of each state that the census counts."""

_MS = 1_000_000


@dataclass(frozen=True)
class Explanation:
    """What connections in one state mean, in sentences with the figures of this census."""

    state: TcpState
    count: int
    sentences: tuple[str, ...]


def explain(census: Census) -> tuple[Explanation, ...]:
    """Explain CLOSE_WAIT, FIN_WAIT2 and TIME_WAIT, in this order, if there are such connections."""
    found = []
    for state in (TcpState.CLOSE_WAIT, TcpState.FIN_WAIT2, TcpState.TIME_WAIT):
        several = [it for it in census.connections if it.socket.state is state]
        if several:
            found.append(Explanation(state, len(several), tuple(_sentences(state, several, census))))
    return tuple(found)


def warnings(census: Census) -> tuple[str, ...]:
    """One warning for each destination that has nearly no ephemeral ports left, saying what to do."""
    return tuple(_exhaustion(use) for use in census.ports if use.near_exhaustion)


def port_sentences(census: Census) -> tuple[str, ...]:
    """Say how many ephemeral ports each namespace has, and how TIME_WAIT limits new connections."""
    sentences = []
    for space in census.namespaces:
        use = next((use for use in census.ports if use.netns == space.inode), None)
        if space.settings is not None and use is not None:
            sentences += [_range(space.settings, use), _reuse(space.settings)]
    return tuple(sentences)


def _sentences(state: TcpState, several: list[Counted], census: Census) -> list[str]:
    if state is TcpState.CLOSE_WAIT:
        return _close_wait(several)
    return _fin_wait2(several, census) if state is TcpState.FIN_WAIT2 else _time_wait(several)


def _close_wait(several: list[Counted]) -> list[str]:
    queued = [it for it in several if it.socket.awaits_accept]
    held = [it.socket for it in several if not it.socket.awaits_accept]
    sentences = [
        "The peer closed first and this side has not closed yet. No timeout ends this state: a socket stays until its"
        " program closes it." + _longest([it.socket for it in several])
    ]
    read = sum(one.rx_queue == 0 for one in held)
    untouched = sum(one.rx_queue == 1 for one in held)
    parts = []
    if read:
        parts.append(f"{read} read to the end by the program, which kept the socket")
    if untouched:
        parts.append(f"{untouched} not read since the peer closed")
    if len(held) - read - untouched:
        parts.append(f"{len(held) - read - untouched} with data that nobody has read")
    if queued:
        parts.append(f"{len(queued)} never accepted by the listener's program")
    sentences.append(f"By their receive queues: {'; '.join(parts)}.")
    processes = Counter((it.owner.pid, it.owner.comm) for it in several if it.owner.pid)
    if processes:
        pids = " ".join(f"--pid {pid}" for (pid, _), _ in processes.most_common(3))
        sentences.append(f"Do: closetrace {pids} names the code that leaves them.")
    return sentences


def _fin_wait2(several: list[Counted], census: Census) -> list[str]:
    orphans = [it.socket for it in several if it.owner.kind is OwnerKind.KERNEL]
    kept = len(several) - len(orphans)
    sentences = ["This side closed first, the peer has not closed: its end is in CLOSE_WAIT, unless it is gone."]
    if orphans:
        left = max((one.timer_ms for one in orphans if one.timer_ms is not None), default=None)
        last = "" if left is None else f", the last in {words.duration(left * _MS)}"
        limit = _fin_timeout(census, orphans)
        sentences.append(
            f"{len(orphans)} closed by the program: the kernel drops them by itself{last}{limit}. Harmless here."
        )
    if kept:
        sentences.append(
            f"{kept} half-closed by shutdown and still held: no timeout ends these; they stay until the peer or the"
            " program closes."
        )
    elsewhere = _other_ends(several, census)
    if elsewhere:
        sentences.append(f"The peer's end is on this host: {elsewhere}.")
    return sentences


def _time_wait(several: list[Counted]) -> list[str]:
    left = max((it.socket.timer_ms or 0 for it in several), default=0)
    incoming = sum(it.incoming for it in several)
    sentences = [
        "Harmless. This side closed first, so the kernel keeps the pair of addresses for"
        f" {TIME_WAIT_S} s, so that no late segment reaches a new connection (RFC 9293, 3.6). No program and no"
        f" descriptor holds them. They take a few hundred bytes each and end by themselves, the last in"
        f" {words.duration(left * _MS)}."
    ]
    if incoming:
        sentences.append(f"{_share(incoming, several)} opened by the peer: no ephemeral port of this host is taken.")
    if incoming < len(several):
        outgoing = len(several) - incoming
        keeps = " and keeps" if outgoing == 1 else ": each keeps"
        sentences.append(f"{_share(outgoing, several)} opened from here{keeps} an ephemeral port until then.")
    return sentences


def _share(part: int, several: list[Counted]) -> str:
    """``2 of 3 were``, ``All were``, ``It was``."""
    if part < len(several):
        return f"{part} of {len(several)} {'was' if part == 1 else 'were'}"
    return "All were" if part > 1 else "It was"


def _longest(sockets: Iterable[DiagSocket]) -> str:
    longest = max((ms for ms in map(quiet, sockets) if ms is not None), default=None)
    return "" if longest is None else f" The oldest has been in it for at least {words.duration(longest * _MS)}."


def _fin_timeout(census: Census, orphans: list[DiagSocket]) -> str:
    settings = next((it.settings for it in census.namespaces if it.inode == orphans[0].netns), None)
    return "" if settings is None else f" (net.ipv4.tcp_fin_timeout is {settings.fin_timeout_s} s)"


def _other_ends(several: Iterable[Counted], census: Census) -> str:
    """Name the processes of this census that hold the other end of these connections."""
    wanted = {(it.socket.netns, it.socket.remote, it.socket.local) for it in several}
    ends = Counter(
        f"{it.owner.comm} (pid {it.owner.pid})"
        for it in census.connections
        if it.owner.pid and (it.socket.netns, it.socket.local, it.socket.remote) in wanted
    )
    return words.listed(f"{count} in {process}" for process, count in ends.most_common()) if ends else ""


def _range(settings: TcpSettings, use: PortUse) -> str:
    return (
        f"connect can choose from {words.plural(use.usable, 'ephemeral port')} for each destination"
        f" (net.ipv4.ip_local_port_range is {settings.first_port} to {settings.last_port}, without reserved and"
        f" listening ports). With {TIME_WAIT_S} s of TIME_WAIT that allows {use.connects_per_second:.3g} connections a"
        " second to one destination."
    )


def _reuse(settings: TcpSettings) -> str:
    value = f"net.ipv4.tcp_tw_reuse is {settings.tw_reuse}"
    if settings.tw_reuse and not settings.timestamps:
        return f"{value}, without effect while net.ipv4.tcp_timestamps is 0."
    may = f"connect may take a port after {words.duration(settings.reuse_delay_ms * _MS)} in TIME_WAIT"
    told = {
        0: "connect never takes a port that is in TIME_WAIT.",
        1: f"{may}, if the peer uses timestamps too.",
        2: f"{may}, for loopback connections only.",
    }
    return f"{value}: {told.get(settings.tw_reuse, 'a value that closetrace does not know.')}"


def _exhaustion(use: PortUse) -> str:
    busy = f"{use.used} of {use.usable} ephemeral ports from {use.source} to {use.destination} are in use"
    cure = "Keep connections open and use them again (keep-alive, a pool)"
    if use.time_wait * 2 > use.used and not use.reusable:
        cure += ", set net.ipv4.tcp_tw_reuse to 1"
    return (
        f"{busy} ({use.share:.0%}, {use.time_wait} of them in TIME_WAIT): connect will soon fail with EADDRNOTAVAIL."
        f" {cure}, or widen net.ipv4.ip_local_port_range."
    )
