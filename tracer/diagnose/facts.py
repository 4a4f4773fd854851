"""Plain readings of a connection that several judgements share."""

from __future__ import annotations

from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.owners import speaks_tls
from tracer.model.connection import Connection, Holder, Touch
from tracer.model.states import CLOSE, CLOSE_WAIT, ESTABLISHED, RECV, SEND, Op

_CLOSE_NOTIFY_MAX = 128
"""A TLS close notify is a record of 23 to 85 bytes (RFC 8446 6.1), which some libraries read in two parts."""


def after_fin(c: Connection, ns: Optional[int]) -> bool:
    """Whether ``ns`` lies after FIN; for a socket already in CLOSE_WAIT at the start everything seen does."""
    if ns is None:
        return False
    return ns > c.fin_ns if c.fin_ns is not None else c.preexisting and c.state is CLOSE_WAIT


def unread_bytes(c: Connection) -> int:
    """Data bytes that lie unread now (FIN, which the queue counts as one until it is read, not included)."""
    queue = c.rx_queue
    if queue is not None:
        return queue - 1 if queue and c.state is CLOSE_WAIT else queue
    read_since = c.last is not None and c.last.op is RECV and after_fin(c, c.last.ns)
    return 0 if read_since else c.rx_queue_at_fin or 0


def end_read(c: Connection) -> bool:
    """Whether a read returned 0 after FIN: only then was the program told that the peer hung up."""
    return (c.eof is not None or c.eof_reads > 0) and not unread_bytes(c)


def end_taken(c: Connection) -> bool:
    """Whether FIN has left the receive queue, by a read of 0 or together with the last data (tcp_recvmsg_locked())."""
    return end_read(c) or (c.rx_queue == 0 and c.state is CLOSE_WAIT)


def end_with_last_read(c: Connection) -> bool:
    """Whether a read that was seen after FIN took the last data and FIN together, and none returned 0."""
    seen = reads_were_seen(c) and not taken_unseen(c)
    return end_taken(c) and not end_read(c) and seen and after_fin(c, c.last_rx_ns)


def reads_were_seen(c: Connection) -> bool:
    """Whether its reads were recorded from its first state on: no older socket, one handed over, or calls left out."""
    whole = any(t.new is ESTABLISHED for t in c.transitions)
    return whole and not (c.preexisting or c.missed_touches or "receive" in c.unseen)


def taken_bytes(c: Connection) -> Optional[int]:
    """Data bytes that have left the receive queue since the socket was made, as the kernel counts; None if unknown.

    tcpi_bytes_received counts the FIN as one byte, and so does the queue until the FIN is taken.
    """
    kernel, queue = c.kernel, c.rx_queue
    if kernel is None or queue is None or c.state is not CLOSE_WAIT or kernel.bytes_received is None:
        return None
    taken = kernel.bytes_received - (queue or 1)
    return taken if taken > 0 else 0  # max() takes longer, and each socket is asked this five times


def taken_unseen(c: Connection) -> int:
    """Data bytes that left the receive queue by calls that were not recorded, though all kinds of receives should be.

    Such are splice(2) and zero-copy receive (TCP_ZEROCOPY_RECEIVE). 0 also where reads may be missing for other
    reasons.
    """
    taken = taken_bytes(c)
    return taken - c.rx_bytes if taken is not None and taken > c.rx_bytes and reads_were_seen(c) else 0


def never_read(c: Connection) -> bool:
    """Whether not one byte of it was ever read: by the kernel's count, else as far as all reads were seen."""
    taken = taken_bytes(c)
    if taken is not None:
        return taken == 0 and c.rx_bytes == 0
    return c.rx_bytes == 0 and reads_were_seen(c)


def never_used(c: Connection) -> bool:
    """Whether the program opened it and made no more of it: not one byte was sent or read, and no call tried to.

    The kernel's count tells where there is one; it counts the SYN as one byte acknowledged.
    """
    if c.rx_calls or c.tx_calls or c.rx_bytes or c.tx_bytes or c.tx_queue or not opened_here(c):
        return False
    kernel, taken = c.kernel, taken_bytes(c)
    if kernel is not None and kernel.bytes_acked is not None and taken is not None:
        return kernel.bytes_acked <= 1 and taken == 0
    return reads_were_seen(c) and not c.unseen


def sent_last(c: Connection) -> bool:
    """Whether the last call that moved data was a send, so that the program may wait for an answer."""
    last = c.last
    if last is None or c.unseen:
        return False
    if last.op is SEND:
        return last.ret is None or last.ret > 0
    tried = last.op is RECV and last.ret is not None and words.would_block(last.ret)
    return tried and c.last_tx_ns is not None and c.last_tx_ns > (c.last_rx_ns or 0)


def looked_last(c: Connection) -> bool:
    """Whether the last call looked at data that had come (MSG_PEEK), and left them where they were."""
    last = c.last
    return last is not None and last.op is RECV and last.peek and (last.ret or 0) > 0


def failed_last(c: Connection) -> Optional[str]:
    """The error with which the last read failed (``EFAULT (Bad address)``); None if it did not.

    That nothing had come yet is no failure, nor is a signal.
    """
    last = c.last
    return words.failure(last) if last is not None and last.op is RECV else None


def ended_ns(c: Connection) -> Optional[int]:
    """When the connection ended, by a reset or otherwise (state CLOSE); None if it has not, or if that was not seen."""
    if c.reset_ns is not None:
        return c.reset_ns
    return next((t.ns for t in reversed(c.transitions) if t.new is CLOSE), None)


def told_of_its_end(c: Connection) -> Optional[Touch]:
    """The last call, if it told the program that the connection is over: after that it failed, or a read returned 0."""
    last, ended = c.last, ended_ns(c)
    if last is None or ended is None or last.ns < ended:
        return None
    over = words.failure(last) is not None or (last.op is RECV and last.ret == 0)
    return last if over else None


def owes_an_answer(c: Connection) -> bool:
    """Whether a peer that only ended its own sending may wait: it asked for something, and nothing was sent since."""
    if not c.passive or c.last_rx_ns is None:
        return False
    return c.last_tx_ns is None or c.last_tx_ns < c.last_rx_ns


def may_be_close_notify(c: Connection) -> bool:
    """Whether the last read may have taken the close notify, by which TLS tells the program of the peer's end.

    A peer sends nothing after that: where data lie unread, it is among them (RFC 8446 6.1).
    """
    last = c.last
    if last is None or last.op is not RECV or last.peek or last.ret is None:
        return False
    return 0 < last.ret <= _CLOSE_NOTIFY_MAX and speaks_tls(last.stack) and not unread_bytes(c)


def before_trace(c: Connection) -> bool:
    """Whether it is known to be older than the trace: it did not just find no free record when it began."""
    return c.preexisting and not c.crowded_out


def opened_here(c: Connection) -> Optional[bool]:
    """Whether the program opened it: as recorded, else as the kernel's counters tell; None if neither does."""
    if c.passive is not None:
        return not c.passive
    return c.kernel.opened_here if c.kernel is not None else None


def send_stalled_ns(c: Connection, now_ns: int) -> int:
    """How long the peer has taken nothing of what waits in the send queue; 0 if it takes it, or if that is not known.

    With segments in flight: since the peer's last ACK. With none: since the last data left, for then the peer's window
    is shut. A peer that answers but takes nothing moves both; then how far the kernel's timer has backed off tells,
    which starts anew as soon as the peer takes something. (tcpi_rwnd_limited would not do: it adds up all the times.)
    """
    if not c.tx_queue or c.kernel is None:
        return 0
    since = c.kernel.last_ack_in_ns if c.kernel.unacked else c.kernel.last_data_out_ns
    quiet = now_ns - since if since is not None else 0
    shut = c.kernel.backed_off_ns or 0 if c.kernel.peer_window == 0 else 0
    return max(quiet, shut, 0)


def last_call(c: Connection) -> Optional[Touch]:
    """The last call that was seen: on data, a shutdown, or the one that opened the socket."""
    if c.last is None or (c.shutdown is not None and c.shutdown.ns > c.last.ns):
        return c.opened if c.shutdown is None else c.shutdown
    return c.last


def quiet_since(c: Connection) -> Optional[int]:
    """Since when the program has done nothing with it (ns): a connect goes on until the connection is made."""
    last = last_call(c)
    if last is None or last.op is not Op.CONNECT:
        return None if last is None else last.ns
    return max(last.ns, next((t.ns for t in c.transitions if t.new is ESTABLISHED), 0))


def kept_over_exec(c: Connection) -> tuple[Holder, ...]:
    """The descriptors of who answers for it, if that process has called exec since its last call on it; else nothing.

    If nobody is known to have used it, all who hold it must have called exec.
    """
    for holder in c.holders:
        if holder.exec_ns is not None:
            break
    else:
        return ()  # so it is mostly
    owner = c.owner
    own = [one for one in c.holders if owner is None or one.pid == owner.pid]
    return tuple(own) if all(one.exec_ns is not None for one in own) else ()
